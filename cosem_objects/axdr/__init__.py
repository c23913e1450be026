"""COSEM data and its bytes: the A-XDR coding of the ``Data`` type (IEC 62056-6-2 clause 4.1.5, IEC 61334-6).

How to think about it: a value on the wire is a tag and its contents. ``Data`` keeps both, because the tag matters
when a value is written (a meter refuses an integer where it wants an unsigned). The Python value under each tag:

=============================  ==========================================================
array, structure               tuple of Data
compact-array                  CompactArray (type description and tuple of Data)
boolean                        bool
bit-string                     str of '0' and '1', first character = first bit on the wire
octet-string                   bytes
visible-string, utf8-string    str
all integers, bcd, enum        int
float32, float64               float
date-time, date, time          bytes (12, 5, 4), see ``clock.py``
null-data, don't-care          None
=============================  ==========================================================
"""

from cosem_objects.axdr.constructors import (
    NULL,
    array,
    bit_string,
    boolean,
    double_long,
    double_long_unsigned,
    enum,
    integer,
    long,
    long64_unsigned,
    long_unsigned,
    octet_string,
    structure,
    unsigned,
    utf8_string,
    visible_string,
)
from cosem_objects.axdr.decoding import DEPTH_MAX, EMPTY_RATIO_MAX, VALUES_MAX, count_values, decode, read
from cosem_objects.axdr.encoding import encode
from cosem_objects.axdr.values import CompactArray, Data, DataType, TypeDescription, Value

__all__ = [
    "DEPTH_MAX",
    "EMPTY_RATIO_MAX",
    "NULL",
    "VALUES_MAX",
    "CompactArray",
    "Data",
    "DataType",
    "TypeDescription",
    "Value",
    "array",
    "bit_string",
    "boolean",
    "count_values",
    "decode",
    "double_long",
    "double_long_unsigned",
    "encode",
    "enum",
    "integer",
    "long",
    "long64_unsigned",
    "long_unsigned",
    "octet_string",
    "read",
    "structure",
    "unsigned",
    "utf8_string",
    "visible_string",
]
