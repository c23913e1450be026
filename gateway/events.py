"""What happens in a delivery, in the words that are recorded. A store keeps them, a command prints them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from cosem_objects.payment import KeyAttributes
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import TokenStatus
from gateway.key_change import KeyShown
from gateway.readback import NO_ACCOUNT, AccountReading
from gateway.verdict import Reading, Verdict


@dataclass(frozen=True, slots=True)
class Reached:
    """The meter is associated and is the right one."""

    system_title: bytes
    account: AccountReading
    unchecked: tuple[str, ...] = ()
    """What of its identity was to be checked, and is not in this meter."""


@dataclass(frozen=True, slots=True)
class SendStarted:
    """The intent: recorded before the first byte of ``enter`` leaves. From here on the token may have arrived."""

    token: Token
    tries: int
    """This one included."""
    before: Reading
    account: AccountReading
    """Before the first of these tries, as far as somebody remembers."""


@dataclass(frozen=True, slots=True)
class StatusRead:
    """One reading after ``enter`` that is not final yet."""

    token: Token
    status: TokenStatus | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class KeyRead:
    """Class 116 was read, for a key-change set; and how it compares with what the set is to bring."""

    key: KeyAttributes
    shown: KeyShown


@dataclass(frozen=True, slots=True)
class SectionStored:
    """The meter executed one section of a key-change set: no verdict yet, only the whole set has one."""

    token: Token
    position: int
    """From 0."""
    sections: int


@dataclass(frozen=True, slots=True)
class DoubtArisen:
    """The fate of the token is not known; a new association will read it back."""

    token: Token
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on one token, with what the meter showed."""

    token: Token
    verdict: Verdict
    status: TokenStatus | None = None
    before: AccountReading = NO_ACCOUNT
    after: AccountReading = NO_ACCOUNT
    control_state: int | None = None
    token_time: datetime | None = None
    """Attribute 3 with the verdict: when the meter took the token, by its own clock; in UTC if it knows its zone."""
    elapsed_seconds: float = 0.0


Event: TypeAlias = Reached | KeyRead | SendStarted | StatusRead | SectionStored | DoubtArisen | Judged
Record = Callable[[Event], Awaitable[None]]
