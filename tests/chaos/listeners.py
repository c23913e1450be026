"""Those who are told: a reader of the event stream that comes back after each kill, and a webhook's receiver."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from random import Random

import aiohttp
from aiohttp import web

from tests.chaos.callers import Door

_COME_BACK_SECONDS = 0.1
_READ_SECONDS_MAX = 30.0
_SECRET = "whsec_" + "Y2hhb3MtY2hhb3MtY2hhb3MtY2hhb3MtY2hhb3M="
_REFUSED_SHARE = 0.1
WEBHOOK = "chaos"


class EventReader:
    """Reads all events from the first, and goes on behind the last one that it got."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.numbers: list[int] = []

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            with suppress(aiohttp.ClientError, TimeoutError, OSError):
                await self._read()
            await asyncio.sleep(_COME_BACK_SECONDS)

    async def _read(self) -> None:
        headers = {"Last-Event-ID": str(self.numbers[-1])} if self.numbers else {}
        timeout = aiohttp.ClientTimeout(total=None, sock_read=_READ_SECONDS_MAX)
        async with self._door.session.get(
            self._door.url + "/v1/events?after=0", headers=headers, timeout=timeout
        ) as response:
            if response.status != 200:
                return
            async for line in response.content:
                if line.startswith(b"id:"):
                    self.numbers.append(int(line[3:]))


class WebhookReceiver:
    """Takes most calls, and refuses some: those have to come again."""

    def __init__(self, port: int, rng: Random) -> None:
        self._port = port
        self._rng = rng
        self._runner: web.AppRunner | None = None
        self.taken: Counter[int] = Counter()
        """By the number of the event."""

    def body(self) -> dict[str, str]:
        """For ``PUT /v1/webhooks/{id}``."""
        return {"url": f"http://127.0.0.1:{self._port}/", "secret": _SECRET}

    async def start(self) -> None:
        application = web.Application()
        application.router.add_post("/", self._called)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def _called(self, request: web.Request) -> web.Response:
        message = await request.json()
        if self._rng.random() < _REFUSED_SHARE:
            return web.Response(status=500)
        self.taken[int(message["id"].rpartition("/")[2])] += 1
        return web.Response(status=204)

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
