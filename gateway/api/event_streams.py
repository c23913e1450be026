"""``GET /v1/events``: server-sent events (WHATWG HTML, 9.2), resumed by ``Last-Event-ID``.

A reader that does not read is dropped when one write has waited for the request time-out; it can come back with the
number of the last event that it got. A comment goes out after each quiet while, and then the key is looked at again.
"""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web

from gateway.api.call import Call
from gateway.api.problems import Problem
from gateway.api.queries import NUMBER_MAX, EventsQuery
from gateway.store.store import StoreError

_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_BEGINNING = b"retry: 2000\n\n"
_COMMENT = b": still here\n\n"
_LOOK_SECONDS = 1.0
"""How often a quiet stream looks whether its reader is still there: nobody says so when he leaves."""


async def stream_events(call: Call) -> web.StreamResponse:
    query = call.query(EventsQuery)
    hub = call.api.hub
    after = _resumed(call.request, query.after)
    if hub.readers + hub.joining >= call.limits.event_streams_max:
        raise Problem("too-many-requests", "too many streams of events are open", headers={"Retry-After": "10"})
    last = await hub.join()
    try:
        if after is not None and after > last:
            raise Problem("invalid-parameter", f"after: the last event is {last}")
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(call.request)
        with contextlib.suppress(ConnectionError, TimeoutError, StoreError, Problem):
            await _write(call, response, _BEGINNING)
            await _tell(call, response, last if after is None else after, query.order)
    finally:
        hub.leave()
    return response


def _resumed(request: web.Request, after: int | None) -> int | None:
    """A reader that comes back asks with the URL that it began with, so the header counts where it is further on."""
    text = request.headers.get("Last-Event-ID", "")
    if not text:
        return after
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= NUMBER_MAX):
        raise Problem("invalid-parameter", "Last-Event-ID: the number of an event is expected")
    return max(int(text), after or 0)


async def _tell(call: Call, response: web.StreamResponse, number: int, order: str | None) -> None:
    hub, ping = call.api.hub, call.limits.event_ping_seconds
    clock = asyncio.get_running_loop().time
    looked_at_key = clock()
    while not hub.is_closed and call.request.transport is not None:
        events, reached = await hub.after(number, order)
        if events:
            await _write(call, response, b"".join(event.octets for event in events))
        is_quiet = reached == number
        number = reached
        if is_quiet:
            await hub.wait(number, min(_LOOK_SECONDS, ping - (clock() - looked_at_key)))
        if clock() - looked_at_key >= ping:
            await call.api.gate.recognise(call.request)
            await _write(call, response, _COMMENT)
            looked_at_key = clock()


async def _write(call: Call, response: web.StreamResponse, octets: bytes) -> None:
    try:
        async with asyncio.timeout(call.limits.request_timeout_seconds):
            await response.write(octets)
    except TimeoutError:
        if call.request.transport is not None:
            call.request.transport.abort()  # it does not read: nothing more will get through
        raise
