"""Named moments at which the service kills itself: put around the store and the session from outside.

Nothing of this is in the service. Whoever arms a fail-point wraps the methods of the classes in question, in the
service's own process, before it starts. The kill is SIGKILL: no handler, no flush, no good-bye.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from pathlib import Path
from random import Random
from typing import Any

from cosem_objects import token_gateway
from gateway.session import Session
from gateway.store.records import Step
from gateway.store.sqlite.database import Database
from gateway.store.sqlite.lanes import SqliteLanes

ARMED = "CHAOS_FAILPOINT"
"""``NAME:OCCURRENCE:SEED``: die there when it is passed for the so-manieth time."""
REACHED = "CHAOS_REACHED"
"""A file: the name is written there just before."""
_AFTER_SEND_SECONDS_MAX = 0.004
"""The APDU is out; the meter may be reading it, working on it, or answering."""


class Failpoint(StrEnum):
    """Where the service may die, in the sequence of one token's life."""

    BEFORE_CLAIM = "before-claim"
    AFTER_CLAIM = "after-claim"
    BEFORE_INTENT = "before-intent"
    AFTER_INTENT = "after-intent"
    AFTER_SEND = "after-send"
    BEFORE_OUTCOME = "before-outcome"
    AFTER_OUTCOME = "after-outcome"
    MID_BATCH = "mid-batch"
    """In a transaction of several works, one of which is done."""
    BEFORE_COMMIT = "before-commit"
    AFTER_COMMIT = "after-commit"
    """It is on disk, and nobody has been told."""


@dataclass
class Trap:
    """Kills this process when a fail-point has been passed often enough."""

    name: Failpoint
    occurrence: int
    rng: Random
    reached: Path

    @classmethod
    def parse(cls, text: str, reached: Path) -> Trap:
        name, occurrence, seed = text.split(":")
        return cls(Failpoint(name), int(occurrence), Random(int(seed)), reached)

    def is_due(self, name: Failpoint) -> bool:
        if name is not self.name:
            return False
        self.occurrence -= 1
        return self.occurrence == 0

    def passed(self, name: Failpoint) -> None:
        if self.is_due(name):
            self.spring()

    def spring(self) -> None:
        self.reached.write_text(self.name)
        os.kill(os.getpid(), signal.SIGKILL)


def arm(trap: Trap) -> None:
    """Wrap what the trap's name says."""
    _around(SqliteLanes, "claim", trap, Failpoint.BEFORE_CLAIM, Failpoint.AFTER_CLAIM, lambda _: True)
    _around(SqliteLanes, "begin_send", trap, Failpoint.BEFORE_INTENT, Failpoint.AFTER_INTENT, lambda _: True)
    _around(SqliteLanes, "step", trap, Failpoint.BEFORE_OUTCOME, Failpoint.AFTER_OUTCOME, _has_outcome)
    _after_send(trap)
    _in_transactions(trap)


def _has_outcome(arguments: tuple[Any, ...]) -> bool:
    return any(isinstance(argument, Step) and argument.outcomes for argument in arguments)


def _around(
    kind: type,
    name: str,
    trap: Trap,
    before: Failpoint,
    after: Failpoint,
    is_meant: Callable[[tuple[Any, ...]], bool],
) -> None:
    original = getattr(kind, name)

    @wraps(original)
    async def wrapped(*arguments: Any, **named: Any) -> Any:
        meant = is_meant(arguments)
        if meant:
            trap.passed(before)
        result = await original(*arguments, **named)
        # A claim that took nothing is none.
        if meant and (name != "claim" or result.claims):
            trap.passed(after)
        return result

    setattr(kind, name, wrapped)


def _after_send(trap: Trap) -> None:
    original = Session.action

    @wraps(original)
    async def action(self: Session, class_id: int, obis: Any, method: int, data: Any) -> Any:
        is_enter = (class_id, method) == (token_gateway.CLASS_ID, token_gateway.METHOD_ENTER)
        if is_enter and trap.is_due(Failpoint.AFTER_SEND):
            sending = asyncio.ensure_future(original(self, class_id, obis, method, data))
            await asyncio.sleep(trap.rng.random() * _AFTER_SEND_SECONDS_MAX)
            trap.spring()
            return await sending
        return await original(self, class_id, obis, method, data)

    Session.action = action  # type: ignore[method-assign]


def _in_transactions(trap: Trap) -> None:
    begin, write = Database.__init__, Database.write
    works_done = 0
    """In the transaction that is open."""

    def at_commit(moment: str) -> None:
        nonlocal works_done
        works_done = 0
        trap.passed(Failpoint(moment))

    @wraps(begin)
    def begin_with_trap(self: Database, *arguments: Any, **named: Any) -> None:
        begin(self, *arguments, **{**named, "at_commit": at_commit})

    @wraps(write)
    async def write_counted(self: Database, function: Callable[[Any], Any], **size: int) -> Any:
        def work(connection: Any) -> Any:
            nonlocal works_done
            if works_done == 1:  # and this is the second
                trap.passed(Failpoint.MID_BATCH)
            result = function(connection)
            works_done += 1
            return result

        return await write(self, work, **size)

    Database.__init__ = begin_with_trap  # type: ignore[method-assign]
    Database.write = write_counted  # type: ignore[method-assign]
