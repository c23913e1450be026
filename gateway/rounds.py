"""Associations with one meter, one after the other, as long as something about it is in doubt and the rounds last.

What is delivered, a token or a key-change set, is a *story*: it knows what to make of an association, of one that
broke, and when there is nothing left that another one could settle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from cosem_objects.sts_token import Token
from gateway.contact import OBSTRUCTIONS, Contact, doubt_wait
from gateway.events import DoubtArisen, Record
from gateway.meters import Meter
from gateway.obstacles import obstacle_of
from gateway.session import Session
from gateway.verdict import Obstacle, Outcome, Verdict


class Story(Protocol):
    """What is known about a token or a set while it is being delivered."""

    @property
    def token(self) -> Token:
        """The one that is being delivered."""

    @property
    def is_begun(self) -> bool:
        """Whether a byte of it may have left."""

    def lose(self, obstacle: Obstacle) -> None:
        """The association broke, or none came about."""

    def forget_association(self) -> None:
        """What an association that is over can no longer say."""

    def verdict(self) -> Verdict:
        """What is known now."""

    def needs_association(self, verdict: Verdict) -> bool:
        """Whether another association could settle what this verdict leaves open."""


S = TypeVar("S", bound=Story)


class Rounds:
    """``most``: associations anew, one after the other, for one story in doubt."""

    def __init__(self, meter: Meter, record: Record, contact: Contact, most: int) -> None:
        self._meter = meter
        self._record = record
        self._contact = contact
        self._most = most

    async def settle(
        self, story: S, serve: Callable[[Session, S], Awaitable[Verdict]], *, key: bool = False
    ) -> Verdict:
        """The verdict on a story. ``serve`` does all that one association can; ``key``: it wants class 116."""
        rounds = 0
        is_reused = self._contact.is_open
        while True:
            verdict = await self._association(story, serve, key=key)
            if is_reused and not story.is_begun and verdict.outcome is Outcome.UNREACHED:
                # The association of the token before broke; that says nothing about the meter.
                is_reused = False
                story.forget_association()
                continue
            if not story.needs_association(verdict) or rounds >= self._most:
                return verdict
            await self._record(DoubtArisen(story.token, verdict))
            await self._contact.drop()
            await asyncio.sleep(doubt_wait(rounds, self._meter.profile))
            rounds += 1
            story.forget_association()

    async def _association(self, story: S, serve: Callable[[Session, S], Awaitable[Verdict]], *, key: bool) -> Verdict:
        """Whatever fails becomes an obstacle, and so evidence."""
        try:
            return await serve(await self._contact.reach(key=key), story)
        except OBSTRUCTIONS as error:
            story.lose(obstacle_of(error, self._meter.endpoint))
            await self._contact.drop()
            return story.verdict()
