"""MQTT: the head-end's side, the meter's side, and the client below both."""
