"""BYTES: moves whole APDUs over links; has never heard of a token."""
