"""Many orders as one stream: a line for each row, whatever is wrong with others, and with the connection."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.api.app import ApiLimits
from gateway.api.batch_rows import LINE_OCTETS_MAX, Lines, Row, csv_rows, ndjson_rows
from gateway.store.store import StoreFull
from tests.gateway.api.service import Answered, Service, credit, order_body, service, unread_socket

NDJSON, CSV = {"Content-Type": "application/x-ndjson"}, {"Content-Type": "text/csv"}
PATH = "/v1/orders:batch"


async def _batch(api: Service, body: Any, headers: dict[str, str] | None = None) -> Answered:
    return await api.ask("POST", PATH, data=body, headers=headers or NDJSON)


def _lines(answered: Answered) -> list[dict[str, Any]]:
    assert (answered.status, answered.media_type) == (200, "application/x-ndjson")
    return [json.loads(line) for line in answered.octets.splitlines()]


def _rows(*bodies: Any) -> bytes:
    return b"".join((body if isinstance(body, bytes) else json.dumps(body).encode()) + b"\n" for body in bodies)


async def _ids(api: Service) -> set[str]:
    return {order["id"] for order in (await api.ask("GET", "/v1/orders?limit=1000")).json["orders"]}


async def test_every_row_has_its_line(api: Service) -> None:
    await api.order("A-0")
    await api.order("B-0")
    answered = await _batch(
        api,
        _rows(
            order_body("A-1"),
            order_body("A-0"),
            order_body("B-0", priority="operator"),
            b"{no json",
            b"",
            order_body("A-2", tokens=["1"]),
            order_body("A-3", meter="none"),
            order_body("A-4", tokens=order_body("A-1")["tokens"]),
            order_body("A-5", expires_at="2020-01-01T00:00:00Z"),
            order_body("A-6"),
        ),
    )
    lines = _lines(answered)
    assert [(line["row"], line["id"], line["status"]) for line in lines] == [
        (1, "A-1", 202),
        (2, "A-0", 200),
        (3, "B-0", 409),
        (4, None, 400),
        (6, "A-2", 422),
        (7, "A-3", 422),
        (8, "A-4", 409),
        (9, "A-5", 422),
        (10, "A-6", 202),
    ]
    assert all(("problem" in line) == (line["status"] >= 400) for line in lines)
    assert lines[6]["problem"]["order"] == "A-1"
    assert await _ids(api) == {"A-0", "B-0", "A-1", "A-6"}


async def test_a_batch_as_csv(api: Service) -> None:
    rows = [
        "\ufeffid, Meter,tokens,amount,unit,kind,priority,expires_at",
        f'A-1,M-1,"{credit(1)[:10]} {credit(1)[10:]}",25.6,kWh,,,',
        f"A-2,M-1,{credit(2)};{credit(3)},,,credit,operator,2026-12-01T00:00:00Z",
        "A-3,M-1,,,,,,",
        f"A-4,M-1,{credit(4)},25.6,,,,",
        "A-5,M-1",
        '"A-6,M-1,,,,,,',
        "",
        f"A-7,M-1,{credit(7)},,,,,",
    ]
    lines = _lines(await _batch(api, "\r\n".join(rows).encode(), CSV))
    assert [(line["row"], line["id"], line["status"]) for line in lines] == [
        (1, "A-1", 202),
        (2, "A-2", 202),
        (3, "A-3", 422),
        (4, "A-4", 422),
        (5, "A-5", 400),
        (6, None, 400),
        (8, "A-7", 202),
    ]
    assert [error["field"] for error in lines[3]["problem"]["errors"]] == ["amount.unit"]
    shown = (await api.ask("GET", "/v1/orders/A-1")).json["tokens"][0]
    assert shown["amount"] == {"value": "25.6", "unit": "kWh"}
    assert len((await api.ask("GET", "/v1/orders/A-2")).json["tokens"]) == 2


_COLUMNS = "id, meter, tokens and, as needed, kind, amount, unit, priority, not_before, expires_at"
_HEADS = [
    ("", f"the first line of a CSV names its columns: {_COLUMNS}"),
    (f"A-1,M-1,{credit(1)}", f"the first line of a CSV names its columns: {_COLUMNS}"),
    ("id,meter", f"tokens is missing; expected are {_COLUMNS}"),
    ("id,meter,tokens,tokens", f"tokens stands there twice; expected are {_COLUMNS}"),
    ("id,meter,tokens,colour", f"there is no column colour; expected are {_COLUMNS}"),
    (f"id,meter,tokens,{credit(1)}", f"there is no column of this name (not shown); expected are {_COLUMNS}"),
    ("id,meter,token", f"there is no column token; did you mean tokens?; tokens is missing; expected are {_COLUMNS}"),
    ("id;meter;tokens", "its columns have semicolons between them; commas are expected"),
    ("id\tmeter\ttokens\tcolour", "its columns have tabs between them; commas are expected"),
    ('"id,meter', f"the first line of a CSV names its columns: {_COLUMNS}"),
    ("\x00", f"the first line of a CSV names its columns: {_COLUMNS}"),
]


@pytest.mark.parametrize(("head", "words"), _HEADS)
async def test_a_csv_without_its_columns_is_refused_as_a_whole(api: Service, head: str, words: str) -> None:
    body = f"{head}\nA-1,M-1,{credit(1)}\n"
    [line] = _lines(await _batch(api, body.encode(), CSV))
    assert (line["row"], line["id"], line["status"]) == (0, None, 422)
    assert line["problem"]["errors"] == [{"field": "header", "message": words}]
    assert line["problem"]["detail"] == f"header: {words}"
    assert await _ids(api) == set()


SHOWN_IDS: list[tuple[bytes, str | None]] = [
    (b'{"id": "A-1", "colour": "red"}', "A-1"),
    (b'{"meter": {"id": "inner"}, "id": "A-1"}', "A-1"),
    (b'{"id": "A-1", "meter": "a", "meter": "b"}', "A-1"),
    (b'{"id": "A-1", "id": "A-2"}', None),
    (b'{"id": "a b"}', None),
    (b'{"id": 7}', None),
    (b'{"id": "57696296645984418885", "tokens": ["57696296645984418885"]}', None),
    (b'{"id": "A-1"', None),
    (b'["id", "A-1"]', None),
    (b'[["id", "A-1"]]', None),
    (b'{"id": "A-1", "meter": "\xff"}', None),
    (b'{"id": "A-1", "meter": ' + b"[" * 30_000, None),
    (b'{"id": "A-1", "meter": ' + b"9" * 5_000 + b"}", None),
]


@pytest.mark.parametrize(("row", "shown"), SHOWN_IDS)
async def test_a_row_that_is_refused_keeps_its_id_where_it_can_be_read(
    api: Service, row: bytes, shown: str | None
) -> None:
    [line] = _lines(await _batch(api, row))
    assert line["status"] in (400, 422)
    assert line["id"] == shown
    assert b"5769629" not in json.dumps(line).encode()


async def test_a_csv_in_another_code_is_refused_row_by_row(api: Service) -> None:
    body = f"id,meter,tokens\nÄ-1,M-1,{credit(1)}\nA-2,M-1,{credit(2)}\n".encode("latin-1")
    assert [line["status"] for line in _lines(await _batch(api, body, CSV))] == [400, 202]


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "text/csv; charset=latin-1"])
async def test_a_batch_of_another_media_type_is_refused(api: Service, media_type: str) -> None:
    answered = await _batch(api, b"x", {"Content-Type": media_type})
    assert (answered.status, answered.problem["type"]) == (415, "unsupported-media-type")


async def test_a_row_that_is_too_long_is_refused_alone(api: Service) -> None:
    long = b'{"id": "' + b"x" * (LINE_OCTETS_MAX + 10) + b'"}'
    lines = _lines(await _batch(api, _rows(order_body("A-1"), long, order_body("A-2"))))
    assert [(line["row"], line["status"]) for line in lines] == [(1, 202), (2, 413), (3, 202)]


async def test_a_large_batch_is_committed_in_groups_and_reported_in_its_sequence(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    add = api.store.orders.add

    async def counted(orders: Sequence[Any], *, who: str) -> Any:
        sizes.append(len(orders))
        return await add(orders, who=who)

    monkeypatch.setattr(api.store.orders, "add", counted)
    lines = _lines(await _batch(api, _rows(*(order_body(f"A-{number}") for number in range(1200)))))
    assert [line["row"] for line in lines] == list(range(1, 1201))
    assert {line["status"] for line in lines} == {202}
    assert sum(sizes) == 1200
    assert max(sizes) <= 500
    assert len(sizes) < 30


async def test_rows_are_reported_while_others_are_still_to_come(api: Service) -> None:
    go_on = asyncio.Event()

    async def rows() -> AsyncIterator[bytes]:
        yield _rows(order_body("A-1"), order_body("A-2"))
        await go_on.wait()
        yield _rows(order_body("A-3"))

    async with api.session.post(f"{api.url}{PATH}", data=rows(), headers={**api.headers(), **NDJSON}) as answer:
        first = [json.loads(await answer.content.readline()) for _ in range(2)]
        assert [line["id"] for line in first] == ["A-1", "A-2"]
        go_on.set()
        assert json.loads(await answer.content.readline())["id"] == "A-3"
        assert await answer.content.readline() == b""


async def test_a_caller_that_reads_nothing_before_it_has_sent_everything_is_served(tmp_path: Path) -> None:
    """Neither the rows nor the report fit into the buffers on the way."""
    row, count = b'{"tokens": 1}' + b" " * 1000 + b"\n", 2000
    async with service(tmp_path, buffers=4096, limits=ApiLimits(request_timeout_seconds=5)) as api:
        reader, writer = await asyncio.open_connection(sock=unread_socket(api.port), limit=1024)
        writer.write(_batch_head(api, f"Content-Length: {len(row) * count}", "Connection: close"))
        for _ in range(count // 100):
            writer.write(row * 100)
            await writer.drain()
        received = b""
        while octets := await reader.read(1 << 20):
            received += octets
        writer.close()
    assert len(received) > 100 * count
    assert received.endswith(b"\r\n0\r\n\r\n")
    assert b'{"row":%d,' % count in received


def _batch_head(api: Service, *lines: str) -> bytes:
    head = [f"POST {PATH} HTTP/1.1", "Host: h", f"Authorization: {api.headers()['Authorization']}"]
    return "\r\n".join([*head, "Content-Type: application/x-ndjson", *lines, "", ""]).encode()


async def test_a_connection_that_breaks_leaves_whole_rows_and_the_rest_can_be_sent_again(api: Service) -> None:
    bodies = [order_body(f"A-{number}") for number in range(60)]
    octets = _rows(*bodies)
    cut = octets.index(b"A-40") + 10
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(_batch_head(api, f"Content-Length: {len(octets)}") + octets[:cut])
    reported = await reader.readuntil(b'{"row":40')
    writer.close()
    assert reported.count(b'"status":202') == 39
    taken = await _ids(api)
    assert taken == {f"A-{number}" for number in range(40)}
    lines = _lines(await _batch(api, octets))
    assert [line["status"] for line in lines] == [200] * 40 + [202] * 20


async def test_a_body_that_is_coded_wrongly_ends_with_a_line_that_says_so(tmp_path: Path) -> None:
    async with service(tmp_path, limits=ApiLimits(request_timeout_seconds=1.0)) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        octets = _rows(order_body("A-1"))
        writer.write(_batch_head(api, "Transfer-Encoding: chunked") + b"%x\r\n%b\r\n" % (len(octets), octets))
        assert b'"status":202' in await reader.readuntil(b"202}")
        writer.write(b"nonsense\r\n\r\n")
        # When aiohttp does not tell of it, it is the same as if nothing more came.
        assert re.search(rb'{"row":2,"id":null,"status":40[08],', await reader.read())
        writer.close()


async def test_a_batch_that_stops_coming_is_ended(tmp_path: Path) -> None:
    async with service(tmp_path, limits=ApiLimits(request_timeout_seconds=1.5)) as api:
        go_on = asyncio.Event()

        async def rows() -> AsyncIterator[bytes]:
            yield _rows(order_body("A-1")) + b'{"id": "A-2"'
            await go_on.wait()

        async with api.session.post(f"{api.url}{PATH}", data=rows(), headers={**api.headers(), **NDJSON}) as answer:
            lines = [json.loads(line) async for line in answer.content]
        go_on.set()
        assert [(line["row"], line["status"]) for line in lines] == [(1, 202), (2, 408)]


@pytest.mark.parametrize(("limits", "status"), [({"batch_rows_max": 3}, 413), ({"batch_octets_max": 300}, 413)])
async def test_a_batch_that_is_too_large_ends_there(tmp_path: Path, limits: dict[str, int], status: int) -> None:
    async with service(tmp_path, limits=ApiLimits(**limits)) as api:
        lines = _lines(await _batch(api, _rows(*(order_body(f"A-{number}") for number in range(10)))))
        assert lines[-1]["status"] == status
        taken = {line["id"] for line in lines[:-1]}
        assert await _ids(api) == taken


async def test_a_store_that_is_full_ends_the_batch_and_says_where(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, first_is_there = api.store.orders.add, asyncio.Event()

    async def full_later(orders: Sequence[Any], *, who: str) -> Any:
        if first_is_there.is_set():
            raise StoreFull("no room")
        first_is_there.set()
        return await add(orders, who=who)

    monkeypatch.setattr(api.store.orders, "add", full_later)

    async def rows() -> AsyncIterator[bytes]:
        yield _rows(order_body("A-1"), order_body("A-2"))
        await first_is_there.wait()
        yield _rows(order_body("A-3"), order_body("A-4"))

    lines = _lines(await _batch(api, rows()))
    assert [(line["row"], line["status"]) for line in lines] == [(1, 202), (2, 202), (3, 503)]


async def test_so_many_batches_at_a_time_and_no_more(tmp_path: Path) -> None:
    async with service(tmp_path, limits=ApiLimits(batches_max=1)) as api:
        go_on = asyncio.Event()

        async def rows() -> AsyncIterator[bytes]:
            yield _rows(order_body("A-1"))
            await go_on.wait()

        async with api.session.post(f"{api.url}{PATH}", data=rows(), headers={**api.headers(), **NDJSON}) as answer:
            await answer.content.readline()
            assert (await _batch(api, _rows(order_body("A-2")))).status == 429
            go_on.set()
            await answer.read()
        assert (await _batch(api, _rows(order_body("A-2")))).status == 200


# Rows, without a service.


def test_cutting_the_stream_anywhere_changes_no_line() -> None:
    stream = b"first\n\nsecond line\r\nlast"
    whole = Lines()
    expected = whole.receive(stream) + whole.end()
    for cut in range(len(stream) + 1):
        lines = Lines()
        assert lines.receive(stream[:cut]) + lines.receive(stream[cut:]) + lines.end() == expected


def test_a_line_without_an_end_is_skipped_and_costs_no_memory() -> None:
    lines = Lines()
    for _ in range(100):
        assert lines.receive(b"x" * 10_000) == []
    assert lines.receive(b"\nnext\n") == [None, b"next"]
    assert lines.end() == []


def test_an_empty_line_counts_and_gives_nothing() -> None:
    read = ndjson_rows()
    assert [list(read(line)) for line in (b"{}", b" ", b"{}")] == [[Row(1, b"{}")], [], [Row(3, b"{}")]]


def test_cells_of_a_csv_become_the_body_of_an_order() -> None:
    read = csv_rows()
    assert list(read(b"id,meter,tokens,amount,unit,not_before")) == []
    [row] = read(b'A-1,M-1,"1 ; 2",25.6,kWh,')
    body = {"id": "A-1", "meter": "M-1", "tokens": ["1", "2"], "amount": {"value": "25.6", "unit": "kWh"}}
    assert json.loads(row.octets) == body
