"""HDLC (IEC 62056-46): a pure core, and the links of both sides."""
