"""Class 15, Association LN: the object through which a meter describes, and authenticates, an association."""

from __future__ import annotations

from enum import IntEnum

from cosem_objects.obis import ObisCode

CLASS_ID = 15
CURRENT_OBIS = ObisCode.parse("0-0:40.0.0.255")
"""Whatever association is open: its own object."""

PUBLIC_CLIENT_SAP = 16
"""The client that every meter knows: without security, and for little more than who the meter is."""

METHOD_REPLY_TO_HLS_AUTHENTICATION = 1


class Attribute(IntEnum):
    LOGICAL_NAME = 1
    OBJECT_LIST = 2
    ASSOCIATED_PARTNERS_ID = 3
    APPLICATION_CONTEXT_NAME = 4
    XDLMS_CONTEXT_INFO = 5
    AUTHENTICATION_MECHANISM_NAME = 6
    SECRET = 7
    ASSOCIATION_STATUS = 8
    SECURITY_SETUP_REFERENCE = 9


class AssociationStatus(IntEnum):
    NON_ASSOCIATED = 0
    ASSOCIATION_PENDING = 1
    ASSOCIATED = 2
