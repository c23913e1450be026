"""What is known about one token while it is being delivered: tries, readings and waits, until it becomes evidence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cosem_objects.clock import CosemDateTime
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.profile import HiddenTokenProof, MeterProfile
from cosem_objects.sts_token import Token, TokenClass
from gateway.events import Judged
from gateway.orders import Amount
from gateway.readback import NO_ACCOUNT, AccountReading, MeterState
from gateway.verdict import Evidence, NextStep, Obstacle, Reading, Verdict, is_ours, judge, stands_in_meter

_CLOCK_STEP_SECONDS = 0.001


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
    earlier_tries: int = 0
    """Of a section of a key-change set: enters of earlier passes. They are counted, and say nothing about this one."""
    may_be_repeated: bool = True
    """The data link may have sent a frame of the last of them twice."""
    may_enter: Callable[[Reading], bool] = lambda _reading: True
    """Asked before each ``enter``, with what the meter shows. False: its time is over, or what is shown is the evidence
    about another token; it is only read back."""


class TokenStory:
    """What is known about one token while it is being delivered; becomes ``Evidence``."""

    def __init__(self, undelivered: Undelivered, profile: MeterProfile) -> None:
        self.token = undelivered.token
        self.amount = undelivered.amount
        self.profile = profile
        self.octets = profile.token_encoding.to_octets(self.token)
        self.tries = undelivered.tries
        self.earlier_tries = undelivered.earlier_tries
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
        self.started = self._poll_from = asyncio.get_running_loop().time()

    def may_enter(self, reading: Reading) -> bool:
        """Each doubt is worth one more ``enter``, and there are as many doubts as rounds."""
        return self._enters <= self.profile.doubt_rounds_max and self._may_still_enter(reading)

    @property
    def poll_seconds_left(self) -> float:
        """How long the status of our last try may still stay pending."""
        left = self.profile.poll_timeout_seconds - (asyncio.get_running_loop().time() - self._poll_from)
        # What a clock cannot measure is over: a wait for it may end before it has begun.
        return left if left > _CLOCK_STEP_SECONDS else 0.0

    def see(self, state: MeterState) -> None:
        """What the meter shows now."""
        self.after, self.account, self.control_state = state.gateway, state.account, state.control_state
        before, now = self.account_before.balance_raw, state.account.balance_raw
        if self.profile.hidden_token_proof is HiddenTokenProof.BALANCE and before is not None and now is not None:
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

    @property
    def is_begun(self) -> bool:
        """Whether a byte of it may have left."""
        return self.tries > 0

    def lose(self, obstacle: Obstacle) -> None:
        """The association broke, or none came about."""
        self.after, self.obstacle = None, obstacle

    def verdict(self) -> Verdict:
        """On what is known now."""
        return judge(self.evidence(), self.profile)

    def needs_association(self, verdict: Verdict) -> bool:
        """Whether another association could settle it. One that was never sent, and may not be any more, is over."""
        is_over = verdict.next_step is NextStep.ENTER and not self.tries
        return verdict.next_step is not NextStep.STOP and not is_over

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
            is_shown = is_ours(self.evidence(), self.profile)
        else:
            is_shown = self.after is not None and stands_in_meter(self.after, self.octets, self.profile)
        shown = self.after if is_shown else None
        return Judged(
            self.token,
            verdict,
            shown.status if shown else None,
            # After a doubt of an earlier run nobody knows the balance from before that try.
            self.account_before if self.tries else self.account,
            self.account if self.tries and self.after is not None else NO_ACCOUNT,
            self.control_state if self.tries and self.after is not None else None,
            _moment(shown.time, self.profile) if shown else None,
            asyncio.get_running_loop().time() - self.started,
        )


def _moment(octets: bytes | None, profile: MeterProfile) -> datetime | None:
    try:
        return None if octets is None else CosemDateTime.from_octets(octets).to_datetime(profile.deviation_sign)
    except RemoteProtocolError:
        return None
