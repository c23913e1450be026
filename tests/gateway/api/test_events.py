"""Server-sent events: nobody misses one, nobody gets one twice, and slow readers harm nobody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.api import event_hub
from gateway.api.app import ApiLimits
from gateway.client.event_stream import EventStreamReceiver
from gateway.store.store import StoreError
from tests.gateway.api.service import Service, credit, service, unread_socket

LIMIT_SECONDS = 20


class Reader:
    """Reads one stream."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.receiver = EventStreamReceiver()
        self.octets = b""
        self._events: list[dict[str, Any]] = []

    async def take(self, count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(LIMIT_SECONDS):
            while len(self._events) < count:
                await self._read()
        taken, self._events = self._events[:count], self._events[count:]
        return taken

    async def until(self, part: bytes) -> None:
        async with asyncio.timeout(LIMIT_SECONDS):
            while part not in self.octets:
                await self._read()

    async def to_the_end(self) -> list[dict[str, Any]]:
        async with asyncio.timeout(LIMIT_SECONDS):
            while not self.response.content.at_eof():
                await self._read()
        return self._events

    async def _read(self) -> None:
        octets = await self.response.content.readany()
        assert octets or self.response.content.at_eof()
        self.octets += octets
        for event in self.receiver.receive(octets):
            data = json.loads(event.data)
            assert (event.id, event.name) == (str(data["number"]), data["name"])
            self._events.append(data)


@asynccontextmanager
async def reading(api: Service, query: str = "", **headers: str) -> AsyncIterator[Reader]:
    sent = {**api.headers("read"), **headers}
    async with api.session.get(f"{api.url}/v1/events{query}", headers=sent) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        reader = Reader(response)
        await reader.until(b"retry:")
        yield reader


def orders_of(events: Sequence[dict[str, Any]]) -> list[str]:
    return [event["order"] for event in events]


async def test_events_come_from_the_beginning_and_as_they_happen(api: Service) -> None:
    await api.order("A-1")
    async with reading(api, "?after=0") as reader:
        assert orders_of(await reader.take(1)) == ["A-1"]
        await api.order("A-2")
        await api.ask("POST", "/v1/orders/A-1/cancel")
        events = await reader.take(2)
    assert [(event["name"], event["order"]) for event in events] == [
        ("order.created", "A-2"),
        ("order.cancelled", "A-1"),
    ]
    shown = (await api.ask("GET", "/v1/orders/A-1")).json["timeline"]
    assert events[1] == shown[-1]


async def test_without_a_number_only_what_happens_from_now_on_is_told(api: Service) -> None:
    await api.order("A-1")
    async with reading(api) as reader:
        await api.order("A-2")
        assert orders_of(await reader.take(1)) == ["A-2"]


async def test_one_order_is_told_alone(api: Service) -> None:
    await api.order("A-1")
    await api.order("A-2")
    async with reading(api, "?after=0&order=A-2") as reader:
        assert orders_of(await reader.take(1)) == ["A-2"]
        await api.order("A-3")
        await api.ask("POST", "/v1/orders/A-2/cancel")
        [event] = await reader.take(1)
    assert (event["order"], event["name"]) == ("A-2", "order.cancelled")


@pytest.mark.parametrize("kept", [3, 5000])
async def test_a_reader_that_comes_back_again_and_again_gets_every_event_once(
    api: Service, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(event_hub, "KEPT", kept)
    monkeypatch.setattr(event_hub, "PAGE", 4)
    ids = [f"A-{number}" for number in range(60)]

    async def add() -> None:
        for order_id in ids:
            await api.order(order_id)

    adding = asyncio.create_task(add())
    seen: list[int] = []
    told: list[str] = []
    while len(told) < len(ids):
        headers = {"Last-Event-ID": str(seen[-1])} if seen else {}
        async with reading(api, "?after=0", **headers) as reader:
            events = await reader.take(min(7, len(ids) - len(told)))
        seen += [event["number"] for event in events]
        told += orders_of(events)
    await adding
    assert told == ids
    assert seen == sorted(set(seen))


async def test_a_reader_that_comes_back_with_its_first_url_goes_on_where_it_is_further(api: Service) -> None:
    for number in range(1, 7):
        await api.order(f"A-{number}")
    for after, last in ((2, 4), (4, 2), (4, 4)):
        async with reading(api, f"?after={after}", **{"Last-Event-ID": str(last)}) as reader:
            assert [event["number"] for event in await reader.take(2)] == [5, 6]


async def test_what_is_fetched_for_readers_that_left_is_not_told_to_those_that_came(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    after, asked, go_on = api.store.events.after, asyncio.Event(), asyncio.Event()

    async def held_up(number: int, *, limit: int = 500, order: str | None = None) -> Any:
        records = await after(number, limit=limit, order=order)
        asked.set()
        await go_on.wait()
        return records

    hub = event_hub.EventHub(api.store.events)
    running = asyncio.create_task(hub.run())
    await hub.join()
    await api.order("A-1")
    monkeypatch.setattr(api.store.events, "after", held_up)
    hub.ring()
    await asked.wait()
    hub.leave()
    await api.order("A-2")
    joined = await hub.join()
    go_on.set()
    await api.order("A-3")
    hub.ring()
    while not (told := await hub.after(joined))[0]:
        await hub.wait(joined, LIMIT_SECONDS)
    assert ([event.record.order for event in told[0]], told[1]) == (["A-3"], joined + 1)
    assert (await hub.after(joined + 1))[0] == []
    running.cancel()


async def test_many_readers_share_one_poll_of_the_store(api: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    polls: list[int] = []
    after = api.store.events.after

    async def counted(number: int, *, limit: int = 500, order: str | None = None) -> Any:
        polls.append(number)
        return await after(number, limit=limit, order=order)

    async with (
        reading(api) as one,
        reading(api) as two,
        reading(api) as three,
        reading(api) as four,
        reading(api) as five,
    ):
        monkeypatch.setattr(api.store.events, "after", counted)
        readers = (one, two, three, four, five)
        for number in range(4):
            await api.order(f"A-{number}")
            for reader in readers:
                assert orders_of(await reader.take(1)) == [f"A-{number}"]
    assert len(polls) <= 4 * 2 + 1  # one that finds it, one that finds no more


@pytest.mark.parametrize("header", ["-1", "x", "1.5", "99999999999999999999", "١"])
async def test_a_last_event_id_that_is_no_number_is_refused(api: Service, header: str) -> None:
    answered = await api.ask("GET", "/v1/events", headers={"Last-Event-ID": header})
    assert (answered.status, answered.problem["type"]) == (400, "invalid-parameter")


async def test_a_number_that_nothing_has_yet_is_refused_as_it_would_hide_events(api: Service) -> None:
    await api.order("A-1")
    answered = await api.ask("GET", "/v1/events?after=1000")
    assert (answered.status, answered.problem["detail"]) == (400, "after: the last event is 1")


async def test_a_quiet_stream_says_that_it_is_there(tmp_path: Path) -> None:
    async with service(tmp_path, limits=ApiLimits(event_ping_seconds=0.02)) as api, reading(api) as reader:
        await reader.until(b": still here\n\n: still here\n\n")


async def test_a_stream_ends_when_its_key_is_revoked(tmp_path: Path) -> None:
    async with service(tmp_path, limits=ApiLimits(event_ping_seconds=0.05)) as api, reading(api, "?after=0") as reader:
        await api.order("A-1")
        await reader.take(1)
        await api.ask("DELETE", "/v1/api-keys/key-read")
        assert await reader.to_the_end() == []


async def test_so_many_streams_and_no_more(tmp_path: Path) -> None:
    async with service(tmp_path, limits=ApiLimits(event_streams_max=1)) as api, reading(api):
        answered = await api.ask("GET", "/v1/events")
        assert (answered.status, answered.problem["type"]) == (429, "too-many-requests")
        assert "Retry-After" in answered.headers


async def test_streams_that_are_asked_for_at_once_are_counted_too(tmp_path: Path) -> None:
    async with service(tmp_path, limits=ApiLimits(event_streams_max=5)) as api:
        key = api.headers("read")["Authorization"]
        request = f"GET /v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: {key}\r\n\r\n".encode()

        async def ask() -> tuple[int, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
            writer.write(request)
            return int((await reader.readline()).split()[1]), writer

        answers = await asyncio.gather(*(ask() for _ in range(20)))
        for _, writer in answers:
            writer.close()
            await writer.wait_closed()
        assert sorted(status for status, _ in answers) == [200] * 5 + [429] * 15


async def test_a_reader_that_does_not_read_is_dropped_and_others_go_on(tmp_path: Path) -> None:
    limits = ApiLimits(request_timeout_seconds=1.0)
    async with service(tmp_path, buffers=4096, limits=limits) as api:
        rows = [json.dumps({"id": f"A-{n}", "meter": "M-1", "tokens": [credit(n)]}) for n in range(1000)]
        batch = {"Content-Type": "application/x-ndjson"}
        await api.ask("POST", "/v1/orders:batch", data="\n".join(rows), headers=batch)
        with unread_socket(api.port) as lazy:
            key = api.headers("read")["Authorization"]
            request = f"GET /v1/events?after=0 HTTP/1.1\r\nHost: h\r\nAuthorization: {key}\r\n\r\n"
            await asyncio.get_running_loop().sock_sendall(lazy, request.encode())
            async with reading(api, "?after=0") as reader:
                assert len(await reader.take(1000)) == 1000
                assert len(api.runner.server.connections) >= 2
            async with asyncio.timeout(LIMIT_SECONDS):  # in which it lets go of all but the one on which it is asked
                while (connections := len(api.runner.server.connections)) > 1:
                    await api.ask("GET", "/healthz", scope=None)
        assert connections == 1


async def test_events_go_on_after_the_store_failed(api: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    after = api.store.events.after
    failures = 1

    async def fails_once(number: int, *, limit: int = 500, order: str | None = None) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise StoreError("not now")
        return await after(number, limit=limit, order=order)

    monkeypatch.setattr(event_hub, "_RETRY_SECONDS", 0.0)
    async with reading(api) as reader:
        monkeypatch.setattr(api.store.events, "after", fails_once)
        await api.order("A-1")
        assert orders_of(await reader.take(1)) == ["A-1"]
    assert failures == 0


async def test_streams_end_when_the_service_stops(tmp_path: Path) -> None:
    async with service(tmp_path) as api, reading(api) as reader:
        await api.app.shutdown()
        assert await reader.to_the_end() == []
