"""One meter's lane, drained over one association: order after order, each step on disk before the next.

The holder of a claim works here. ``record`` writes the intent before ``enter`` leaves; when that write is refused (the
lane is somebody else's by now, the order was cancelled meanwhile, the disk is full), nothing leaves. What a token came
to is written, whatever the disk says, before anything else is done with this meter: it is tried again until it is
there, or the process ends; then the intent stands alone, and that *is* doubt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import TypeVar

from cosem_objects.sts_token import Token
from gateway import timeline
from gateway.consequence import Consequence, MeterHours, RetryRules, consequence, held_step, is_over
from gateway.contact import CounterKeeper
from gateway.delivery import Delivery
from gateway.events import DoubtArisen, Event, Judged, KeyRead, Reached, SectionStored, SendStarted, StatusRead
from gateway.key_change import KeyChange, new_key_of
from gateway.key_change_delivery import UndeliveredSet
from gateway.meters import Meter
from gateway.orders import UNSENT_STATES, Change, IllegalChange
from gateway.session import Connect
from gateway.shown import without_secrets
from gateway.store.records import LaneClaim, NewEvent, NextHead, OrderWork, Step, TokenWork
from gateway.store.store import LaneLost, Lanes, StoreBroken, StoreError, StoreFull
from gateway.token_story import Undelivered
from gateway.verdict import OTHER_SET, Credited, NextStep, Outcome, Reading, Verdict, stands_in_meter

logger = logging.getLogger(__name__)

T = TypeVar("T")

_NEVER_REPEATED = {"tcp", "tcps"}
"""Schemes on which what was sent once arrives at most once."""
_ORDERS_IN_A_TURN = 20
"""Then the next meter of a line that has no place for both has its turn. guess: an association costs as much as a few
orders."""
_CLOCKS_DIFFER = 1.1
"""A meter's minutes may be longer than ours. guess: by no more than a tenth."""
_STORE_RETRY_SECONDS = 1.0
"""Between two tries to write what is known and must not be forgotten."""
_STORE_FAILURES_MAX = 5
"""Of a disk that is full one waits for the end; any other error that stays is a bug of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneTools:
    """What every lane needs, handed in by the dispatcher."""

    lanes: Lanes
    now: Callable[[], datetime]
    rng: Random
    rules: RetryRules
    doubt_rounds_max: int = 1
    """Associations anew at once for a token in doubt; later ones come with the store's waits between them."""
    must_stop: Callable[[], bool] = lambda: False
    """Asked between orders: the service is stopping, or the link is paused."""
    link_is_full: Callable[[], bool] = lambda: False
    """Asked between orders: other meters of the link may be waiting for the place that this one has."""
    on_settled: Callable[[OrderWork, Change, Judged], None] = lambda _work, _change, _judged: None
    """Told what a try came to, before it is written: for metrics and the log."""
    on_order: Callable[[OrderWork], None] = lambda _work: None
    """Told which order has its turn."""


@dataclass(slots=True)
class _Current:
    """The order that is being worked on."""

    work: OrderWork
    events: list[NewEvent] = field(default_factory=list)
    """Lines of its story that go with the next write."""
    has_sent: bool = False
    is_pending: bool = False

    @property
    def token(self) -> TokenWork:
        """The one that has its turn."""
        return self.work.tokens[0]

    @property
    def was_tried(self) -> bool:
        """Whether what has its turn may have arrived by an earlier try."""
        return any(token.tries for token in self.work.key_change_sections or (self.token,))

    def position_of(self, token: Token) -> int:
        return next(one.position for one in self.work.tokens if one.token == token)


class LaneRun:
    """Works on one claim until its lane has nothing more that is due. One use, one task."""

    def __init__(
        self,
        claim: LaneClaim,
        meter: Meter,
        *,
        hours: MeterHours,
        keeper: CounterKeeper,
        connect: Connect,
        tools: LaneTools,
    ) -> None:
        self._claim = claim
        self._meter = meter
        self._hours = hours
        self._tools = tools
        self._lanes = tools.lanes
        self._current: _Current | None = None
        self._delivery = Delivery(
            meter, self._record, connect=connect, keeper=keeper, doubt_rounds_max=tools.doubt_rounds_max
        )

    async def run(self) -> None:
        """Raises nothing but ``StoreBroken``: every trouble with this meter is written, or said in the log."""
        meter = self._claim.meter
        try:
            await self._drain()
        except LaneLost:
            logger.warning("lane lost, link closed", extra={"meter": meter})
        except StoreBroken:
            raise
        except Exception:  # the door: what cannot be written stays in doubt, and its lane is nobody's until then
            logger.exception("internal error; the lane stays as it is until the next start", extra={"meter": meter})
        finally:
            await self._delivery.close()

    async def _drain(self) -> None:
        work, orders = self._claim.work, 0
        try:
            while work is not None:
                if self._tools.must_stop():
                    await give_back(self._claim, self._tools)
                    break
                if orders >= _ORDERS_IN_A_TURN and self._tools.link_is_full():
                    await give_back(self._claim, self._tools, not_before=self._tools.now())
                    break
                work = await self._order(work)
                orders += 1
        except IllegalChange as error:
            # Cancelled, or resolved, between the claim and the intent: nothing was sent.
            logger.info("order changed meanwhile: %s", error, extra={"meter": self._claim.meter})
            await give_back(self._claim, self._tools)
        except StoreBroken:
            raise
        except StoreError as error:
            # The intent could not be written, so nothing was sent.
            logger.error("the store fails, nothing is sent: %s", error, extra={"meter": self._claim.meter})
            await give_back(self._claim, self._tools)
        await self._delivery.release()

    async def _order(self, work: OrderWork) -> OrderWork | None:
        """All tokens of one order, as far as they go; gives the lane's next order."""
        self._tools.on_order(work)
        while True:
            current = self._current = _Current(work)
            if is_over(work, self._tools.now()) and not current.was_tried:
                return await self._write(_over(work), NextHead.NEXT)
            result = await self._try(current)
            following = await self._write(result.step, result.then)
            if result.then is not NextHead.STAY or following is None:
                return following
            work = following  # what is left of the same order

    async def _try(self, current: _Current) -> Consequence:
        """The order's first open token, or the key-change set that it begins: delivered as far as this try goes."""
        work, tools = current.work, self._tools
        try:
            judged = await self._deliver(work)
        except (LaneLost, IllegalChange, StoreError, asyncio.CancelledError):
            raise
        except Exception as error:  # the door: a bug costs one order, and is said
            logger.exception("internal error", extra={"meter": self._claim.meter, "order": work.id})
            await self._delivery.close()
            return self._internal_error(current, error)
        was_sent = current.was_tried or current.has_sent
        if judged[0].verdict.next_step is NextStep.ENTER and not was_sent and is_over(work, tools.now()):
            return Consequence(step=_over(work), then=NextHead.NEXT)  # its time came to an end on the way to the meter
        result = consequence(
            work,
            judged,
            has_sent=current.has_sent,
            now=tools.now(),
            rules=tools.rules,
            hours=self._hours,
            chance=tools.rng.random(),
        )
        tools.on_settled(work, result.step.change, judged[0])
        if result.step.change is Change.ACCEPT and work.state in UNSENT_STATES and not current.has_sent:
            # Class 116 shows that it was delivered, though not by us.
            await self._write(Step(change=Change.RESTORE, reason=judged[0].verdict.evidence), NextHead.STAY)
        return result

    async def _deliver(self, work: OrderWork) -> list[Judged]:
        def may_enter(reading: Reading) -> bool:
            return not is_over(work, self._tools.now()) and not self._shows_another(work, reading)

        if sections := work.key_change_sections:
            if waiting := await self._wait_for_another_set(work):
                return [Judged(section.token, waiting) for section in sections]
            undelivered_set = UndeliveredSet(
                key_change=KeyChange(tuple(section.token for section in sections), new_key_of(work.new_key or {})),
                tries=[section.tries for section in sections],
                doubt=any(section.tries for section in sections),
                may_enter=may_enter,
            )
            return await self._delivery.deliver_set(undelivered_set)
        token = work.tokens[0]
        undelivered = Undelivered(
            token=token.token,
            amount=token.amount,
            tries=token.tries,
            before=token.before,
            account_before=token.account_before,
            may_be_repeated=self._meter.endpoint.scheme not in _NEVER_REPEATED,
            may_enter=may_enter,
        )
        return [await self._delivery.deliver(undelivered)]

    async def _wait_for_another_set(self, work: OrderWork) -> Verdict | None:
        """Why the set is not begun: the meter may hold sections of another one, and would make a key of both."""
        if any(section.tries for section in work.key_change_sections):
            return None
        at = await self._lanes.other_set_at(work.number)
        patience = timedelta(seconds=self._meter.profile.key_change_timeout_seconds * _CLOCKS_DIFFER)
        if at is None or self._tools.now() >= at + patience:
            return None
        detail = "the meter may hold sections of another key-change set; it forgets them after a while"
        return Verdict(Outcome.UNREACHED, Credited.NO, OTHER_SET, "K2", detail=detail)

    def _shows_another(self, work: OrderWork, reading: Reading) -> bool:
        """Whether the meter shows what another order in doubt has to be judged by."""
        profile = self._meter.profile
        octets = map(profile.token_encoding.to_octets, work.beside)
        return any(stands_in_meter(reading, token, profile) for token in octets)

    def _internal_error(self, current: _Current, error: Exception) -> Consequence:
        words = without_secrets(f"{type(error).__name__}: {error}")
        may_have_left = current.has_sent or current.was_tried
        step = held_step(current.token, "internal-error", words, may_have_left=may_have_left)
        return Consequence(step=step, then=NextHead.LEAVE)

    # What the delivery says as it goes on.

    async def _record(self, event: Event) -> None:
        current = self._current
        assert current is not None
        match event:
            case Reached():
                current.events.append(timeline.reached(event))
            case KeyRead():
                current.events.append(timeline.key_read(event))
            case SectionStored():
                current.events.append(timeline.section_stored(event, current.position_of(event.token)))
            case SendStarted():
                position = current.position_of(event.token)
                events = (*current.events, timeline.sending(event, position))
                await self._lanes.begin_send(self._claim, current.work.number, position, event, events)
                current.events.clear()
                current.has_sent, current.is_pending = True, False
            case StatusRead() if not current.is_pending:
                current.is_pending = True
                pending = timeline.pending(event, current.position_of(event.token))
                await self._write(Step(change=Change.PEND, events=(pending,)), NextHead.STAY)
            case DoubtArisen():
                current.is_pending = False
                doubt = timeline.in_doubt(event, current.position_of(event.token))
                await self._write(Step(change=Change.RECONCILE, events=(doubt,)), NextHead.STAY)
            case _:
                pass  # another reading of the same: the story has it already

    # What must not be forgotten.

    async def _write(self, step: Step, then: NextHead) -> OrderWork | None:
        current = self._current
        assert current is not None
        step = replace(step, events=(*current.events, *step.events))
        current.events.clear()
        number = current.work.number
        return await _until_written(self._claim, lambda: self._lanes.step(self._claim, number, step, then))


def _over(work: OrderWork) -> Step:
    """Its time is over, and its first open token was never sent."""
    change = Change.HOLD if work.maybe_delivered else Change.EXPIRE
    event = timeline.order_held_expired() if work.maybe_delivered else timeline.order_expired()
    return Step(change=change, reason="expired", events=(event,))


async def give_back(claim: LaneClaim, tools: LaneTools, *, not_before: datetime | None = None) -> None:
    """Leave the lane to whoever comes next, as soon as the store can write that. ``not_before``: behind all lanes that
    were due before."""
    await _until_written(claim, lambda: tools.lanes.release(claim, not_before=not_before))


async def _until_written(claim: LaneClaim, write: Callable[[], Awaitable[T]]) -> T:
    failures = 0
    while True:
        try:
            return await write()
        except StoreBroken:
            raise
        except StoreError as error:
            failures += 1
            if failures >= _STORE_FAILURES_MAX and not isinstance(error, StoreFull):
                raise
            logger.error("the store fails, trying again: %s", error, extra={"meter": claim.meter})
        await asyncio.sleep(_STORE_RETRY_SECONDS)


async def hold_unusable(claim: LaneClaim, tools: LaneTools, error: Exception) -> None:
    """The meter's settings cannot be used any more, such as a profile that was removed: its orders are held."""
    work = claim.work
    words = without_secrets(str(error))
    try:
        while work is not None:
            token = work.tokens[0]
            step = held_step(token, "config", words, may_have_left=token.tries > 0)
            work = await _until_written(claim, partial(tools.lanes.step, claim, work.number, step, NextHead.NEXT))
    except IllegalChange as changed:  # cancelled or expired meanwhile; what is left comes again
        logger.info("order changed meanwhile: %s", changed, extra={"meter": claim.meter})
        await give_back(claim, tools)
    except LaneLost as lost:
        logger.warning("orders not held: %s", lost, extra={"meter": claim.meter})
