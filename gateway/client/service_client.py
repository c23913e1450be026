"""Speaks to a running service over HTTP, as the commands do: one call, one list page after page, events as they come.

Every answer is one of three things: what was asked for; ``ServiceRefused``, the service's own word against it; or
``ServiceUnreachable``, which leaves open what became of the request, unless it says that nothing left.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
from yarl import URL

from gateway.client.answers import (
    Json,
    ServiceRefused,
    ServiceUnreachable,
    event_in,
    listed,
    object_in,
    parsed,
    refusal_in,
    stranger,
    words_of,
)
from gateway.client.event_stream import EventStreamReceiver, EventTooLong
from gateway.schedule import Backoff

T = TypeVar("T")
Query = Mapping[str, str | int | None]

PAGE_SIZE = 500
ANSWER_SIZE_MAX = 64 << 20
"""Octets of one answer. guess: a page of 500 orders has less than 1 MB."""
DEFAULT_TIMEOUT_SECONDS = 30.0
CONNECT_TIMEOUT_SECONDS = 10.0
SILENCE_MAX_SECONDS = 60.0
"""On a stream of events, where the service says something every few seconds even when nothing happens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAddress:
    """Where the service is, and who asks it."""

    url: str
    api_key: str = field(repr=False)
    tls: ssl.SSLContext | None = None
    """None: whom the system trusts."""
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    """For one answer, from the first octet of the request to the last of the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often, and how far apart, a service that is away is asked again."""

    tries_max: int = 30
    backoff: Backoff = field(default_factory=lambda: Backoff(first_seconds=0.5, longest_seconds=5.0))


class ServiceClient:
    """For an ``async with``. Paths are given in their parts, as they are: ``"orders", "A/1"``."""

    def __init__(self, address: ServiceAddress, *, patience: Patience | None = None, rng: Random | None = None) -> None:
        self._address = address
        self._patience = patience or Patience()
        self._rng = rng or Random()  # noqa: S311 - for waits
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        tls = self._address.tls
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._address.api_key}"},
            connector=aiohttp.TCPConnector(ssl=True if tls is None else tls),
            timeout=aiohttp.ClientTimeout(total=self._address.timeout_seconds, sock_connect=CONNECT_TIMEOUT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    # One call.

    async def get(self, *path: str, **query: str | int | None) -> Json:
        return await self.call("GET", *path, query=query)

    async def call(self, method: str, *path: str, query: Query | None = None, **content: Any) -> Json:
        """The object that is the answer; an empty one if it has no body. ``content`` is ``json``, or ``data`` with
        its ``headers``. Raises ``ServiceRefused``, ``ServiceUnreachable``."""
        async with self._answer(method, path, query, **content) as answer:
            return object_in(answer, await _body(answer))

    async def pages(self, *path: str, limit: int, **query: str | int | None) -> AsyncGenerator[Json, None]:
        """The items of a list, up to ``limit``, asked for page by page."""
        cursor, left = None, limit
        while left > 0:
            page = await self.get(*path, **{**query, "limit": min(left, PAGE_SIZE), "cursor": cursor})
            items, cursor = listed(page, path[-1]), page.get("next_cursor")
            for item in items[:left]:
                yield item
            left -= len(items)
            if cursor is None or not items:
                return

    async def report(self, *path: str, content: AsyncIterable[bytes], media_type: str) -> AsyncGenerator[Json, None]:
        """Send a stream of rows, and give the lines of the answer as they come: both may go on for as long as they
        move. Raises ``ServiceRefused``, ``ServiceUnreachable``."""
        limits = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_SECONDS, sock_read=SILENCE_MAX_SECONDS)
        headers = {"Content-Type": media_type}
        async with self._answer("POST", path, None, data=content, headers=headers, timeout=limits) as answer:
            async for line in answer.content:
                if (value := parsed(line)) is None:
                    raise stranger(answer.status)
                yield value

    async def patiently(self, ask: Callable[[], Awaitable[T]], *, is_begun: bool = False) -> T:
        """Ask until there is an answer: only for what does no harm when it is done twice. A service that was never
        reached is given up at once, unless ``is_begun``: then it was there a moment ago. Raises the last error."""
        failures = 0
        while True:
            try:
                return await ask()
            except ServiceUnreachable as error:
                if not (error.has_left or is_begun or failures):
                    raise
                last: ServiceUnreachable | ServiceRefused = error
            except ServiceRefused as error:
                if not error.is_busy:
                    raise
                last = error
            failures += 1
            await self._pause(failures, last)

    # Events.

    async def events(
        self, *, after: int = 0, order: str | None = None, on_break: Callable[[str], None] | None = None
    ) -> AsyncGenerator[Json, None]:
        """Events behind number ``after`` and those that come, each of them once, without end. A stream that breaks is
        asked for again from there; ``on_break`` hears why. Raises ``ServiceUnreachable`` when that does not help any
        more, and ``ServiceRefused``."""
        failures = 0
        while True:
            last: ServiceUnreachable | ServiceRefused = ServiceUnreachable("the service ended the stream of events")
            try:
                async with aclosing(self._stream(after, order)) as stream:
                    async for event in stream:
                        failures = 0
                        if event is not None and event["number"] > after:
                            after = event["number"]
                            yield event
            except ServiceUnreachable as error:
                last = error
            except ServiceRefused as error:
                if not error.is_busy:
                    raise
                last = error
            if on_break is not None and failures == 0:
                on_break(str(last))
            failures += 1
            await self._pause(failures, last)

    async def _stream(self, after: int, order: str | None) -> AsyncGenerator[Json | None, None]:
        """What comes over one connection; None = a sign of life."""
        receiver = EventStreamReceiver()
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        limits = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_SECONDS, sock_read=SILENCE_MAX_SECONDS)
        query = {"after": after, "order": order}
        async with self._answer("GET", ("events",), query, headers=headers, timeout=limits) as answer:
            async for octets in answer.content.iter_any():
                yield None
                for event in receiver.receive(octets):
                    yield event_in(answer, event.data)

    # What both need.

    @asynccontextmanager
    async def _answer(
        self, method: str, path: tuple[str, ...], query: Query | None, **settings: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        assert self._session is not None, "not entered"
        url = URL(f"{self._address.url}/v1/{'/'.join(quote(part, safe=':') for part in path)}", encoded=True)
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        try:
            # A redirection is taken for a refusal: the key and the tokens go where they were meant to go.
            async with self._session.request(
                method, url.update_query(given), allow_redirects=False, **settings
            ) as answer:
                if not 200 <= answer.status < 300:
                    raise refusal_in(answer, await _body(answer))
                yield answer
        except (OSError, aiohttp.ClientError, EventTooLong) as error:
            has_left = not isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
            raise ServiceUnreachable(f"{self._address.url}: {words_of(error)}", has_left=has_left) from None

    async def _pause(self, failures: int, last: ServiceUnreachable | ServiceRefused) -> None:
        """Wait before the next try, or raise what went wrong with the last one."""
        if failures >= self._patience.tries_max:
            raise last
        longest = self._patience.backoff.longest_seconds
        wait = self._patience.backoff.wait(failures, self._rng.random()).total_seconds()
        if isinstance(last, ServiceRefused) and last.retry_after_seconds is not None:
            wait = min(max(wait, last.retry_after_seconds), longest)
        await asyncio.sleep(wait)


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    octets = bytearray()
    async for piece in answer.content.iter_any():
        octets += piece
        if len(octets) > ANSWER_SIZE_MAX:
            raise aiohttp.ClientPayloadError(f"an answer of more than {ANSWER_SIZE_MAX} octets")
    return bytes(octets)
