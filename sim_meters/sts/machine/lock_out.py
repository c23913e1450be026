"""Keypad lock-out: after some wrong entries in a row the keypad waits, longer each time.

It is no part of the standard but each manufacturer's own. guess: three entries, 10 seconds, doubling up to 1280, as
one manufacturer's manual has it (CLOU); another one says only "doubling". Class 1 tokens are taken all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cosem_objects.sts_token import TokenClass
from sim_meters.sts.results import TokenResult

# guess: an entry is wrong if its digits are. A token that is old or used had the right digits.
WRONG_ENTRIES = (TokenResult.FORMAT_ERROR, TokenResult.CRC_ERROR, TokenResult.MFR_CODE_ERROR)


@dataclass(frozen=True, slots=True)
class LockOutRule:
    """``after`` wrong entries lock for ``first_seconds``; each further one doubles that, up to ``longest_seconds``."""

    after: int = 3
    first_seconds: int = 10
    longest_seconds: int = 1280

    def seconds(self, failures: int) -> int:
        """How long the last of so many wrong entries locks."""
        beyond = failures - self.after
        return 0 if beyond < 0 else min(self.first_seconds << min(beyond, 32), self.longest_seconds)


@dataclass(frozen=True, slots=True)
class LockOut:
    """Where the meter stands with wrong entries."""

    failures: int = 0
    until: datetime | None = None

    def holds(self, now: datetime, token_class: TokenClass | None) -> bool:
        """Whether an entry is turned away. ``token_class``: ``None`` for what is no token."""
        is_locked = self.until is not None and now < self.until
        return is_locked and token_class is not TokenClass.NON_METER_SPECIFIC_MANAGEMENT

    def after(self, result: TokenResult, token_class: TokenClass | None, now: datetime, rule: LockOutRule) -> LockOut:
        """Once an entry had this result. A token for this meter that was taken clears it."""
        if result in WRONG_ENTRIES:
            failures = self.failures + 1
            seconds = rule.seconds(failures)
            return LockOut(failures, now + timedelta(seconds=seconds) if seconds else None)
        is_for_this_meter = token_class is not TokenClass.NON_METER_SPECIFIC_MANAGEMENT
        is_taken = result is TokenResult.ACCEPT or result.section is not None
        return LockOut() if is_taken and is_for_this_meter else self
