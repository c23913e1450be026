"""The one table of an order's life, looked at from all sides."""

from __future__ import annotations

from itertools import product

import pytest

from cosem_objects.sts_token import Token, TokenClass
from gateway.orders import (
    FINAL_STATES,
    OPEN_STATES,
    TOKENS_MAX,
    TRANSITIONS,
    UNDELIVERED_ONLY,
    UNSETTLED_STATES,
    Change,
    IllegalChange,
    Order,
    OrderedToken,
    OrderKind,
    OrderRefused,
    OrderState,
    Priority,
    after,
    kind_of,
)

S, C = OrderState, Change

# Written down a second time, by hand: what each change needs, and where it leads.
LIFE: dict[Change, tuple[set[OrderState], OrderState]] = {
    C.SEND: ({S.QUEUED, S.WAITING, S.SENDING, S.PENDING, S.RECONCILING}, S.SENDING),
    C.TAKE_BACK: ({S.SENDING}, S.WAITING),
    C.POSTPONE: ({S.QUEUED, S.WAITING}, S.WAITING),
    C.PEND: ({S.SENDING, S.PENDING, S.RECONCILING}, S.PENDING),
    C.DOUBT: ({S.SENDING, S.PENDING, S.IN_DOUBT, S.RECONCILING}, S.IN_DOUBT),
    C.RECONCILE: ({S.SENDING, S.PENDING, S.IN_DOUBT, S.RECONCILING}, S.RECONCILING),
    C.CONTINUE: ({S.QUEUED, S.WAITING, S.SENDING, S.PENDING, S.RECONCILING, S.HELD}, S.QUEUED),
    C.ACCEPT: ({S.SENDING, S.PENDING, S.RECONCILING, S.HELD}, S.ACCEPTED),
    C.REJECT: ({S.QUEUED, S.WAITING, S.SENDING, S.PENDING, S.RECONCILING, S.HELD}, S.REJECTED),
    C.HOLD: ({S.QUEUED, S.WAITING, S.SENDING, S.PENDING, S.IN_DOUBT, S.RECONCILING}, S.HELD),
    C.EXPIRE: ({S.QUEUED, S.WAITING}, S.EXPIRED),
    C.CANCEL: ({S.QUEUED, S.WAITING, S.HELD}, S.CANCELLED),
    C.RETRY: ({S.HELD}, S.QUEUED),
    C.READ_AGAIN: ({S.HELD, S.IN_DOUBT}, S.IN_DOUBT),
    C.RESTORE: ({S.QUEUED, S.WAITING, S.SENDING, S.PENDING, S.IN_DOUBT, S.RECONCILING}, S.IN_DOUBT),
}


@pytest.mark.parametrize(("state", "change", "mark"), list(product(OrderState, Change, (False, True))))
def test_every_change_of_every_state_is_decided(state: OrderState, change: Change, mark: bool) -> None:
    needs, leads_to = LIFE[change]
    forbidden = mark and change in (C.EXPIRE, C.CANCEL, C.RETRY)
    if state in needs and not forbidden:
        assert after(state, change, maybe_delivered=mark) is leads_to
    else:
        with pytest.raises(IllegalChange) as raised:
            after(state, change, maybe_delivered=mark)
        assert state.value in str(raised.value)
        assert change.value in str(raised.value)
        assert ("may have been delivered" in str(raised.value)) == mark


def test_what_is_closed_stays_closed() -> None:
    assert {before for before, _ in TRANSITIONS} == set(OPEN_STATES)
    assert set(OPEN_STATES) | set(FINAL_STATES) == set(OrderState)
    assert not set(OPEN_STATES) & set(FINAL_STATES)


def test_nothing_unsettled_can_end_without_the_meter_or_a_person() -> None:
    for state in UNSETTLED_STATES:
        for change in UNDELIVERED_ONLY:
            assert (state, change) not in TRANSITIONS
    assert (S.IN_DOUBT, C.ACCEPT) not in TRANSITIONS
    assert (S.IN_DOUBT, C.REJECT) not in TRANSITIONS
    assert (S.IN_DOUBT, C.SEND) not in TRANSITIONS


def test_from_every_open_state_there_is_a_way_to_an_end() -> None:
    reached = set(FINAL_STATES)
    while more := {before for (before, _), result in TRANSITIONS.items() if result in reached} - reached:
        reached |= more
    assert reached == set(OrderState)


def a_token(token_class: TokenClass, block: int = 1 << 40) -> Token:
    return Token.from_block(token_class, block)


@pytest.mark.parametrize(
    ("kind", "token_class", "works_once"),
    [
        (OrderKind.CREDIT, TokenClass.CREDIT, True),
        (OrderKind.MANAGEMENT, TokenClass.METER_SPECIFIC_MANAGEMENT, True),
        (OrderKind.KEY_CHANGE, TokenClass.METER_SPECIFIC_MANAGEMENT, False),
        (OrderKind.TEST, TokenClass.NON_METER_SPECIFIC_MANAGEMENT, False),
    ],
)
def test_only_what_has_a_token_identifier_works_once(
    kind: OrderKind, token_class: TokenClass, works_once: bool
) -> None:
    assert OrderedToken(a_token(token_class), kind).works_once is works_once
    Order(id="a", meter="m", tokens=(OrderedToken(a_token(token_class), kind),)).check()


@pytest.mark.parametrize("kind", list(OrderKind))
@pytest.mark.parametrize("token_class", list(TokenClass))
def test_a_kind_goes_with_its_class_alone(kind: OrderKind, token_class: TokenClass) -> None:
    order = Order(id="a", meter="m", tokens=(OrderedToken(a_token(token_class), kind),))
    fits = kind_of(a_token(token_class)) is kind or (
        kind is OrderKind.KEY_CHANGE and token_class is TokenClass.METER_SPECIFIC_MANAGEMENT
    )
    if fits:
        order.check()
        assert kind_of(a_token(token_class)) is not None
    else:
        with pytest.raises(OrderRefused, match=r"tokens\[0\]"):
            order.check()


def test_an_order_that_cannot_be_meant_is_refused_by_the_name_of_the_field() -> None:
    one = OrderedToken(a_token(TokenClass.CREDIT), OrderKind.CREDIT)
    many = tuple(OrderedToken(a_token(TokenClass.CREDIT, n << 33), OrderKind.CREDIT) for n in range(TOKENS_MAX + 1))
    for tokens, field in (((), "tokens"), (many, "tokens"), ((one, one), "tokens[1]")):
        with pytest.raises(OrderRefused) as raised:
            Order(id="a", meter="m", tokens=tokens).check()
        assert raised.value.field == field
        assert one.token.digits not in str(raised.value)


def test_priorities_are_served_in_their_sequence() -> None:
    assert sorted(Priority, key=lambda priority: priority.rank) == [
        Priority.CREDIT,
        Priority.OPERATOR,
        Priority.CAMPAIGN,
    ]
