"""The client of the service, against somebody who answers as services, and others, do on bad days."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from random import Random
from typing import Any

import pytest
from aiohttp import web

from gateway.client import service_client as client_module
from gateway.client.answers import Json, ServiceRefused, ServiceUnreachable
from gateway.client.service_client import Patience, ServiceAddress, ServiceClient
from gateway.schedule import Backoff
from tests.transports.wires import free_port

KEY = "stsgate_test_key"
QUICK = Patience(tries_max=4, backoff=Backoff(first_seconds=0.001, longest_seconds=0.002))
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[str]:
    """Whatever is asked, this handler answers."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=1.0)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def client_of(handler: Handler, timeout_seconds: float = 10.0) -> AsyncIterator[ServiceClient]:
    async with served(handler) as url:
        address = ServiceAddress(url=url, api_key=KEY, timeout_seconds=timeout_seconds)
        async with ServiceClient(address, patience=QUICK, rng=Random(1)) as client:
            yield client


def problem(status: int, headers: Mapping[str, str] | None = None, **members: Any) -> web.Response:
    body = {"type": "invalid", "title": "Wrong", "status": status, **members}
    return web.json_response(body, status=status, content_type="application/problem+json", headers=headers)


def answering(*answers: web.StreamResponse) -> tuple[Handler, list[web.Request]]:
    """These answers, one after the other, and who asked."""
    asked: list[web.Request] = []
    left = list(answers)

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request)
        return left.pop(0)

    return answer, asked


# One call.


async def test_a_key_is_shown_to_the_service_and_in_no_representation() -> None:
    handler, asked = answering(web.json_response({"a": 1}))
    async with client_of(handler) as client:
        assert await client.get("orders", "A/1 ?") == {"a": 1}
    [request] = asked
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.raw_path == "/v1/orders/A%2F1%20%3F"
    assert KEY not in repr(ServiceAddress(url="http://127.0.0.1:1", api_key=KEY))


async def test_the_id_of_a_link_is_one_part_of_a_path() -> None:
    handler, asked = answering(web.json_response({}), web.json_response({}))
    async with client_of(handler) as client:
        await client.call("POST", "links", "tcp://10.0.0.1:4059", "pause")
        await client.get("meters", link="tcp://10.0.0.1:4059&x", cursor=None)
    assert asked[0].raw_path == "/v1/links/tcp:%2F%2F10.0.0.1:4059/pause"
    assert dict(asked[1].query) == {"link": "tcp://10.0.0.1:4059&x"}


async def test_an_answer_without_a_body_is_an_empty_object() -> None:
    handler, _ = answering(web.Response(status=204))
    async with client_of(handler) as client:
        assert await client.call("DELETE", "orders", "A") == {}


async def test_a_refusal_names_all_fields_in_one_line() -> None:
    errors = [{"field": "tokens[0]", "message": "too short"}, {"field": "meter", "message": "there is no such meter"}]
    handler, _ = answering(problem(422, detail="tokens[0]: too short (and 1 more)", errors=errors))
    async with client_of(handler) as client:
        with pytest.raises(ServiceRefused) as caught:
            await client.call("POST", "orders", json={})
    refused = caught.value
    assert str(refused) == "tokens[0]: too short (and 1 more); meter: there is no such meter (422)"
    assert (refused.status, refused.word, refused.title) == (422, "invalid", "Wrong")
    assert refused.fields == {"tokens[0]": "too short", "meter": "there is no such meter"}
    assert not refused.may_pass


async def test_an_error_inside_of_the_service_is_told_with_what_finds_it_in_the_log() -> None:
    handler, _ = answering(problem(500, detail="the log says more under this error_id", error_id="0a1b2c3d4e5f"))
    async with client_of(handler) as client:
        with pytest.raises(ServiceRefused) as caught:
            await client.get("orders")
    assert str(caught.value) == "the log says more under this error_id; error_id 0a1b2c3d4e5f (500)"


STRANGERS: list[tuple[str, Callable[[], web.Response], str]] = [
    ("a page", lambda: web.Response(text="<html>hello</html>", content_type="text/html"), "not stsgate"),
    ("a list", lambda: web.json_response([1]), "not stsgate"),
    ("half an object", lambda: web.Response(text='{"a": ', content_type="application/json"), "not stsgate"),
    ("brackets without end", lambda: web.Response(text="[" * 100_000), "not stsgate"),
    ("another error page", lambda: web.Response(status=404, text="<html>"), "Not Found"),
    ("a list of problems", lambda: web.json_response([], status=400, content_type="application/problem+json"), "Bad"),
    ("errors that are none", lambda: problem(400, errors=[1, "x", {"field": 1}]), "Wrong"),
]


@pytest.mark.parametrize(("answer", "words"), [row[1:] for row in STRANGERS], ids=[row[0] for row in STRANGERS])
async def test_who_does_not_answer_like_the_service_is_refused_in_words(
    answer: Callable[[], web.Response], words: str
) -> None:
    handler, _ = answering(answer())
    async with client_of(handler) as client:
        with pytest.raises(ServiceRefused, match=words):
            await client.get("orders")


async def test_a_redirection_is_not_followed_so_the_key_stays_here() -> None:
    handler, asked = answering(web.Response(status=307, headers={"Location": "http://127.0.0.1:1/"}))
    async with client_of(handler) as client:
        with pytest.raises(ServiceRefused, match="307"):
            await client.get("orders")
    assert len(asked) == 1


async def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ANSWER_SIZE_MAX", 100_000)
    handler, _ = answering(web.Response(body=b"x" * 200_000))
    async with client_of(handler) as client:
        with pytest.raises(ServiceUnreachable):
            await client.get("orders")


async def test_a_silent_service_is_waited_for_as_long_as_was_said() -> None:
    async def silent(_request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with client_of(silent, timeout_seconds=0.05) as client:
        with pytest.raises(ServiceUnreachable, match="no answer in time") as caught:
            await client.get("orders")
    assert caught.value.has_left


async def test_nothing_has_left_for_a_service_that_is_not_there() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with ServiceClient(ServiceAddress(url=url, api_key=KEY), patience=QUICK) as client:
        with pytest.raises(ServiceUnreachable, match=f"{url}: cannot be reached: Connection refused") as caught:
            await client.get("orders")
        assert not caught.value.has_left


async def test_an_answer_without_tls_is_said_and_nothing_has_left() -> None:
    handler, asked = answering()
    async with served(handler) as url:
        address = ServiceAddress(url=url.replace("http:", "https:"), api_key=KEY)
        async with ServiceClient(address, patience=QUICK) as client:
            with pytest.raises(ServiceUnreachable, match="no TLS: is it http instead of https") as caught:
                await client.get("orders")
    assert not caught.value.has_left
    assert not asked


# Patience.


async def test_a_lost_answer_is_asked_for_again() -> None:
    tries = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal tries
        tries += 1
        if tries < 3:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"tries": tries})

    async with client_of(answer) as client:
        assert await client.patiently(lambda: client.call("POST", "orders", json={})) == {"tries": 3}


async def test_a_busy_service_is_asked_again_and_a_refusal_is_not() -> None:
    handler, asked = answering(problem(503), problem(429, {"Retry-After": "0"}), problem(409, detail="other body"))
    async with client_of(handler) as client:
        with pytest.raises(ServiceRefused, match=r"other body \(409\)"):
            await client.patiently(lambda: client.call("POST", "orders", json={}))
    assert len(asked) == 3


async def test_patience_has_an_end() -> None:
    handler, asked = answering(*(problem(503) for _ in range(9)))
    async with client_of(handler) as client:
        with pytest.raises(ServiceRefused) as caught:
            await client.patiently(lambda: client.get("orders"))
    assert len(asked) == QUICK.tries_max
    assert caught.value.may_pass


async def test_a_service_that_was_never_there_is_given_up_at_once_and_one_that_went_away_is_not() -> None:
    asked = 0

    async def ask() -> Json:
        nonlocal asked
        asked += 1
        raise ServiceUnreachable("away", has_left=False)

    async with ServiceClient(ServiceAddress(url="http://127.0.0.1:1", api_key=KEY), patience=QUICK) as client:
        with pytest.raises(ServiceUnreachable):
            await client.patiently(ask)
        assert asked == 1
        with pytest.raises(ServiceUnreachable):
            await client.patiently(ask, is_begun=True)
        assert asked == 1 + QUICK.tries_max


# Lists.


async def test_a_list_is_asked_for_page_by_page_up_to_its_limit() -> None:
    pages = [{"orders": [{"n": 1}, {"n": 2}], "next_cursor": "2"}, {"orders": [{"n": 3}], "next_cursor": "3"}]
    handler, asked = answering(*map(web.json_response, pages))
    async with client_of(handler) as client:
        found = [item["n"] async for item in client.pages("orders", limit=3, state="held")]
    assert found == [1, 2, 3]
    assert [dict(request.query) for request in asked] == [
        {"state": "held", "limit": "3"},
        {"state": "held", "limit": "1", "cursor": "2"},
    ]


async def test_a_list_that_is_none_is_refused() -> None:
    handler, _ = answering(web.json_response({"orders": {}}))
    async with client_of(handler) as client:
        with pytest.raises(ServiceRefused, match="not stsgate"):
            _ = [item async for item in client.pages("orders", limit=3)]


# Events.


def event(number: int) -> bytes:
    return f'id: {number}\nevent: order.sending\ndata: {{"number": {number}}}\n\n'.encode()


def streaming(*parts: bytes | int) -> tuple[Handler, list[web.Request]]:
    """A stream for each that asks, which then ends; a number is a status."""
    asked: list[web.Request] = []
    left = list(parts)

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request)
        part = left.pop(0)
        if isinstance(part, int):
            return problem(part)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(part)
        return response

    return answer, asked


async def read(client: ServiceClient, count: int, **how: Any) -> list[int]:
    numbers = []
    async with aclosing(client.events(**how)) as events:
        async for one in events:
            numbers.append(one["number"])
            if len(numbers) == count:
                break
    return numbers


async def test_a_stream_that_breaks_is_resumed_behind_the_last_event_and_none_comes_twice() -> None:
    breaks: list[str] = []
    cut = event(6)[:-10]
    handler, asked = streaming(event(4) + event(5) + cut, 503, event(5) + event(6) + event(7))
    async with client_of(handler) as client:
        assert await read(client, 4, after=3, order="A", on_break=breaks.append) == [4, 5, 6, 7]
    assert [request.headers["Last-Event-ID"] for request in asked] == ["3", "5", "5"]
    assert {request.query["order"] for request in asked} == {"A"}
    assert len(breaks) == 1  # the second failure in a row is no news


async def test_a_stream_that_never_brings_anything_is_given_up() -> None:
    handler, asked = streaming(*[b""] * 9)
    async with client_of(handler) as client:
        with pytest.raises(ServiceUnreachable):
            await read(client, 1)
    assert len(asked) == QUICK.tries_max


async def test_a_refused_stream_is_not_asked_for_again() -> None:
    handler, asked = streaming(403)
    async with client_of(handler) as client:
        with pytest.raises(ServiceRefused, match="403"):
            await read(client, 1)
    assert len(asked) == 1


async def test_a_stream_of_something_else_is_refused() -> None:
    handler, _ = streaming(b"data: hello\n\n")
    async with client_of(handler) as client:
        with pytest.raises(ServiceRefused, match="not stsgate"):
            await read(client, 1)


async def test_silence_on_a_stream_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "SILENCE_MAX_SECONDS", 0.05)
    streams = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal streams
        streams += 1
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(event(streams))
        if streams == 1:
            await asyncio.Event().wait()
        return response

    async with client_of(answer) as client:
        assert await read(client, 2) == [1, 2]
