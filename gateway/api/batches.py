"""``POST /v1/orders:batch``: many orders as one stream of rows, NDJSON or CSV, with a report for each.

Rows are taken as they arrive: some hundred at a time go to the store in one commit, each of them whole or not at all,
and are then reported. So the report runs a little behind the rows; a caller may read it meanwhile, or afterwards: what
he does not read yet is kept until he does, and ``batch_rows_max`` limits how much that can be. When the connection
breaks, what was reported is taken, the rows behind it may be taken or not, and half a row never is. The same rows can
be sent again: those that were taken are reported with 200.

What ends a batch early is its last line, with the row at which it ended: 400 a body that breaks off, 408 no more rows
came in time, 413 too many, 503 the store cannot be written.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.api import bodies
from gateway.api.batch_rows import CSV_TYPE, HEADER, NDJSON_TYPE, Lines, Row, csv_rows, ndjson_rows
from gateway.api.call import Call
from gateway.api.order_body import OrderBody, canonical, is_over
from gateway.api.orders import refusal
from gateway.api.problems import JSON_CHARSET, Problem, encode, invalid, unavailable
from gateway.orders import Order, OrderRefused
from gateway.store.records import Added, AddResult, Conflict
from gateway.store.store import StoreError

_BUFFERED_MAX = 64 * 1024
"""Octets of the report on their way to a caller who is still sending. guess: as much as asyncio itself buffers."""
_ROWS_AT_A_TIME = 100
"""Rows that are read before others have their turn: some milliseconds."""
_Taken = tuple[Row, Order | Problem]


async def add_batch(call: Call) -> web.StreamResponse:
    media_type = bodies.check_media_type(call.request, NDJSON_TYPE, CSV_TYPE)
    if call.api.batches >= call.limits.batches_max:
        raise Problem("too-many-requests", "too many batches are under way", headers={"Retry-After": "10"})
    call.api.batches += 1
    try:
        return await _Batch(call, media_type).run()
    finally:
        call.api.batches -= 1


class _Batch:
    """One batch under way."""

    def __init__(self, call: Call, media_type: str) -> None:
        self._call = call
        self._media_type = media_type
        self._response = web.StreamResponse(headers={"Content-Type": NDJSON_TYPE + JSON_CHARSET})
        self._unsent = bytearray()
        self._row = 0

    async def run(self) -> web.StreamResponse:
        chunks = self._chunks()
        rows = ndjson_rows() if self._media_type == NDJSON_TYPE else csv_rows()
        await self._response.prepare(self._call.request)
        with contextlib.suppress(ConnectionError):  # the caller went away: what was reported is taken
            try:
                async for lines in chunks:
                    await self._take([row for line in lines for row in rows(line)])
            except Problem as problem:
                is_header = any(field == HEADER for field, _ in problem.errors)
                self._report(Row(0 if is_header else self._row + 1), problem)
            except StoreError:
                words = "the store cannot be written; send this row and those behind it again"
                self._report(Row(self._row + 1), unavailable(words))
            await self._send(all_of_it=True)
        return self._response

    async def _chunks(self) -> AsyncIterator[Sequence[bytes | None]]:
        """Whole lines, as many as have arrived; None for one that is too long. Raises ``Problem``."""
        content, lines = self._call.request.content, Lines()
        while not content.at_eof():
            try:
                async with asyncio.timeout(self._call.limits.request_timeout_seconds):
                    octets = await content.readany()
            except TimeoutError:
                raise Problem("request-timeout", "no more rows came in time") from None
            except (web.RequestPayloadError, HttpProcessingError):
                raise Problem("malformed", "the body ends in the middle, or is not coded as its header says") from None
            yield lines.receive(octets)
            if lines.octets > self._call.limits.batch_octets_max:
                raise Problem("too-large", f"a batch has at most {self._call.limits.batch_octets_max} octets")
        yield lines.end()

    async def _take(self, rows: Sequence[Row]) -> None:
        size = min(self._call.limits.batch_rows, _ROWS_AT_A_TIME)
        group: list[_Taken] = []
        for start in range(0, len(rows), size):
            for row in rows[start : start + size]:
                if row.number > self._call.limits.batch_rows_max:
                    await self._commit(group)
                    raise Problem("too-large", f"a batch has at most {self._call.limits.batch_rows_max} rows")
                group.append((row, await self._order(row)))
            await asyncio.sleep(0)
            if len(group) + size > self._call.limits.batch_rows:
                await self._commit(group)
                group = []
        await self._commit(group)

    async def _order(self, row: Row) -> Order | Problem:
        """What the row orders, or why that cannot be."""
        if row.problem is not None:
            return row.problem
        try:
            order = bodies.parse(row.octets, OrderBody).order()
        except Problem as problem:
            return problem
        except OrderRefused as error:
            return invalid([(error.field, error.message)])
        if is_over(order, self._call.api.parts.now()) and await self._call.store.orders.get(order.id) is None:
            return invalid([("expires_at", "it is over already")])
        return order

    async def _commit(self, group: Sequence[_Taken]) -> None:
        """Hand the group's orders to the store, and report all of its rows. Raises ``StoreError``."""
        orders = [(order, canonical(order)) for _, order in group if isinstance(order, Order)]
        results = iter(await self._call.store.orders.add(orders, who=self._call.who) if orders else ())
        for row, order in group:
            self._report(row, order if isinstance(order, Problem) else next(results), order)
        await self._send()

    def _report(self, row: Row, result: AddResult | Problem, order: Order | Problem | None = None) -> None:
        self._row = max(self._row, row.number)
        line: dict[str, Any] = {"row": row.number, "id": order.id if isinstance(order, Order) else row.shown_id}
        problem = refusal(result) if isinstance(result, Conflict) else result
        if isinstance(problem, Problem):
            line |= {"status": problem.kind.status, "problem": problem.members()}
        else:
            line["status"] = 202 if isinstance(problem, Added) else 200
        self._unsent += encode(line) + b"\n"

    async def _send(self, *, all_of_it: bool = False) -> None:
        """Pass on what is to be told, but do not wait for a caller who sends everything before he reads anything."""
        transport = self._call.request.transport
        is_stuck = transport is None or transport.get_write_buffer_size() > _BUFFERED_MAX
        if is_stuck and not all_of_it:
            return
        while self._unsent:
            part = bytes(self._unsent[:_BUFFERED_MAX])
            del self._unsent[:_BUFFERED_MAX]
            try:
                async with asyncio.timeout(self._call.limits.request_timeout_seconds):
                    await self._response.write(part)
            except TimeoutError:
                if transport is not None:
                    transport.abort()
                raise ConnectionResetError("the report is not read") from None
            if not all_of_it:
                return
