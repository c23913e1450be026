"""Tokens to one meter, one association after the other, until each has a verdict.

The way of one token: associate, check that it is the right meter, read the Token gateway and the balance, record the
intent, ``enter``, read back until the status is final, judge. Whatever is lost on the way is settled by a new
association that reads before it does anything else. What ``record`` has been told before a crash is the truth: a
``SendStarted`` without a ``Judged`` is a token in doubt. The sections of a key-change set go the same way, and are
judged as a whole (``key_change_delivery``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from cosem_objects import axdr, token_gateway
from cosem_objects.errors import LocalProtocolError
from cosem_objects.sts_token import Token
from gateway.contact import OBSTRUCTIONS, Contact, CounterKeeper
from gateway.events import Judged, Record, SendStarted, StatusRead
from gateway.key_change import KeyChange
from gateway.key_change_delivery import KeyChangeDelivery, UndeliveredSet
from gateway.meters import Meter
from gateway.obstacles import unit_misfit
from gateway.orders import Amount
from gateway.readback import AccountReading
from gateway.rounds import Rounds
from gateway.session import Connect, Session, connect
from gateway.token_story import TokenStory, Undelivered
from gateway.verdict import NextStep, Obstacle, Outcome, Reading, Verdict, stands_in_meter
from transports.channel import NotSentError

_INACTIVITY_SHARE = 0.4
"""Of the meter's inactivity time-out, between two polls: below half, so that one may be lost."""
_ENTERS_MAX = 2
"""In one association: a token that is still not shown then needs a new one."""


class Delivery:
    """Delivers tokens to one meter, one after the other, over one association as long as it holds. One task.

    ``run`` is for who has nothing but the tokens; who keeps orders calls ``deliver`` or ``deliver_set`` for each, then
    ``release``, and ``close`` in any case.
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
        self._profile = meter.profile
        self._record = record
        self._amount = amount
        self._after_doubt = after_doubt
        self._contact = Contact(meter, record, connect, keeper)
        rounds_max = meter.profile.doubt_rounds_max if doubt_rounds_max is None else doubt_rounds_max
        self._rounds = Rounds(meter, record, self._contact, rounds_max)

    async def run(self, tokens: Sequence[Token], key_change: KeyChange | None = None) -> list[Judged]:
        """A verdict for each token, each recorded, in the order in which they were settled: the sections of
        ``key_change`` first, then ``tokens``, which must wait for the new key if there is such a set.

        Stops sending at the first that leaves doubt or a person's work: the Token gateway shows the last token only,
        so the next one would destroy the evidence.
        """
        judged: list[Judged] = []
        why_not = ""
        try:
            if key_change is not None:
                undelivered = UndeliveredSet(key_change=key_change, doubt=self._after_doubt)
                judged += await self.deliver_set(undelivered)
                for section in judged:
                    await self._record(section)
                if judged[0].verdict.outcome is not Outcome.ACCEPTED:
                    why_not = "the key-change set before it has to be accepted first"
            for token in tokens if why_not else await self._shown_first(tokens):
                result = await self._token(token, why_not)
                await self._record(result)
                judged.append(result)
                if not result.verdict.lets_the_next_one_go:
                    why_not = why_not or "an earlier token of this order has to be settled first"
            await self.release()
        finally:
            await self.close()
        return judged

    async def release(self) -> None:
        """Say good-bye to the meter, if it is associated."""
        await self._contact.release()

    async def close(self) -> None:
        """Let go of the link, whatever state it is in."""
        await self._contact.drop()

    async def _token(self, token: Token, why_not: str) -> Judged:
        """Delivered, or not tried if there is a reason."""
        undelivered = Undelivered(token=token, amount=self._amount, tries=int(self._after_doubt))
        if not why_not:
            return await self.deliver(undelivered)
        story = TokenStory(undelivered, self._profile)
        story.obstacle = Obstacle("not-tried", why_not)
        return story.judged(story.verdict())

    async def _shown_first(self, tokens: Sequence[Token]) -> Sequence[Token]:
        """After a doubt about several tokens: the one that the meter shows goes first, before another ``enter``
        destroys what it shows."""
        if not self._after_doubt or len(tokens) < 2:
            return tokens
        try:
            reading = (await self._contact.state(await self._contact.reach())).gateway
        except OBSTRUCTIONS:
            await self._contact.drop()
            return tokens  # whatever is in the way will be met again, and told
        encoding = self._profile.token_encoding
        return sorted(tokens, key=lambda token: not stands_in_meter(reading, encoding.to_octets(token), self._profile))

    async def deliver_set(self, undelivered: UndeliveredSet) -> list[Judged]:
        """One key-change set, as ``deliver`` does with a token: one verdict on all of its sections."""
        work = KeyChangeDelivery(self._profile, self._record, self._contact, self._rounds, self._enter)
        return await work.deliver(undelivered)

    async def deliver(self, undelivered: Undelivered) -> Judged:
        """One token, over as many associations as its doubts need and are allowed. The verdict is not recorded: who
        calls decides what it means."""
        story = TokenStory(undelivered, self._profile)
        return story.judged(await self._rounds.settle(story, self._serve))

    async def _serve(self, session: Session, story: TokenStory) -> Verdict:
        story.see(await self._contact.state(session))
        story.obstacle = self._misfit(story.amount, story.account)
        # After a doubt, what the meter shows may settle it without another enter.
        verdict = await self._settle(session, story) if story.tries else story.verdict()
        for _ in range(_ENTERS_MAX):
            if verdict.next_step is not NextStep.ENTER or story.after is None or not story.may_enter(story.after):
                break
            verdict = await self._enter(session, story, story.after)
        return verdict

    async def _enter(self, session: Session, story: TokenStory, before: Reading) -> Verdict:
        """The one place where a token leaves this machine."""
        before_last_try = story.before
        story.begin_try(before)
        await self._contact.ensure_counters()
        tries = story.earlier_tries + story.tries
        await self._record(SendStarted(story.token, tries, before, story.account_before))
        repeats = session.frame_repeats
        try:
            response = await session.action(
                token_gateway.CLASS_ID,
                self._profile.gateway_obis,
                token_gateway.METHOD_ENTER,
                axdr.octet_string(story.octets),
            )
        except (NotSentError, LocalProtocolError):
            story.take_back_try(before_last_try)  # it is certain that no byte left
            raise
        finally:
            story.frame_repeated = story.frame_repeated or session.frame_repeats > repeats
        story.action_result = response.result
        story.see(await self._contact.state(session))
        return await self._settle(session, story)

    async def _settle(self, session: Session, story: TokenStory) -> Verdict:
        """Read back until the verdict is not pending any more, or the profile's time is up."""
        profile = story.profile
        wait = profile.poll_first_seconds
        while True:
            verdict = story.verdict()
            if verdict.next_step is not NextStep.POLL:
                return verdict
            await self._record(StatusRead(story.token, story.after.status if story.after else None, verdict))
            wait = min(wait, profile.inactivity_seconds * _INACTIVITY_SHARE, story.poll_seconds_left)
            await asyncio.sleep(wait)
            wait *= 2
            story.see(await self._contact.state(session))

    def _misfit(self, amount: Amount | None, account: AccountReading) -> Obstacle | None:
        """Why this token must not be sent to this account, if so."""
        if amount is None or account.currency is None:
            return None
        return unit_misfit(amount.unit, account.currency, self._profile)
