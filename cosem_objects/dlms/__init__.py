"""DLMS application layer (IEC 62056-5-3), both roles, without I/O."""
