"""One POST to receivers of all kinds: what comes back is an answer with a status, or a reason in our own words."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.webhooks.post import ANSWER_OCTETS_MAX, WebhookPoster
from gateway.webhooks.retry import Answer
from gateway.webhooks.target import TargetRule
from tests.gateway.receivers import Behaviour, Identity, behaving, hangs, receiving, says, says_for_ever

OK = b"HTTP/1.1 200 OK\r\n"
STRICT, OPEN = TargetRule(), TargetRule(allow_http=True, allow_private_addresses=True)


async def post(
    url: str, rule: TargetRule = STRICT, *, timeout_seconds: float = 20.0, resolver: AbstractResolver | None = None
) -> Answer:
    async with WebhookPoster(rule, timeout_seconds=timeout_seconds, resolver=resolver) as poster:
        return await poster.post(url, {"Stsgate-Delivery": "1"}, b'{"a":1}')


class Told(AbstractResolver):
    """A name server that says what the test wants."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in self.addresses
        ]

    async def close(self) -> None:
        pass


async def test_a_body_arrives_octet_by_octet_with_its_headers() -> None:
    async with receiving() as receiver:
        assert await post(f"{receiver.url}/a%2Fb?key=1") == Answer(status=204)
        received = await receiver.next()
    assert (received.body, received.path) == (b'{"a":1}', "/hook/a%2Fb?key=1")
    assert received.headers["Stsgate-Delivery"] == "1"
    assert received.headers["User-Agent"].startswith("stsgate/")


@pytest.mark.parametrize("status", [200, 301, 307, 308, 400, 404, 410, 500, 503])
async def test_the_status_comes_back_and_no_redirect_is_followed(status: int) -> None:
    async with receiving() as elsewhere, receiving() as receiver:
        headers = {"Location": elsewhere.url, "Retry-After": "7", "Set-Cookie": "a=b"}
        receiver.answer = lambda _: web.Response(status=status, headers=headers, text="hunter2")
        assert await post(receiver.url) == Answer(status=status, retry_after="7")
        assert elsewhere.inbox.empty()


@pytest.mark.parametrize(
    ("behave", "words"),
    [
        pytest.param(says(b""), "the connection was closed before an answer", id="closes"),
        pytest.param(says(OK), "the connection was closed before an answer", id="closes within the head"),
        pytest.param(says(b"\x00\xffnonsense\r\n\r\n"), "what it answered is not HTTP", id="garbage"),
        pytest.param(says(b"220 mail.example ESMTP hunter2\r\n\r\n"), "what it answered is not HTTP", id="mail"),
        pytest.param(
            says_for_ever(OK, b"X-Header: hunter2\r\n" * 100), "what it answered is not HTTP", id="endless head"
        ),
        pytest.param(says_for_ever(OK + b"X: ", b"y" * 10_000), "what it answered is not HTTP", id="endless line"),
    ],
)
async def test_what_is_no_answer_has_a_reason_in_our_words(behave: Behaviour, words: str) -> None:
    async with behaving(behave) as url:
        assert await post(url) == Answer(error=words)


async def test_a_receiver_that_hangs_is_left_after_a_time() -> None:
    async with behaving(hangs) as url:
        assert await post(url, timeout_seconds=0.2) == Answer(error="no answer within 0.2 s")


@pytest.mark.parametrize(
    "head",
    [OK + b"\r\n", OK + b"Content-Length: 99999999999\r\n\r\n", b"HTTP/1.1 500 Oh\r\n\r\n"],
    ids=["until closed", "long", "an error"],
)
async def test_an_endless_body_is_cut_off_and_the_status_counts(head: bytes) -> None:
    async with behaving(says_for_ever(head, b"hunter2" * 1000)) as url:
        assert await post(url) == Answer(status=int(head[9:12]))


async def test_a_body_that_never_comes_does_not_undo_the_status() -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"Content-Length: 5\r\n\r\n")
        await hangs(reader, writer)

    async with behaving(behave) as url:
        assert await post(url, timeout_seconds=0.5) == Answer(status=200)


async def test_compression_that_is_broken_does_not_undo_the_status() -> None:
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: 7\r\n\r\nno-gzip"
    async with behaving(says(head)) as url:
        assert await post(url) == Answer(status=200)


async def test_a_connection_is_used_again_after_a_small_answer_and_not_after_a_big_one() -> None:
    async with receiving() as receiver, WebhookPoster(STRICT) as poster:
        bodies = iter([b"x", b"x", b"x" * ANSWER_OCTETS_MAX * 64, b"x"])
        receiver.answer = lambda _: web.Response(body=next(bodies))
        peers = []
        for _ in range(4):
            assert await poster.post(receiver.url, {}, b"") == Answer(status=200)
            peers.append((await receiver.next()).peer)
    assert peers[0] == peers[1] == peers[2] != peers[3]


async def test_nobody_there_is_said() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        answer = await post(f"http://127.0.0.1:{free.getsockname()[1]}/?key=hunter2")
    assert answer == Answer(error="no connection: Connection refused")


async def test_a_name_that_nobody_knows_is_said() -> None:
    class Ignorant(Told):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            raise OSError(None, "DNS lookup failed for hunter2")

    answer = await post("https://hooks.example/", resolver=Ignorant())
    assert answer == Answer(error="the name of its host was not found")


# Addresses.


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254", "::1"])
async def test_a_name_that_means_a_private_address_is_not_connected_to(address: str) -> None:
    async with receiving() as receiver:
        url = receiver.url.replace("127.0.0.1", "hooks.example")
        rule = TargetRule(allow_http=True)
        answer = await post(url, rule, resolver=Told(address))
        assert receiver.inbox.empty()
    words = "its address is not public, and the settings do not allow private ones"
    assert answer == Answer(error=f"{address}: {words}")


async def test_a_name_is_looked_at_anew_for_each_connection() -> None:
    resolver = Told("127.0.0.1")
    async with receiving() as receiver, WebhookPoster(STRICT, resolver=resolver) as poster:
        receiver.answer = lambda _: web.Response(headers={"Connection": "close"})
        url = receiver.url.replace("127.0.0.1", "localhost")
        assert await poster.post(url, {}, b"") == Answer(status=200)
        resolver.addresses = ("10.0.0.1",)
        assert (await poster.post(url, {}, b"")).status is None
        assert receiver.inbox.qsize() == 1


async def test_of_several_addresses_the_allowed_ones_are_used() -> None:
    async with receiving() as receiver:
        url = receiver.url.replace("127.0.0.1", "localhost")
        assert await post(url, resolver=Told("10.0.0.1", "169.254.169.254", "127.0.0.1")) == Answer(status=204)


async def test_private_addresses_are_connected_to_where_the_settings_allow_it() -> None:
    async with receiving() as receiver:
        url = receiver.url.replace("127.0.0.1", "hooks.example")
        assert await post(url, OPEN, resolver=Told("127.0.0.1")) == Answer(status=204)


async def test_a_url_that_the_settings_forbid_is_not_called() -> None:
    answer = await post("http://hooks.example/?key=hunter2")
    assert answer.status is None
    assert answer.error is not None
    assert answer.error.startswith("url: https is needed")


# TLS.


async def test_a_certificate_that_is_trusted_lets_it_pass_and_another_does_not(tmp_path: Path) -> None:
    identity = Identity.make(tmp_path)
    async with receiving(identity.server) as receiver:
        async with WebhookPoster(STRICT, tls=identity.client) as poster:
            assert await poster.post(receiver.url, {}, b"") == Answer(status=204)
        answer = await post(receiver.url)
        assert receiver.inbox.qsize() == 1
    assert answer.status is None
    assert answer.error is not None
    assert answer.error.startswith("its TLS certificate is not trusted: self")


async def test_a_receiver_without_tls_behind_https_is_said() -> None:
    async with receiving() as receiver:
        assert await post(receiver.url.replace("http:", "https:")) == Answer(error="TLS failed")
