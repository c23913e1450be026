"""Class 70, Disconnect control: the meter's load switch."""

from __future__ import annotations

from enum import IntEnum

from cosem_objects.obis import ObisCode

CLASS_ID = 70
DEFAULT_OBIS = ObisCode.parse("0-0:96.3.10.255")

METHOD_REMOTE_DISCONNECT = 1
METHOD_REMOTE_RECONNECT = 2


class Attribute(IntEnum):
    LOGICAL_NAME = 1
    OUTPUT_STATE = 2
    CONTROL_STATE = 3
    CONTROL_MODE = 4


class ControlState(IntEnum):
    DISCONNECTED = 0
    CONNECTED = 1
    READY_FOR_RECONNECTION = 2
