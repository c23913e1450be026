"""MEANING: tokens, COSEM objects and the DLMS application layer. Pure: no sockets, no clock, no files."""
