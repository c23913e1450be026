"""What goes into a store and comes out of it. Plain values; times are aware, in UTC. Pure.

Tokens and secrets are whole in here, and in memory only: the store seals them before they reach the disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import takewhile
from typing import Any

from cosem_objects.sts_token import Token
from gateway.events import Judged
from gateway.orders import Amount, Change, OrderKind, OrderState, Priority
from gateway.readback import NO_ACCOUNT, AccountReading
from gateway.verdict import Credited, Outcome, Reading

Details = Mapping[str, Any]
"""JSON values only, and never a whole token, key or password."""


# The registry.


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterRecord:
    """One meter of the registry, as the API took it."""

    id: str
    link: str
    """What it shares with other meters: the name that the caller gave, else ``scheme://host:port``."""
    settings: Details
    """The body of ``PUT /v1/meters/{id}``, checked, without its secrets."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """``password``, ``ek``, ``ak``, as far as given."""
    version: int = 0
    """Grows with each change; made by the store."""
    created_at: datetime | None = None
    changed_at: datetime | None = None
    last_seen_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRecord:
    """The limits of one link. None = no limit of this kind."""

    id: str
    concurrency: int | None = None
    """Associations at a time."""
    rate_per_second: float | None = None
    """Associations begun in a second, on average."""
    burst: int = 1
    """How many of them may begin at once after a quiet time."""
    paused: bool = False
    meters: int = 0
    """How many meters share it; filled in by the store."""
    is_configured: bool = True
    """False: somebody's link that nobody gave limits to."""


# Orders, as they are shown.


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRecord:
    """One token of an order, with its outcome as far as there is one."""

    position: int
    masked: str
    kind: OrderKind
    amount: Amount | None = None
    tries: int = 0
    verdict: Outcome | None = None
    """None: nothing is known yet. Not final while the order is open."""
    credited: Credited | None = None
    status_code: int | None = None
    reason: str | None = None
    evidence: str | None = None
    details: Details = field(default_factory=dict)
    """``detail, row, data_value, balance_before, balance_after, unit, token_time, elapsed_ms``, as far as known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRecord:
    """An order as it stands now."""

    number: int
    """The store's own, growing; orders are listed by it."""
    id: str
    meter: str
    priority: Priority
    state: OrderState
    reason: str | None
    maybe_delivered: bool
    created_at: datetime
    changed_at: datetime
    due_at: datetime | None
    not_before: datetime | None
    expires_at: datetime | None
    attempts: int
    """Tries that reached nobody."""
    doubts: int
    """Rounds of reading back that settled nothing."""
    key: Details | None = field(repr=False)
    new_key: Details | None = field(repr=False)
    tokens: tuple[TokenRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """One line of an order's story, to be appended."""

    name: str
    details: Details = field(default_factory=dict)
    position: int | None = None
    """Which token it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One line of an order's story. ``number`` grows without gaps of meaning: who has read up to it has read all."""

    number: int
    order: str
    meter: str
    at: datetime
    name: str
    position: int | None
    details: Details


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """Which orders; None = any."""

    states: tuple[OrderState, ...] | None = None
    meter: str | None = None
    reason: str | None = None


# What became of orders that were handed in. One of these for each.


@dataclass(frozen=True, slots=True)
class Added:
    """It is on disk."""

    order_id: str


@dataclass(frozen=True, slots=True)
class Known:
    """The same order, with the same body, was there already."""

    order_id: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """It was not taken: the id belongs to an order with another body, a token to another order, or no such meter."""

    order_id: str
    field: str
    """``id``, ``tokens[N]`` or ``meter``."""
    message: str
    other: str | None = None
    """The order in the way."""


AddResult = Added | Known | Conflict


# Lanes: what the dispatcher works on.


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWork:
    """One token that has no final outcome yet, and what is remembered of earlier tries."""

    position: int
    token: Token
    kind: OrderKind
    amount: Amount | None
    tries: int = 0
    before: Reading | None = None
    """Read before the last ``enter``; None if nothing is remembered."""
    account_before: AccountReading = NO_ACCOUNT


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderWork:
    """The order at the head of a lane."""

    number: int
    id: str
    meter: str
    state: OrderState
    maybe_delivered: bool
    priority: Priority
    tokens: tuple[TokenWork, ...]
    """Those that are still open, in their sequence."""
    attempts: int
    doubts: int
    not_before: datetime | None
    expires_at: datetime | None
    beside: tuple[Token, ...] = field(default=(), repr=False)
    """Open tokens of the meter's other orders in doubt, if this one may have been delivered, too. While the meter shows
    one of these, nothing may be entered: the class shows the last token only."""
    new_key: Details | None = field(default=None, repr=False)
    """What class 116 must show after a key-change set, if a section is open."""

    @property
    def key_change_sections(self) -> tuple[TokenWork, ...]:
        """The key-change set that has its turn; empty if a token of another kind has."""
        return tuple(takewhile(lambda token: token.kind is OrderKind.KEY_CHANGE, self.tokens))


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneClaim:
    """The right to speak to one meter. ``fence`` proves it: every write of the lane's holder carries it."""

    meter: str
    meter_version: int
    link: str
    fence: int
    work: OrderWork | None
    """None when the lane was claimed for something else than orders."""


@dataclass(frozen=True, slots=True)
class Quota:
    """How many lanes may be claimed on one link, or on all links that nobody shares (``link`` None)."""

    link: str | None
    free: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """Lanes that are ours now, best first; and when each link that was asked for should be asked again (None = when
    somebody says that there is work)."""

    claims: tuple[LaneClaim, ...]
    next_due: Mapping[str | None, datetime | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What happened to the order that a lane works on, written in one transaction with its part of the story."""

    change: Change
    outcomes: Sequence[tuple[int, Judged]] = ()
    """Tokens that have an outcome now, by position; all sections of a key-change set at once. Final for ACCEPT, REJECT
    and CONTINUE; else as things stand."""
    reason: str | None = None
    due_at: datetime | None = None
    """For POSTPONE, TAKE_BACK, DOUBT: when to try or read again."""
    events: Sequence[NewEvent] = ()


class NextHead(StrEnum):
    """What a lane's holder wants after a step."""

    STAY = "stay"
    """Go on with this order."""
    NEXT = "next"
    """The next order that is due, or the lane is given back."""
    LEAVE = "leave"
    """The lane is given back: the meter is out of reach."""


# People.


class ResolveCredited(StrEnum):
    """An operator's word on a held order."""

    YES = "yes"
    NO = "no"
    RETRY = "retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What a person decided about a held order."""

    credited: ResolveCredited
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyRecord:
    """One API key, as far as it may be known: its hash stays in the store."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """Who did what, when."""

    number: int
    at: datetime
    who: str
    """The API key's name, or the command."""
    action: str
    subject: str
    details: Details


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRecord:
    """Who is told of events."""

    id: str
    url: str
    secret: str = field(repr=False)
    events: tuple[str, ...]
    """Names of events; empty = those that end or hold an order."""
    is_active: bool = True
    created_at: datetime | None = None
    waiting: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDelivery:
    """One event on its way to one webhook."""

    number: int
    webhook: str
    event: EventRecord
    attempts: int
    due_at: datetime
    is_dead: bool = False
    last_error: str | None = None


# The whole.


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What metrics and health show, counted in the store."""

    orders: Mapping[tuple[OrderState, str | None], int]
    """Open orders by state and reason; closed ones since the start of the installation by state alone."""
    oldest_doubt_at: datetime | None
    oldest_due_at: datetime | None
    webhooks_waiting: int
    webhooks_dead: int
    counters_near_end: int
    """Meters whose invocation counter passed three quarters of its range."""
    file_octets: int
