"""Orders: deliver these tokens, in this sequence, to this meter. What they are, and what may become of them. Pure.

Every change of an order goes through ``after``: one table says which state may follow which. The store holds the same
table in the database, where a trigger refuses everything else (``tests/contract/test_stores.py`` compares the two).
Beside the state stands one mark that is never taken back unless it is proven that nothing left: *maybe delivered*. An
order that carries it can no longer be cancelled and can no longer expire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from cosem_objects.sts_token import Token, TokenClass

TOKENS_MAX = 20
"""In one order. guess: a key-change set with its credits has at most six."""


SECTIONS_MAX = 4
"""Of a key-change set: two for EA07, or three that carry the supply group; four for EA11 (IEC 62055-41)."""


class OrderState(StrEnum):
    """Where an order is."""

    QUEUED = "queued"
    """Due as soon as its meter's lane is free."""
    WAITING = "waiting"
    """Due at a later time: not before, or after a try that reached nobody."""
    SENDING = "sending"
    """The intent is written; a byte of ``enter`` may have left."""
    PENDING = "pending"
    """The meter shows the token, and is not done with it."""
    IN_DOUBT = "in_doubt"
    """A token may have arrived. The meter is read before anything else happens to it."""
    RECONCILING = "reconciling"
    """Being read back."""
    HELD = "held"
    """A person has to decide; ``resolve`` says what."""
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Change(StrEnum):
    """What may happen to an order."""

    SEND = "send"
    """The intent: ``enter`` is about to be sent."""
    TAKE_BACK = "take_back"
    """It is proven that nothing of this order's only try left."""
    POSTPONE = "postpone"
    """The meter was not reached."""
    PEND = "pend"
    DOUBT = "doubt"
    RECONCILE = "reconcile"
    """Its lane was claimed, to read the meter."""
    CONTINUE = "continue"
    """A token is settled, and the next one of the order has its turn."""
    ACCEPT = "accept"
    REJECT = "reject"
    HOLD = "hold"
    EXPIRE = "expire"
    CANCEL = "cancel"
    RETRY = "retry"
    """An operator sends a held order once more that cannot have arrived."""
    READ_AGAIN = "read_again"
    """An operator lets a meter be read again; it was in doubt, or held after one."""
    RESTORE = "restore"
    """More may have happened than is written: the store was restored from a backup, or the meter shows the effect of an
    order that was never sent."""


_S, _C = OrderState, Change
OPEN_STATES = (_S.QUEUED, _S.WAITING, _S.SENDING, _S.PENDING, _S.IN_DOUBT, _S.RECONCILING, _S.HELD)
FINAL_STATES = (_S.ACCEPTED, _S.REJECTED, _S.EXPIRED, _S.CANCELLED)
UNSENT_STATES = (_S.QUEUED, _S.WAITING)
"""States in which ``enter`` is not under way; a token of the order may have been delivered all the same."""
UNSETTLED_STATES = (_S.SENDING, _S.PENDING, _S.IN_DOUBT, _S.RECONCILING)
"""While an order of a meter is in one of these, no other token may be entered: the class shows the last one only."""
UNDELIVERED_ONLY = (_C.EXPIRE, _C.CANCEL, _C.RETRY)
"""Changes that are impossible once a token of the order may have been delivered."""

_ALLOWED: dict[Change, tuple[tuple[OrderState, ...], OrderState]] = {
    _C.SEND: ((_S.QUEUED, _S.WAITING, _S.SENDING, _S.PENDING, _S.RECONCILING), _S.SENDING),
    _C.TAKE_BACK: ((_S.SENDING,), _S.WAITING),
    _C.POSTPONE: ((_S.QUEUED, _S.WAITING), _S.WAITING),
    _C.PEND: ((_S.SENDING, _S.PENDING, _S.RECONCILING), _S.PENDING),
    _C.DOUBT: ((_S.SENDING, _S.PENDING, _S.IN_DOUBT, _S.RECONCILING), _S.IN_DOUBT),
    _C.RECONCILE: ((_S.SENDING, _S.PENDING, _S.IN_DOUBT, _S.RECONCILING), _S.RECONCILING),
    _C.CONTINUE: ((_S.QUEUED, _S.WAITING, _S.SENDING, _S.PENDING, _S.RECONCILING, _S.HELD), _S.QUEUED),
    _C.ACCEPT: ((_S.SENDING, _S.PENDING, _S.RECONCILING, _S.HELD), _S.ACCEPTED),
    _C.REJECT: ((_S.QUEUED, _S.WAITING, _S.SENDING, _S.PENDING, _S.RECONCILING, _S.HELD), _S.REJECTED),
    _C.HOLD: ((_S.QUEUED, _S.WAITING, *UNSETTLED_STATES), _S.HELD),
    _C.EXPIRE: (UNSENT_STATES, _S.EXPIRED),
    _C.CANCEL: ((*UNSENT_STATES, _S.HELD), _S.CANCELLED),
    _C.RETRY: ((_S.HELD,), _S.QUEUED),
    _C.READ_AGAIN: ((_S.HELD, _S.IN_DOUBT), _S.IN_DOUBT),
    _C.RESTORE: ((*UNSENT_STATES, *UNSETTLED_STATES), _S.IN_DOUBT),
}

TRANSITIONS: Mapping[tuple[OrderState, Change], OrderState] = {
    (before, change): result for change, (states, result) in _ALLOWED.items() for before in states
}


class IllegalChange(Exception):
    """What was asked for cannot happen to an order in this state."""

    def __init__(self, state: OrderState, change: Change, *, maybe_delivered: bool) -> None:
        marked = ", and may have been delivered" if maybe_delivered else ""
        super().__init__(f"{change.value} is not possible: the order is {state.value}{marked}")
        self.state = state
        self.change = change


def after(state: OrderState, change: Change, *, maybe_delivered: bool) -> OrderState:
    """The state that follows. Raises ``IllegalChange``."""
    result = TRANSITIONS.get((state, change))
    if result is None or (maybe_delivered and change in UNDELIVERED_ONLY):
        raise IllegalChange(state, change, maybe_delivered=maybe_delivered)
    return result


class OrderKind(StrEnum):
    """What a token is for, in the words of the caller."""

    CREDIT = "credit"
    KEY_CHANGE = "key_change"
    MANAGEMENT = "management"
    TEST = "test"


_KIND_CLASSES = {
    OrderKind.CREDIT: (TokenClass.CREDIT,),
    OrderKind.KEY_CHANGE: (TokenClass.METER_SPECIFIC_MANAGEMENT,),
    OrderKind.MANAGEMENT: (TokenClass.METER_SPECIFIC_MANAGEMENT,),
    OrderKind.TEST: (TokenClass.NON_METER_SPECIFIC_MANAGEMENT,),
}
_KIND_OF_CLASS = {
    TokenClass.CREDIT: OrderKind.CREDIT,
    TokenClass.NON_METER_SPECIFIC_MANAGEMENT: OrderKind.TEST,
    TokenClass.METER_SPECIFIC_MANAGEMENT: OrderKind.MANAGEMENT,
}


class Priority(StrEnum):
    """Who goes first in a meter's lane, and for the places on a link."""

    CREDIT = "credit"
    OPERATOR = "operator"
    CAMPAIGN = "campaign"

    @property
    def rank(self) -> int:
        """As it is stored: the lowest goes first."""
        return _RANKS[self]


_RANKS = {Priority.CREDIT: 0, Priority.OPERATOR: 1, Priority.CAMPAIGN: 5}
PRIORITY_OF_RANK = {rank: priority for priority, rank in _RANKS.items()}


@dataclass(frozen=True, slots=True)
class Amount:
    """What the caller says that the tokens are worth."""

    value: Decimal
    unit: str
    """``kWh``, ``m3``, ``min``, or an ISO currency code."""


class OrderRefused(Exception):
    """An order that cannot be taken as it is: ``field`` names what is wrong with it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class OrderedToken:
    """One token of an order, and what the caller said of it."""

    token: Token
    kind: OrderKind
    amount: Amount | None = None

    @property
    def works_once(self) -> bool:
        """Whether it has a TID, so that no second order may carry it. Class 1 and key-change sets may repeat."""
        return self.token.token_class is not TokenClass.NON_METER_SPECIFIC_MANAGEMENT and (
            self.kind is not OrderKind.KEY_CHANGE
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Deliver these tokens, in this sequence, to this meter. The caller makes ``id``; it is unique per installation."""

    id: str
    meter: str
    tokens: tuple[OrderedToken, ...]
    priority: Priority = Priority.CREDIT
    key: Mapping[str, Any] | None = field(default=None, repr=False)
    """What the caller says of the key that the tokens are under (``sgc``, ``krn``, ``ti``); never key material."""
    new_key: Mapping[str, Any] | None = field(default=None, repr=False)
    not_before: datetime | None = None
    expires_at: datetime | None = None

    def check(self) -> None:
        """Raises ``OrderRefused``. What is well-formed, but cannot be meant."""
        if not 1 <= len(self.tokens) <= TOKENS_MAX:
            raise OrderRefused("tokens", f"expected 1 to {TOKENS_MAX} tokens")
        self._check_sets()
        seen = set()
        for number, ordered in enumerate(self.tokens):
            field_name, token = f"tokens[{number}]", ordered.token
            if token.token_class is TokenClass.RESERVED:
                raise OrderRefused(field_name, f"token {token.masked}: class 3 is reserved, no meter takes it")
            if token.token_class not in _KIND_CLASSES[ordered.kind]:
                raise OrderRefused(
                    field_name,
                    f"token {token.masked} is of class {token.token_class.value}, which is no {ordered.kind.value}",
                )
            if token in seen:
                raise OrderRefused(field_name, f"token {token.masked} is given twice")
            seen.add(token)
        if self.not_before and self.expires_at and self.not_before >= self.expires_at:
            raise OrderRefused("expires_at", "it is not later than not_before")

    def _check_sets(self) -> None:
        """``new_key`` is of one set, so an order has one at most, in one piece."""
        places = [number for number, ordered in enumerate(self.tokens) if ordered.kind is OrderKind.KEY_CHANGE]
        if places and places != list(range(places[0], places[0] + len(places))):
            raise OrderRefused(f"tokens[{places[-1]}]", "the sections of a key-change set stand one behind the other")
        if len(places) > SECTIONS_MAX:
            raise OrderRefused(
                f"tokens[{places[-1]}]", f"a key-change set has {SECTIONS_MAX} sections at most; an order has one set"
            )


def kind_of(token: Token) -> OrderKind | None:
    """What a token is for, as far as its class says; None for the reserved class."""
    return _KIND_OF_CLASS.get(token.token_class)
