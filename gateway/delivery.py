"""Tokens to one meter, one association after the other, until each has a verdict.

The way of one token: associate, check that it is the right meter, read the Token gateway and the balance, record the
intent, ``enter``, read back until the status is final, judge. Whatever is lost on the way is settled by a new
association that reads before it does anything else. What ``record`` has been told before a crash is the truth: a
``SendStarted`` without a ``Judged`` is a token in doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cosem_objects import axdr, token_gateway
from cosem_objects.clock import CosemDateTime
from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from cosem_objects.profile import HiddenTokenProof, MeterProfile
from cosem_objects.sts_token import Token, TokenClass
from gateway.events import (
    DoubtArisen,
    Judged,
    Reached,
    Record,
    SendStarted,
    StatusRead,
)
from gateway.meters import Meter
from gateway.obstacles import WrongMeter, obstacle_of, unit_misfit
from gateway.orders import Amount
from gateway.readback import NO_ACCOUNT, AccountReading, MeterState, Readback
from gateway.session import (
    Connect,
    Session,
    connect,
    open_session,
    read_counters,
)
from gateway.verdict import (
    Evidence,
    NextStep,
    Obstacle,
    Outcome,
    Reading,
    Verdict,
    is_ours,
    judge,
    stands_in_meter,
)
from transports.channel import ChannelError, NotSentError
from transports.endpoint import EndpointError

_OBSTRUCTIONS = (ChannelError, RemoteProtocolError, LocalProtocolError, EndpointError)
"""What may be raised on the way to a meter and back."""
_INACTIVITY_SHARE = 0.4
"""Of the meter's inactivity time-out, between two polls: below half, so that one may be lost."""
_CLOCK_STEP_SECONDS = 0.001
_ENTERS_MAX = 2
"""In one association: a token that is still not shown then needs a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """A token to deliver, and what is remembered of earlier tries."""

    token: Token
    amount: Amount | None = None
    tries: int = 0
    """Enters of which a byte may have left."""
    before: Reading | None = None
    """Read before the last of them; None = nobody remembers."""
    account_before: AccountReading = NO_ACCOUNT
    may_be_repeated: bool = True
    """The data link may have sent a frame of the last of them twice."""
    may_enter: Callable[[Reading], bool] = lambda _reading: True
    """Asked before each ``enter``, with what the meter shows. False: its time is over, or what is shown is the evidence
    about another token; it is only read back."""


class CounterKeeper(Protocol):
    """Where our invocation counters for one meter come from, and where they are kept."""

    async def open(self) -> InvocationCounters:
        """Raises ``ChannelError``, ``RemoteProtocolError``: the meter may have to be asked."""

    async def ensure(self, counters: InvocationCounters) -> None:
        """Enough of them may be used for what comes next."""


class AskedCounters:
    """Counters as configured or as the meter says, kept nowhere."""

    def __init__(self, meter: Meter, connect: Connect) -> None:
        self._meter = meter
        self._connect = connect

    async def open(self) -> InvocationCounters:
        return await read_counters(self._meter, self._connect)

    async def ensure(self, counters: InvocationCounters) -> None:
        """All of them may be used."""


class Delivery:
    """Delivers tokens to one meter, one after the other, over one association as long as it holds. One task.

    ``run`` is for who has nothing but the tokens; who keeps orders calls ``deliver`` for each, then ``release``, and
    ``close`` in any case.
    """

    def __init__(
        self,
        meter: Meter,
        record: Record,
        *,
        amount: Amount | None = None,
        after_doubt: bool = False,
        connect: Connect = connect,
        keeper: CounterKeeper | None = None,
        doubt_rounds_max: int | None = None,
    ) -> None:
        """``doubt_rounds_max``: associations anew, one after the other, for a token in doubt, if not the profile's."""
        self._meter = meter
        self._profile = meter.profile
        self._record = record
        self._amount = amount
        self._after_doubt = after_doubt
        self._connect = connect
        self._keeper = keeper or AskedCounters(meter, connect)
        self._doubt_rounds_max = meter.profile.doubt_rounds_max if doubt_rounds_max is None else doubt_rounds_max
        self._counters: InvocationCounters | None = None
        self._session: Session | None = None
        self._readback = Readback(meter.profile)
        self._fresh_state: MeterState | None = None

    async def run(self, tokens: Sequence[Token]) -> list[Judged]:
        """A verdict for each token, each recorded, in the order in which they were settled.

        Stops sending at the first that leaves doubt or a person's work: the Token gateway shows the last token only,
        so the next one would destroy the evidence.
        """
        judged: list[Judged] = []
        stopped = False
        try:
            for token in await self._shown_first(tokens):
                undelivered = Undelivered(token=token, amount=self._amount, tries=int(self._after_doubt))
                if stopped:
                    story = _Story(undelivered, self._profile)
                    story.obstacle = Obstacle("not-tried", "an earlier token of this order has to be settled first")
                    result = story.judged(judge(story.evidence(), self._profile))
                else:
                    result = await self.deliver(undelivered)
                await self._record(result)
                judged.append(result)
                stopped = not result.verdict.lets_the_next_one_go
            await self.release()
        finally:
            await self.close()
        return judged

    async def release(self) -> None:
        """Say good-bye to the meter, if it is associated."""
        session, self._session = self._session, None
        if session is not None:
            await session.release()

    async def close(self) -> None:
        """Let go of the link, whatever state it is in."""
        await self._drop_session()

    async def _shown_first(self, tokens: Sequence[Token]) -> Sequence[Token]:
        """After a doubt about several tokens: the one that the meter shows goes first, before another ``enter``
        destroys what it shows."""
        if not self._after_doubt or len(tokens) < 2:
            return tokens
        try:
            reading = (await self._read_state(await self._reach())).gateway
        except _OBSTRUCTIONS:
            await self._drop_session()
            return tokens  # whatever is in the way will be met again, and told
        encoding = self._profile.token_encoding
        return sorted(tokens, key=lambda token: not stands_in_meter(reading, encoding.to_octets(token), self._profile))

    async def deliver(self, undelivered: Undelivered) -> Judged:
        """One token, over as many associations as its doubts need and are allowed. The verdict is not recorded: who
        calls decides what it means."""
        story = _Story(undelivered, self._profile)
        rounds = 0
        is_reused = self._session is not None
        while True:
            verdict = await self._association(story)
            if is_reused and not story.tries and verdict.outcome is Outcome.UNREACHED:
                # The association of the token before broke; that says nothing about the meter.
                is_reused = False
                story.forget_association()
                continue
            is_over = verdict.next_step is NextStep.ENTER and not story.tries  # nothing was sent, and may be any more
            if verdict.next_step is NextStep.STOP or is_over or rounds >= self._doubt_rounds_max:
                return story.judged(verdict)
            await self._record(DoubtArisen(story.token, verdict))
            await self._drop_session()
            await asyncio.sleep(_doubt_wait(rounds, self._profile))
            rounds += 1
            story.forget_association()

    async def _association(self, story: _Story) -> Verdict:
        """All that one association can do for the token. Whatever fails becomes an obstacle, and so evidence."""
        try:
            return await self._serve(await self._reach(), story)
        except _OBSTRUCTIONS as error:
            story.after, story.obstacle = None, obstacle_of(error, self._meter.endpoint)
            await self._drop_session()
            return judge(story.evidence(), self._profile)

    async def _serve(self, session: Session, story: _Story) -> Verdict:
        story.see(await self._read_state(session))
        story.obstacle = self._misfit(story.amount, story.account)
        # After a doubt, what the meter shows may settle it without another enter.
        verdict = await self._settle(session, story) if story.tries else judge(story.evidence(), self._profile)
        for _ in range(_ENTERS_MAX):
            if verdict.next_step is not NextStep.ENTER or story.after is None or not story.may_enter(story.after):
                break
            verdict = await self._enter(session, story, story.after)
        return verdict

    async def _enter(self, session: Session, story: _Story, before: Reading) -> Verdict:
        """The one place where a token leaves this machine."""
        profile = self._profile
        before_last_try = story.before
        story.begin_try(before)
        await self._ensure_counters()
        await self._record(SendStarted(story.token, story.tries, before, story.account_before))
        repeats = session.frame_repeats
        try:
            response = await session.action(
                token_gateway.CLASS_ID,
                profile.gateway_obis,
                token_gateway.METHOD_ENTER,
                axdr.octet_string(story.octets),
            )
        except (NotSentError, LocalProtocolError):
            story.take_back_try(before_last_try)  # it is certain that no byte left
            raise
        finally:
            story.frame_repeated = story.frame_repeated or session.frame_repeats > repeats
        story.action_result = response.result
        story.see(await self._read_state(session))
        return await self._settle(session, story)

    async def _settle(self, session: Session, story: _Story) -> Verdict:
        """Read back until the verdict is not pending any more, or the profile's time is up."""
        profile = self._profile
        wait = profile.poll_first_seconds
        while True:
            verdict = judge(story.evidence(), profile)
            if verdict.next_step is not NextStep.POLL:
                return verdict
            await self._record(StatusRead(story.token, story.after.status if story.after else None, verdict))
            wait = min(wait, profile.inactivity_seconds * _INACTIVITY_SHARE, story.poll_seconds_left)
            await asyncio.sleep(wait)
            wait *= 2
            story.see(await self._read_state(session))

    # The association.

    async def _reach(self) -> Session:
        """The open session, or a new one with the right meter at its end."""
        if self._session is not None:
            return self._session
        if self._counters is None:
            self._counters = await self._keeper.open()
        session = await open_session(self._meter, self._counters, self._connect, self._keeper.ensure)
        self._session = session
        serial, pan = self._meter.serial, self._meter.pan
        identity, state = await self._readback.identity_and_state(session, serial=bool(serial), pan=bool(pan))
        unchecked = _check_identity((serial, identity.serial, "device name"), (pan, identity.pan, "MeterPAN"))
        self._fresh_state = state
        await self._record(Reached(session.meter_system_title, state.account, unchecked))
        return session

    async def _read_state(self, session: Session) -> MeterState:
        """What the meter shows now; the first time, what was read together with who it is."""
        state, self._fresh_state = self._fresh_state, None
        if state is not None:
            return state
        await self._ensure_counters()
        return await self._readback.state(session)

    async def _ensure_counters(self) -> None:
        if self._counters is not None:
            await self._keeper.ensure(self._counters)

    def _misfit(self, amount: Amount | None, account: AccountReading) -> Obstacle | None:
        """Why this token must not be sent to this account, if so."""
        if amount is None or account.currency is None:
            return None
        return unit_misfit(amount.unit, account.currency, self._profile)

    async def _drop_session(self) -> None:
        session, self._session, self._fresh_state = self._session, None, None
        if session is not None:
            await session.close()


class _Story:
    """What is known about one token while it is being delivered; becomes ``Evidence``."""

    def __init__(self, undelivered: Undelivered, profile: MeterProfile) -> None:
        self.token = undelivered.token
        self.amount = undelivered.amount
        self._profile = profile
        self.octets = profile.token_encoding.to_octets(self.token)
        self.tries = undelivered.tries
        self.before: Reading | None = undelivered.before
        self.after: Reading | None = None
        self.action_result: int | None = None
        self.balance_rose: bool | None = None
        self.frame_repeated = undelivered.tries > 0 and undelivered.may_be_repeated
        self.obstacle: Obstacle | None = None
        self.account = NO_ACCOUNT
        self.account_before = undelivered.account_before
        self._may_still_enter = undelivered.may_enter
        self.control_state: int | None = None
        self._enters = 0
        self._started = self._poll_from = asyncio.get_running_loop().time()

    def may_enter(self, reading: Reading) -> bool:
        """Each doubt is worth one more ``enter``, and there are as many doubts as rounds."""
        return self._enters <= self._profile.doubt_rounds_max and self._may_still_enter(reading)

    @property
    def poll_seconds_left(self) -> float:
        """How long the status of our last try may still stay pending."""
        left = self._profile.poll_timeout_seconds - (asyncio.get_running_loop().time() - self._poll_from)
        # What a clock cannot measure is over: a wait for it may end before it has begun.
        return left if left > _CLOCK_STEP_SECONDS else 0.0

    def see(self, state: MeterState) -> None:
        """What the meter shows now."""
        self.after, self.account, self.control_state = state.gateway, state.account, state.control_state
        before, now = self.account_before.balance_raw, state.account.balance_raw
        if self._profile.hidden_token_proof is HiddenTokenProof.BALANCE and before is not None and now is not None:
            self.balance_rose = now > before

    def begin_try(self, before: Reading) -> None:
        if self.account_before.currency is None:
            self.account_before = self.account
        self.tries += 1
        self._enters += 1
        self.before = before
        self._poll_from = asyncio.get_running_loop().time()
        self.after, self.action_result = None, None

    def take_back_try(self, before_last_try: Reading | None) -> None:
        """Nothing left: the evidence is about the try before again, if there was one."""
        self.tries -= 1
        self.before = before_last_try

    def forget_association(self) -> None:
        """What an association that is over can no longer say."""
        self.after, self.action_result, self.obstacle = None, None, None

    def evidence(self) -> Evidence:
        return Evidence(
            token=self.octets,
            has_tid=self.token.token_class is not TokenClass.NON_METER_SPECIFIC_MANAGEMENT,
            tries=self.tries,
            before=self.before,
            action_result=self.action_result,
            after=self.after,
            balance_rose=self.balance_rose,
            frame_repeated=self.frame_repeated,
            poll_time_is_up=self.poll_seconds_left <= 0,
            obstacle=self.obstacle,
        )

    def judged(self, verdict: Verdict) -> Judged:
        if self.tries:
            is_shown = is_ours(self.evidence(), self._profile)
        else:
            is_shown = self.after is not None and stands_in_meter(self.after, self.octets, self._profile)
        shown = self.after if is_shown else None
        return Judged(
            self.token,
            verdict,
            shown.status if shown else None,
            # After a doubt of an earlier run nobody knows the balance from before that try.
            self.account_before if self.tries else self.account,
            self.account if self.tries and self.after is not None else NO_ACCOUNT,
            self.control_state if self.tries and self.after is not None else None,
            _moment(shown.time, self._profile) if shown else None,
            asyncio.get_running_loop().time() - self._started,
        )


def _check_identity(*expectations: tuple[str, str | None, str]) -> tuple[str, ...]:
    """Serial and MeterPAN; the system title was checked by the association. What the meter does not have is skipped,
    and returned. Raises ``WrongMeter``."""
    unchecked = []
    for expected, found, what in expectations:
        if expected and found is None:
            unchecked.append(what)
        elif expected and found != expected:
            raise WrongMeter(f"the meter's {what} is {found}, {expected} was expected")
    return tuple(unchecked)


def _moment(octets: bytes | None, profile: MeterProfile) -> datetime | None:
    try:
        return None if octets is None else CosemDateTime.from_octets(octets).to_datetime(profile.deviation_sign)
    except RemoteProtocolError:
        return None


def _doubt_wait(rounds: int, profile: MeterProfile) -> float:
    """Growing waits between the rounds of a doubt: the meter may be busy with just our token."""
    growing = min(profile.poll_first_seconds * (1 << rounds), profile.inactivity_seconds / 2)
    return max(growing, profile.wait_between_associations_seconds)
