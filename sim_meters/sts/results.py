"""What a meter says about a token (IEC 62055-41; the numbers as published for the token result register)."""

from __future__ import annotations

from enum import IntEnum


class TokenResult(IntEnum):
    """The token result. Numbers from one manufacturer's manual (Conlog BEC62), names from the standard."""

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
    # guess: no number is published for these two. The low octet, which is what the register shows, is that of "a
    # section is held, more are needed"; the high one is ours.
    THIRD_KEY_CHANGE_SECTION = 0x0302
    FOURTH_KEY_CHANGE_SECTION = 0x0402

    @property
    def register(self) -> int:
        """As the token result register shows it, in 8 bits."""
        return self & 0xFF

    @property
    def section(self) -> int | None:
        """Which section of a key-change set was stored by this token, 1 to 4; ``None`` for every other result."""
        return _SECTIONS.get(self)


SECTION_RESULTS = (
    TokenResult.FIRST_KEY_CHANGE_SECTION,
    TokenResult.SECOND_KEY_CHANGE_SECTION,
    TokenResult.THIRD_KEY_CHANGE_SECTION,
    TokenResult.FOURTH_KEY_CHANGE_SECTION,
)
_SECTIONS = {result: number for number, result in enumerate(SECTION_RESULTS, 1)}
