"""MqttReturn: brings a connection to a broker back, for as long as it is wanted.

For those who listen: meters and watches. Who asks does not need it, because ``LinkPool`` opens a broken link again at
its next use.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from transports.channel import ChannelError
from transports.endpoint import EndpointError

_log = logging.getLogger(__name__)

PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.5, 30.0
"""guess: a broker that restarts is back in a second; one that does not come back is not to be drummed at."""


class MqttReturn:
    """One task, while there is no connection; none, while there is."""

    def __init__(self, name: str, open_again: Callable[[], Awaitable[None]], chance: Callable[[], float]) -> None:
        """``open_again`` raises ``ChannelError`` or ``EndpointError`` if there is still no connection."""
        self._name = name
        self._open_again = open_again
        self._chance = chance
        self._task: asyncio.Task[None] | None = None
        self._lost = False
        self._closed = False

    def lost(self, error: ChannelError) -> None:
        """There is no connection (any more)."""
        self._lost = True
        if not self._closed and self._task is None:
            _log.warning("%s: %s; trying to come back", self._name, error)
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """It is not wanted any more."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _run(self) -> None:
        pause_seconds = PAUSE_SECONDS
        while self._lost:
            # Thousands that lost the same broker do not come back in the same moment.
            await asyncio.sleep(pause_seconds * (0.5 + self._chance()))
            pause_seconds = min(2 * pause_seconds, PAUSE_SECONDS_MAX)
            self._lost = False
            try:
                await self._open_again()
            except (ChannelError, EndpointError) as error:
                _log.debug("%s: %s", self._name, error)
                self._lost = True
        _log.warning("%s is back", self._name)
        self._task = None
