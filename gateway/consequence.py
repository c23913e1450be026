"""What a verdict on one token means for its order: which change, when again, and whether its meter is worth going on
with. Pure; the counterpart of ``verdict``, which decides what became of the token itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo

from gateway import timeline
from gateway.events import Judged
from gateway.orders import Change, OrderState
from gateway.schedule import Backoff, Window, in_window
from gateway.store.records import NextHead, OrderWork, Step, TokenWork
from gateway.verdict import OTHER_SET, Credited, NextStep, Outcome, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRules:
    """When an order is tried again, and when it is given to a person."""

    backoff: Backoff = field(default_factory=Backoff)
    """After a try that reached nobody."""
    doubt_backoff: Backoff = field(default_factory=lambda: Backoff(first_seconds=10.0, longest_seconds=3600.0))
    """Between rounds of reading a token back that is in doubt."""
    doubt_rounds_max: int = 100
    """Rounds that settle nothing, before a person has to decide. guess: four days, once the waits have grown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterHours:
    """When the meter may be called again."""

    windows: Sequence[Window] = ()
    zone: tzinfo = UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequence:
    """What is written, and what comes next in this lane."""

    step: Step
    then: NextHead


def consequence(
    work: OrderWork,
    judged: Sequence[Judged],
    *,
    has_sent: bool,
    now: datetime,
    rules: RetryRules,
    hours: MeterHours,
    chance: float,
) -> Consequence:
    """What follows for an order whose first open token was judged, or all sections of the key-change set that it
    begins, which have one verdict. ``has_sent``: an intent was written in this try; ``chance``: drawn from 0 to below
    1, for the waits. Every verdict has exactly one consequence."""
    settled = _Settled(work.tokens[: len(judged)], judged)
    verdict = judged[0].verdict
    if verdict.outcome is Outcome.ACCEPTED and len(work.tokens) > len(judged):
        return settled.consequence(Change.CONTINUE, NextHead.STAY, OrderState.QUEUED)
    if verdict.outcome is Outcome.ACCEPTED:
        return settled.consequence(Change.ACCEPT, NextHead.NEXT, OrderState.ACCEPTED)
    if verdict.outcome is Outcome.REJECTED:
        return settled.consequence(Change.REJECT, NextHead.NEXT, OrderState.REJECTED)
    if verdict.outcome is Outcome.UNREACHED:
        due_at = in_window(now + rules.backoff.wait(work.attempts + 1, chance), hours.windows, hours.zone)
        change = Change.TAKE_BACK if has_sent else Change.POSTPONE
        event = timeline.postponed(verdict.reason or "", verdict.detail, due_at)
        step = Step(change=change, outcomes=settled.outcomes, reason=verdict.reason, due_at=due_at, events=(event,))
        # Another set in the way says nothing about the meter: its other orders have their turn.
        then = NextHead.NEXT if verdict.reason == OTHER_SET else NextHead.LEAVE
        return Consequence(step=step, then=then)
    if verdict.outcome is Outcome.HELD:
        return settled.consequence(Change.HOLD, NextHead.NEXT, OrderState.HELD)
    return _doubt(work, settled, now, rules, chance)


def _doubt(work: OrderWork, settled: _Settled, now: datetime, rules: RetryRules, chance: float) -> Consequence:
    """It may have arrived. The meter is read again, whatever the hours, until it says so or somebody gives up."""
    was_read = settled.judged[0].verdict.next_step is NextStep.ENTER
    if was_read and is_over(work, now):
        return settled.consequence(Change.HOLD, NextHead.NEXT, OrderState.HELD, reason="expired")
    if work.doubts + 1 >= rules.doubt_rounds_max:
        return settled.consequence(Change.HOLD, NextHead.NEXT, OrderState.HELD, reason="doubt")
    due_at = now + rules.doubt_backoff.wait(work.doubts + 1, chance)
    return settled.consequence(Change.DOUBT, NextHead.LEAVE, OrderState.IN_DOUBT, due_at=due_at)


def is_over(work: OrderWork, now: datetime) -> bool:
    """Whether nothing more may be sent for it."""
    return work.expires_at is not None and now >= work.expires_at


def held_step(token: TokenWork, reason: str, words: str, *, may_have_left: bool) -> Step:
    """Not for a verdict on the token, but because it cannot be worked on: a person has to look."""
    credited = Credited.UNKNOWN if may_have_left else Credited.NO
    judged = Judged(token.token, Verdict(Outcome.HELD, credited, reason, "1", detail=words))
    events = (timeline.held(reason, words),)
    return Step(change=Change.HOLD, outcomes=((token.position, judged),), reason=reason, events=events)


@dataclass(frozen=True, slots=True)
class _Settled:
    """What was judged together: one token, or the sections of one key-change set."""

    tokens: Sequence[TokenWork]
    judged: Sequence[Judged]

    @property
    def outcomes(self) -> tuple[tuple[int, Judged], ...]:
        return tuple((token.position, one) for token, one in zip(self.tokens, self.judged, strict=True))

    def consequence(
        self,
        change: Change,
        then: NextHead,
        state: OrderState,
        *,
        reason: str | None = None,
        due_at: datetime | None = None,
    ) -> Consequence:
        """The order is in ``state`` by it: told once. Sections that were accepted are told each."""
        told = list(zip(self.tokens, self.judged, strict=True))
        if state not in (OrderState.ACCEPTED, OrderState.QUEUED):
            told = told[:1]
        *others, (token, judged) = told
        events = [timeline.settled(one, place.position, OrderState.QUEUED, place.amount) for place, one in others]
        events.append(timeline.settled(judged, token.position, state, token.amount, due_at))
        step = Step(
            change=change,
            outcomes=self.outcomes,
            reason=reason or judged.verdict.reason,
            due_at=due_at,
            events=tuple(events),
        )
        return Consequence(step=step, then=then)
