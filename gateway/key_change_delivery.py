"""One key-change set to one meter, over as many associations as its doubts need and are allowed.

The way of a set: read class 116 together with the Token gateway; unless it shows the new key already, enter section
after section, each recorded before it leaves and read back as any token is; read class 116 again, and judge the set as
a whole. Whatever ends a pass early - a refusal, a lost answer - leads to class 116 first, and then perhaps to the whole
set once more: an incomplete set has no effect, and sections may be repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from cosem_objects.payment import KeyAttributes
from cosem_objects.profile import HiddenTokenProof, KeyChangeProof, MeterProfile
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import FAILURES, STAGES, DataValueMap
from gateway.contact import Contact
from gateway.events import Judged, KeyRead, Record, SectionStored
from gateway.key_change import KeyChange, KeyShown, is_partly_new, key_shown
from gateway.key_change_verdict import SetEvidence, is_not_authentic, judge_set
from gateway.readback import MeterState
from gateway.rounds import Rounds
from gateway.session import Session
from gateway.token_story import TokenStory, Undelivered
from gateway.verdict import SECTION_STORED, NextStep, Obstacle, Outcome, Reading, Verdict, code_in, stands_in_meter

Enter = Callable[[Session, TokenStory, Reading], Awaitable[Verdict]]
"""Records the intent, enters one token, and reads back until its verdict is not pending any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UndeliveredSet:
    """A set to deliver, and what is remembered of earlier tries."""

    key_change: KeyChange
    tries: Sequence[int] = ()
    """Enters of each section of which a byte may have left; empty = nobody counted."""
    doubt: bool = False
    """Whether an earlier try of any section may have arrived."""
    may_enter: Callable[[Reading], bool] = lambda _reading: True
    """Asked before each pass, with what the meter shows. A pass that was begun is finished."""


class KeyChangeDelivery:
    """Delivers one set. One use, one task."""

    def __init__(self, profile: MeterProfile, record: Record, contact: Contact, rounds: Rounds, enter: Enter) -> None:
        self._profile = profile
        self._record = record
        self._contact = contact
        self._rounds = rounds
        self._enter = enter
        self._asks_key = profile.key_change_proof is KeyChangeProof.CLASS_116

    async def deliver(self, undelivered: UndeliveredSet) -> list[Judged]:
        """One verdict, on each section; none is recorded."""
        story = _SetStory(undelivered, self._profile)
        return story.judged(await self._rounds.settle(story, self._serve, key=self._asks_key))

    async def _serve(self, session: Session, story: _SetStory) -> Verdict:
        while True:
            state = await self._contact.state(session, key=self._asks_key)
            story.see(state)
            if state.key is not None and not story.is_waiting:
                await self._record(KeyRead(state.key, story.shown))
            verdict = story.verdict()
            if verdict.next_step is not NextStep.ENTER or not story.may_enter(state.gateway):
                return verdict
            story.is_waiting = story.is_at_work_on_ours(state.gateway)
            if story.is_waiting:
                await asyncio.sleep(self._profile.poll_first_seconds)
            else:
                await self._pass(session, story, state)

    async def _pass(self, session: Session, story: _SetStory, state: MeterState) -> None:
        """Every section once, as long as each is stored."""
        count = len(story.sections)
        for position in range(count):
            section = story.begin_section(position, state)
            verdict = await self._enter(session, section, state.gateway)
            story.section_judged(verdict)
            if section.after is None or not story.goes_on:
                return
            if verdict.outcome is Outcome.ACCEPTED:
                await self._record(SectionStored(section.token, position, count))
            state = MeterState(section.after, section.account, section.control_state)


@dataclass(slots=True)
class _Pass:
    """What became of the sections since the set was begun last."""

    refused: int = 0
    """Not authentic."""
    taken: int = 0
    told: int = 0
    """Of those taken: which the meter called stored."""
    has_untold: bool = False
    """One before the last was taken, and the meter did not call it stored."""
    is_mixed: bool = False
    """The key changed, or may have, before all of the set was there."""


class _SetStory:
    """What is known about one set while it is being delivered; becomes ``SetEvidence``."""

    def __init__(self, undelivered: UndeliveredSet, profile: MeterProfile) -> None:
        self._new_key = undelivered.key_change.new_key
        # A change of key moves no money: where the balance is the proof of a hidden token, the time is a section's.
        self._profile = replace(profile, hidden_token_proof=HiddenTokenProof.TIME)
        self.may_enter = undelivered.may_enter
        tokens = undelivered.key_change.sections
        tries = undelivered.tries or [0] * len(tokens)
        self.sections = [
            TokenStory(Undelivered(token=token, earlier_tries=count), self._profile)
            for token, count in zip(tokens, tries, strict=True)
        ]
        """Each as of its last ``enter``."""
        self.position = 0
        self._doubt = undelivered.doubt
        self._passes = 0
        self._section: Verdict | None = None
        self._key_before: KeyAttributes | None = None
        """What class 116 showed first in this run."""
        self._was_new = False
        self._pass = _Pass()
        # Only where the last section may be in the meter can the others complete the set early.
        self._last_was_sent = any(tries[-1:]) or (undelivered.doubt and not undelivered.tries)
        self._last_in_pass = False
        self._key: KeyAttributes | None = None
        self.shown = KeyShown.UNREAD
        self._obstacle: Obstacle | None = None
        self._is_entering = False
        self.is_waiting = False
        """For a section of an earlier run."""
        self._started = asyncio.get_running_loop().time()

    @property
    def is_begun(self) -> bool:
        return self._passes > 0 or self._doubt

    def is_at_work_on_ours(self, reading: Reading) -> bool:
        """After a doubt: whether the meter still works on a section, and would refuse the next one."""
        is_shown = any(stands_in_meter(reading, section.octets, self._profile) for section in self.sections)
        is_over = asyncio.get_running_loop().time() - self._started >= self._profile.poll_timeout_seconds
        return (
            self._doubt and not self._passes and is_shown and code_in(reading, self._profile) in STAGES and not is_over
        )

    def see(self, state: MeterState) -> None:
        """What the meter shows now."""
        self._obstacle = None
        self._pass.is_mixed |= self._shows_mixture(state.gateway)
        for section in self.sections:
            section.account, section.control_state = state.account, state.control_state
            section.after = section.after or state.gateway
        self._key = state.key
        if state.key is None:
            self.shown = KeyShown.UNASKED
            return
        if not self.is_begun and state.kct_supported is not None:
            self._obstacle = _size_misfit(state.kct_supported, len(self.sections))
        self.shown = key_shown(self._new_key, self._key_before, state.key)
        if self._key_before is None:
            self._key_before, self._was_new = state.key, self.shown is KeyShown.NEW and not self.is_begun

    def _shows_mixture(self, reading: Reading) -> bool:
        """Whether the Token gateway shows that a section behind the first was refused, of which no answer told: of an
        earlier run, or lost on the way."""
        is_later = any(stands_in_meter(reading, one.octets, self._profile) for one in self.sections[1:])
        if code_in(reading, self._profile) not in FAILURES or not is_later:
            return False
        was_lost = self._section is None and self._pass.has_untold and not self._last_was_sent
        return was_lost or (self._doubt and not self._passes)

    def begin_section(self, position: int, state: MeterState) -> TokenStory:
        """Its story is that of this ``enter`` alone: what became of earlier ones was settled by class 116."""
        last = self.sections[position]
        undelivered = Undelivered(
            token=last.token, earlier_tries=last.earlier_tries + last.tries, account_before=last.account_before
        )
        section = TokenStory(undelivered, self._profile)
        section.see(state)
        self.sections[position] = section
        self.position, self._section, self.shown = position, None, KeyShown.UNREAD
        self._is_entering = True
        if position == 0:
            self._last_was_sent = self._last_was_sent or self._last_in_pass
            self._passes += 1
            self._pass = _Pass()
        self._last_in_pass = self._last_in_pass or position == len(self.sections) - 1
        return section

    def section_judged(self, verdict: Verdict) -> None:
        self._section, self._is_entering = verdict, False
        now, is_last = self._pass, self.position == len(self.sections) - 1
        is_taken, tells = verdict.outcome is Outcome.ACCEPTED, verdict.evidence == SECTION_STORED
        now.refused += is_not_authentic(verdict)
        now.taken += is_taken
        now.told += is_taken and tells
        if self._last_was_sent:
            return  # sections of this very set may have been there, and completed it early
        if is_taken and not is_last and not tells:
            now.has_untold = True
            # A meter that names stored sections and does not name this one has completed something with it.
            now.is_mixed |= self._profile.data_value_map is DataValueMap.ONEHOT16
        if verdict.outcome is Outcome.REJECTED and now.has_untold:
            now.is_mixed = True  # it took the beginning, and refuses the rest

    @property
    def goes_on(self) -> bool:
        """Whether the next section is entered: this one was taken, or one that was mistyped is to be told from a set
        under another key."""
        assert self._section is not None
        if self._section.outcome is Outcome.ACCEPTED:
            return not self._pass.is_mixed
        return self._was_new and self.position == 0 and is_not_authentic(self._section)

    def lose(self, obstacle: Obstacle) -> None:
        """The association broke. If no byte of the first section left, the set was not begun after all."""
        self._obstacle, self.shown = obstacle, KeyShown.UNREAD
        if self._is_entering and self.position == 0 and not self.sections[0].tries:
            self._passes -= 1
        self._is_entering = False

    @property
    def token(self) -> Token:
        """The section that has its turn."""
        return self.sections[self.position].token

    def verdict(self) -> Verdict:
        """On the whole set, by what is known now."""
        return judge_set(self.evidence())

    def needs_association(self, verdict: Verdict) -> bool:
        """Whether another association could settle it. One that wants to be sent, and was not, may not be any more."""
        return verdict.next_step is NextStep.RECONNECT

    def forget_association(self) -> None:
        """What an association that is over can no longer say."""
        self._section, self._obstacle, self.shown = None, None, KeyShown.UNREAD

    def evidence(self) -> SetEvidence:
        return SetEvidence(
            shown=self.shown,
            is_partly_new=self._key is not None and is_partly_new(self._new_key, self._key),
            passes=self._passes,
            doubt=self._doubt,
            sections=len(self.sections),
            section=self._section,
            position=self.position,
            is_mixed=self._pass.is_mixed,
            refused=self._pass.refused,
            has_taken=self._pass.taken > 0,
            is_told=self._pass.told == len(self.sections) - 1,
            was_new=self._was_new,
            obstacle=self._obstacle,
        )

    def judged(self, verdict: Verdict) -> list[Judged]:
        """The set's verdict on each section, with what the meter showed of it."""
        seconds = asyncio.get_running_loop().time() - self._started
        return [replace(self._judged(section, verdict), elapsed_seconds=seconds) for section in self.sections]

    @staticmethod
    def _judged(section: TokenStory, verdict: Verdict) -> Judged:
        """What the meter shows of a section that was not entered now is of another time."""
        judged = section.judged(verdict)
        return judged if section.tries else replace(judged, status=None, token_time=None)


def _size_misfit(supported: int, sections: int) -> Obstacle | None:
    """A meter that takes sets of two takes the beginning of one of four for a whole one, and has a key that nobody
    knows."""
    if sections <= supported:
        return None
    detail = f"by class 116 the meter takes key-change sets of at most {supported} sections, this one has {sections}"
    return Obstacle("config", detail, is_configuration=True)
