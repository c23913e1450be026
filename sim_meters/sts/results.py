"""What a meter says about a token (IEC 62055-41; the numbers as published for the token result register)."""

from __future__ import annotations

from enum import IntEnum


class TokenResult(IntEnum):
    """The token result register. Numbers from one manufacturer's manual (Conlog BEC62), names from the standard."""

    ACCEPT = 1
    FIRST_KEY_CHANGE_SECTION = 2
    SECOND_KEY_CHANGE_SECTION = 3
    OVERFLOW_ERROR = 4
    KEY_TYPE_ERROR = 5
    FORMAT_ERROR = 6
    RANGE_ERROR = 7
    FUNCTION_ERROR = 8
    OLD_ERROR = 9
    USED_ERROR = 10
    KEY_EXPIRED_ERROR = 11
    DDTK_ERROR = 12
    CRC_ERROR = 13
    MFR_CODE_ERROR = 14
    LOCKOUT = 15
    NOT_READY = 16
