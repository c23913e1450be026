"""Conversations: the handlers of a listener, one task for each conversation that a client began."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from transports.channel import Address, ApduChannel, ChannelError, OnChannel

Accept = Callable[[Address], bool]
"""Whether an address is one of ours. A meter does not answer frames for others, so a refusal stays silent."""

# guess: handlers that close their files and ledgers need moments; whoever needs more is cancelled.
GRACE_SECONDS = 2.0

# guess: a concentrator with some hundred meters; each conversation costs a task and a kilobyte.
CONVERSATIONS_MAX = 1024
"""How many conversations one connection may carry."""


def accept_all(_address: Address) -> bool:
    """Every address is ours: one meter alone at its end of the wire."""
    return True


class Conversations:
    """Owner of the handlers' tasks. A handler that returns or fails has its channel closed."""

    def __init__(self, on_channel: OnChannel, accept: Accept = accept_all) -> None:
        self.accept = accept
        self._on_channel = on_channel
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, channel: ApduChannel) -> None:
        task = asyncio.get_running_loop().create_task(self._run(channel))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Wait for the handlers, whose links are closed already; cancel those that do not come to an end."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=GRACE_SECONDS)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _run(self, channel: ApduChannel) -> None:
        async with channel:
            try:
                await self._on_channel(channel)
            except ChannelError:
                return  # the client went away: how most conversations end

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "a conversation's handler failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)
