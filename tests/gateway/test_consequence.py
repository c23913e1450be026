"""Every verdict has one consequence for its order, and it is a change that the table of orders allows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cosem_objects.sts_token import Token
from gateway.consequence import Consequence, MeterHours, RetryRules, consequence, is_over
from gateway.events import Judged
from gateway.orders import Change, OrderKind, OrderState, Priority, after
from gateway.schedule import Window
from gateway.store.records import NextHead, OrderWork, TokenWork
from gateway.verdict import Credited, NextStep, Outcome, Verdict

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TOKENS = tuple(TokenWork(position=n, token=Token(1 + n), kind=OrderKind.CREDIT, amount=None) for n in range(3))


def work_of(
    *, tokens: int = 1, state: OrderState = OrderState.QUEUED, doubts: int = 0, expires_at: datetime | None = None
) -> OrderWork:
    return OrderWork(
        number=1,
        id="order-1",
        meter="meter-1",
        state=state,
        maybe_delivered=False,
        priority=Priority.CREDIT,
        tokens=TOKENS[:tokens],
        attempts=0,
        doubts=doubts,
        not_before=None,
        expires_at=expires_at,
    )


def follows(
    work: OrderWork, verdict: Verdict, *, has_sent: bool = True, hours: MeterHours | None = None
) -> Consequence:
    return consequence(
        work,
        [Judged(work.tokens[0].token, verdict)],
        has_sent=has_sent,
        now=NOW,
        rules=RetryRules(),
        hours=hours or MeterHours(),
        chance=0.5,
    )


ACCEPTED = Verdict(Outcome.ACCEPTED, Credited.YES, None, "3")
REJECTED = Verdict(Outcome.REJECTED, Credited.NO, "crc", "5")
UNREACHED = Verdict(Outcome.UNREACHED, Credited.NO, "offline", "1")
HELD = Verdict(Outcome.HELD, Credited.UNKNOWN, "used", "8")
IN_DOUBT = Verdict(Outcome.IN_DOUBT, Credited.UNKNOWN, "no-answer", "2", NextStep.RECONNECT)
NOT_SHOWN = Verdict(Outcome.IN_DOUBT, Credited.UNKNOWN, "not-shown", "6", NextStep.ENTER)


@pytest.mark.parametrize(
    ("verdict", "has_sent", "tokens", "change", "then"),
    [
        (ACCEPTED, True, 1, Change.ACCEPT, NextHead.NEXT),
        (ACCEPTED, True, 2, Change.CONTINUE, NextHead.STAY),
        (REJECTED, True, 1, Change.REJECT, NextHead.NEXT),
        (REJECTED, True, 2, Change.REJECT, NextHead.NEXT),
        (UNREACHED, False, 1, Change.POSTPONE, NextHead.LEAVE),
        (UNREACHED, True, 1, Change.TAKE_BACK, NextHead.LEAVE),
        (HELD, True, 1, Change.HOLD, NextHead.NEXT),
        (IN_DOUBT, True, 1, Change.DOUBT, NextHead.LEAVE),
        (NOT_SHOWN, True, 1, Change.DOUBT, NextHead.LEAVE),
    ],
)
def test_each_verdict_has_its_consequence(
    verdict: Verdict, has_sent: bool, tokens: int, change: Change, then: NextHead
) -> None:
    result = follows(work_of(tokens=tokens), verdict, has_sent=has_sent)
    assert (result.step.change, result.then) == (change, then)
    state = OrderState.SENDING if has_sent else OrderState.QUEUED
    after(state, change, maybe_delivered=has_sent)
    assert len(result.step.events) == 1
    assert result.step.outcomes[0][1].verdict is verdict


@pytest.mark.parametrize(
    ("verdict", "tokens", "change", "told"),
    [
        (ACCEPTED, 2, Change.ACCEPT, ["order.token_accepted", "order.accepted"]),
        (ACCEPTED, 3, Change.CONTINUE, ["order.token_accepted", "order.token_accepted"]),
        (REJECTED, 3, Change.REJECT, ["order.rejected"]),
        (HELD, 3, Change.HOLD, ["order.held"]),
        (IN_DOUBT, 3, Change.DOUBT, ["order.in_doubt"]),
        (UNREACHED, 3, Change.TAKE_BACK, ["order.postponed"]),
    ],
)
def test_the_sections_of_a_set_are_settled_together_and_the_order_is_told_once(
    verdict: Verdict, tokens: int, change: Change, told: list[str]
) -> None:
    work = work_of(tokens=tokens)
    judged = [Judged(token.token, verdict) for token in work.tokens[:2]]
    result = consequence(work, judged, has_sent=True, now=NOW, rules=RetryRules(), hours=MeterHours(), chance=0.5)
    assert result.step.change is change
    assert [(position, one.verdict) for position, one in result.step.outcomes] == [(0, verdict), (1, verdict)]
    assert [event.name for event in result.step.events] == told


@pytest.mark.parametrize("verdict", [UNREACHED, IN_DOUBT, NOT_SHOWN])
def test_what_is_not_settled_has_a_later_time(verdict: Verdict) -> None:
    due_at = follows(work_of(), verdict).step.due_at
    assert due_at is not None
    assert NOW < due_at <= NOW + timedelta(minutes=1)


def test_retries_keep_the_hours_of_the_meter_and_doubts_do_not() -> None:
    night = MeterHours(windows=(Window.parse("22:00-06:00"),))
    assert follows(work_of(), UNREACHED, hours=night).step.due_at == NOW.replace(hour=22)
    due_at = follows(work_of(), IN_DOUBT, hours=night).step.due_at
    assert due_at is not None
    assert due_at < NOW + timedelta(minutes=1)


def test_after_the_deadline_a_token_that_is_not_shown_is_held_and_an_unread_one_is_read_again() -> None:
    late = work_of(expires_at=NOW - timedelta(seconds=1))
    assert is_over(late, NOW)
    held = follows(late, NOT_SHOWN)
    assert (held.step.change, held.step.reason) == (Change.HOLD, "expired")
    assert follows(late, IN_DOUBT).step.change is Change.DOUBT


def test_doubts_without_end_are_given_to_a_person() -> None:
    last = RetryRules().doubt_rounds_max - 1
    assert follows(work_of(doubts=last - 1), IN_DOUBT).step.change is Change.DOUBT
    held = follows(work_of(doubts=last), IN_DOUBT)
    assert (held.step.change, held.step.reason) == (Change.HOLD, "doubt")
