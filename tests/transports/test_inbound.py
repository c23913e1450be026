"""Meters that call in, on real sockets: who they are, limits, stale connections, keep-alives, certificates."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.certificates import Authority, lab_authority
from tests.transports.inbound_wires import (
    LOGIN_SETTINGS,
    SECONDS,
    Ear,
    inbound_endpoint,
    listen_somewhere,
    login,
    title_of,
)
from tests.transports.test_tls import LOOPS, NewLoop, run
from tests.transports.wires import echo, free_port
from transports.calling_in.called_in import NO_EVENTS, InboundEvents
from transports.calling_in.listener import InboundListener, listen_inbound
from transports.calling_in.meter import CallIn, CallingMeter, call_in, push_message
from transports.channel import ApduChannel, ChannelClosed, ChannelTimeout, Link, NotSentError
from transports.endpoint import Endpoint, EndpointError
from transports.hdlc.connection import HDLC_DEFAULTS
from transports.link_pool import LinkPool
from transports.tcp import TcpStream, connect
from transports.tls import client_context
from transports.trace.trace import Knowledge, Ring, Trace
from transports.wire_settings import TlsSettings, WireSettings
from transports.wrapper import wrap

TITLE = title_of(7)
KEEP_ALIVE_OPTIONS = {
    "on": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "idle": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    "interval": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    "count": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    "unacknowledged": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
}
THERE = inbound_endpoint(TITLE)


@contextlib.asynccontextmanager
async def listening(
    events: InboundEvents = NO_EVENTS, *, scheme: str = "tcp", **changes: Any
) -> AsyncIterator[InboundListener]:
    async with await listen_somewhere(replace(LOGIN_SETTINGS, **changes), events, scheme=scheme) as listener:
        yield listener


@contextlib.asynccontextmanager
async def calling(
    listener: InboundListener, first: bytes | None = None, tls: TlsSettings | None = None, **how: Any
) -> AsyncIterator[CallingMeter]:
    said = login(TITLE) if first is None else first
    wires = WireSettings() if tls is None else WireSettings(tls)
    how = {"retry_seconds_min": 0.01, "retry_seconds_max": 0.05, **how}
    async with call_in(Endpoint.parse(listener.url), echo, CallIn(first=lambda: said, **how), wires=wires) as meter:
        yield meter


async def raw(listener: InboundListener, tls: TlsSettings | None = None) -> TcpStream:
    context = None if tls is None else client_context(tls)
    return await connect(Endpoint.parse(listener.url), SECONDS, context)


def lease(listener: InboundListener, title: bytes = TITLE, trace: Trace | None = None) -> Link:
    endpoint = inbound_endpoint(title)
    return listener.meters.shared_link(endpoint).lease(endpoint, HDLC_DEFAULTS, trace)


async def ask(channel: ApduChannel, apdu: bytes) -> bytes:
    await channel.send(apdu)
    return await channel.receive(SECONDS)


async def ask_once(listener: InboundListener, apdu: bytes = b"abc") -> bytes:
    async with lease(listener) as link, link.channel() as channel:
        await channel.open(SECONDS)
        return await ask(channel, apdu)


async def until(listener: InboundListener, name: str, count: int = 1) -> None:
    """Until so many callers came to this end."""
    await until_true(lambda: listener.counts[name] >= count and not listener.unidentified)


async def until_closed(ears: list[Ear], count: int) -> None:
    await until_true(lambda: sum(ear.is_closed.is_set() for ear in ears) >= count)


async def until_true(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not is_so():  # noqa: ASYNC110 - counters ring no bell
            await asyncio.sleep(0.001)


async def test_a_pool_speaks_to_a_meter_that_has_called_in_and_says_not_sent_of_one_that_has_not() -> None:
    async with listening() as listener:
        pool = LinkPool(called_in=listener.meters.shared_link)
        with pytest.raises(NotSentError, match="the meter has not called in"):
            await pool.open_link(THERE)
        async with calling(listener):
            await listener.meters.wait(TITLE, SECONDS)
            for _ in range(3):  # one association after the other on one connection
                async with await pool.open_link(THERE) as link, link.channel() as channel:
                    await channel.open(SECONDS)
                    assert await ask(channel, b"abc") == b"cba"
            assert (listener.counts["identified"], listener.unidentified, len(listener.meters)) == (1, 0, 1)
        await pool.close()


async def test_who_waits_for_a_meter_is_told_when_it_calls_and_when_it_does_not() -> None:
    async with listening() as listener:
        with pytest.raises(NotSentError, match=r"did not call in within 0\.01 s"):
            await listener.meters.wait(TITLE, 0.01)
        waiting = asyncio.ensure_future(listener.meters.wait(TITLE, SECONDS))
        await asyncio.sleep(0)
        async with calling(listener):
            await waiting
        assert not listener.meters._waiters


async def test_a_login_line_that_comes_byte_by_byte_with_the_first_answer_at_its_heels() -> None:
    words = replace(LOGIN_SETTINGS.words, login_answer=b"WELCOME\r\n")
    async with listening(words=words) as listener:
        stream = await raw(listener)
        ear = Ear(stream)
        for byte in login(TITLE):
            stream.write(bytes([byte]))
            await asyncio.sleep(0)
        await ear.hear(b"WELCOME\r\n")
        async with lease(listener) as link, link.channel() as channel:
            stream.write(wrap(1, 1, b"early"))
            assert await channel.receive(SECONDS) == b"early"
        await stream.close()


async def test_the_first_message_and_all_others_that_belong_to_no_conversation_are_pushes() -> None:
    pushed: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
    words = replace(LOGIN_SETTINGS.words, identify=lambda apdu: TITLE if apdu.startswith(b"push") else None)
    events = InboundEvents(on_push=lambda title, apdu: pushed.put_nowait((title, apdu)))
    for speaks_hdlc in (False, True):
        first = push_message(b"push 1", speaks_hdlc=speaks_hdlc)
        words = replace(words, speaks_hdlc=speaks_hdlc)
        async with (
            listening(events, words=words) as listener,
            calling(listener, first, speaks_hdlc=speaks_hdlc) as meter,
        ):
            assert await pushed.get() == (TITLE, b"push 1")
            await listener.meters.wait(TITLE, SECONDS)
            await meter.wait_connected(SECONDS)
            meter.say(push_message(b"push 2", speaks_hdlc=speaks_hdlc))
            assert await pushed.get() == (TITLE, b"push 2")
            assert await ask_once(listener) == b"cba"


async def test_a_caller_that_says_nothing_something_else_or_leaves_is_closed_with_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with listening(identify_seconds=0.02) as listener:
        silent = Ear(await raw(listener))
        async with asyncio.timeout(SECONDS):
            await silent.is_closed.wait()
        for said in (b"\x00\x01\x00", b"GET / HTTP/1.1\r\n"):
            stream = await raw(listener)
            stream.write(said)
            ear = Ear(stream)
            async with asyncio.timeout(SECONDS):
                await ear.is_closed.wait()
        left = await raw(listener)
        left.hang_up()
        await until(listener, "left")
        assert listener.counts == {"silent": 2, "garbled": 1, "left": 1}
        assert len(listener.meters) == 0
        assert not listener._by_address
    assert caplog.text.count("is closed: it did not say who it is within 0.02 s") == 2
    assert caplog.text.count("is closed: the login line is none that is expected") == 1


async def test_a_flood_is_held_off_and_the_log_stays_short(caplog: pytest.LogCaptureFixture) -> None:
    async with listening(unidentified_max=10) as listener:
        streams = [await raw(listener) for _ in range(60)]
        ears = [Ear(stream) for stream in streams]
        await until_closed(ears, 50)
        assert listener.counts["limit"] == 50
        assert listener.unidentified == 10
        assert caplog.text.count("is refused: there are 10 callers who have not said who they are") == 20
        for stream in streams:
            stream.hang_up()
        await until(listener, "left", 10)
        async with calling(listener):  # there is room again
            await listener.meters.wait(TITLE, SECONDS)
            assert await ask_once(listener) == b"cba"


async def test_callers_that_come_at_once_are_accepted_in_turns_with_all_else() -> None:
    async with listening() as listener:
        endpoint = Endpoint.parse(listener.url)
        callers = [socket.create_connection((endpoint.host, endpoint.port)) for _ in range(100)]
        turns = 0
        while listener.unidentified < len(callers):
            await asyncio.sleep(0)
            turns += 1
        assert turns >= len(callers)
        for caller in callers:
            caller.close()
        await until(listener, "left", len(callers))


@pytest.mark.parametrize("limit", ["connections_max", "per_address_max"])
async def test_there_is_a_limit_for_all_and_for_each_address(limit: str) -> None:
    limits: dict[str, Any] = {limit: 2}
    async with listening(**limits) as listener:
        streams = [await raw(listener) for _ in range(2)]
        for number, stream in enumerate(streams):
            stream.write(login(title_of(number)))
            await listener.meters.wait(title_of(number), SECONDS)
        third = Ear(await raw(listener))
        await until_closed([third], 1)
        assert listener.counts == {"identified": 2, "limit": 1}
        for stream in streams:
            stream.hang_up()


async def test_a_meter_that_calls_anew_replaces_its_old_connection_and_whoever_speaks_there_hears_so() -> None:
    seen: list[bytes] = []
    async with listening(InboundEvents(on_called_in=seen.append)) as listener:
        old = await raw(listener)
        old_ear = Ear(old)
        old.write(login(TITLE))
        await listener.meters.wait(TITLE, SECONDS)
        async with lease(listener) as link, link.channel() as channel:
            await channel.send(b"asked on the old one")
            answer = asyncio.ensure_future(channel.receive(SECONDS))
            async with calling(listener):
                with pytest.raises(ChannelClosed, match="called in anew; this connection was the old one"):
                    await answer
                with pytest.raises(NotSentError):
                    await channel.send(b"more on the old one")
                assert await ask_once(listener) == b"cba"
                await until_closed([old_ear], 1)
                assert len(listener.meters) == 1
                assert listener.counts == {"identified": 2, "replaced": 1}
                assert seen == [TITLE, TITLE]


async def test_a_meter_that_hung_up_has_not_called_in_until_it_calls_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with listening() as listener, calling(listener) as meter:
        await listener.meters.wait(TITLE, SECONDS)
        link = lease(listener)
        channel = link.channel()
        assert await ask(channel, b"abc") == b"cba"
        meter.hang_up()
        with pytest.raises(ChannelClosed):
            await channel.receive(SECONDS)
        await link.close()
        await until(listener, "identified", 2)
        assert await ask_once(listener) == b"cba"
        gone = [record for record in caplog.records if record.message.startswith("a meter that called in is gone: ")]
        assert [(record.message.split()[-3:], record.__dict__["link"]) for record in gone[:1]] == [
            (["closed", "the", "connection"], str(THERE))
        ]


async def test_a_silent_connection_is_closed_but_not_while_somebody_speaks_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("transports.calling_in.listener._LOOK_SECONDS", 0.01)
    async with listening(idle_seconds=0.05) as listener:
        stream = await raw(listener)
        ear = Ear(stream)
        stream.write(login(TITLE))
        await listener.meters.wait(TITLE, SECONDS)
        async with lease(listener) as link, link.channel() as channel:
            with pytest.raises(ChannelTimeout):
                await channel.receive(0.2)
            assert not ear.is_closed.is_set()
        await until_closed([ear], 1)
        assert len(listener.meters) == 0


async def test_keep_alives_are_dropped_and_answered_between_messages_and_inside_a_conversation() -> None:
    words = replace(LOGIN_SETTINGS.words, keep_alive=b"PING\r\n")
    async with listening(words=words, keep_alive_answer=b"PONG\r\n") as listener:
        alive: dict[str, Any] = {
            "keep_alive": b"PING\r\n",
            "keep_alive_seconds": 0.001,
            "keep_alive_answer": b"PONG\r\n",
        }
        async with calling(listener, **alive):
            await listener.meters.wait(TITLE, SECONDS)
            async with lease(listener) as link, link.channel() as channel:
                for number in range(50):
                    assert await ask(channel, b"PING\r\n" + bytes([number])) == bytes([number]) + b"\n\rGNIP"
                    await asyncio.sleep(0)
        stream = await raw(listener)
        ear = Ear(stream)
        stream.write(login(TITLE) + b"PING\r\nPI")
        await ear.hear(b"PONG\r\n")
        stream.write(b"NG\r\n" + wrap(1, 1, b"x") + b"PING\r\n")
        await ear.hear(b"PONG\r\n" * 3)
        await stream.close()


async def test_keep_alives_on_hdlc_are_noise() -> None:
    words = replace(LOGIN_SETTINGS.words, keep_alive=b"PING\r\n", speaks_hdlc=True)
    async with (
        listening(words=words) as listener,
        calling(listener, speaks_hdlc=True, keep_alive=b"PING\r\n", keep_alive_seconds=0.001),
    ):
        await listener.meters.wait(TITLE, SECONDS)
        for _ in range(5):
            assert await ask_once(listener) == b"cba"


async def test_the_system_looks_after_connections_that_go_silent() -> None:
    async with listening(tcp_keep_alive_seconds=7) as listener, calling(listener):
        await listener.meters.wait(TITLE, SECONDS)
        (call,) = listener._calls
        assert call.stream._transport is not None
        connected = call.stream._transport.get_extra_info("socket")
        options = {name: connected.getsockopt(*place) for name, place in KEEP_ALIVE_OPTIONS.items()}
        assert options == {"on": 1, "idle": 7, "interval": 7, "count": 3, "unacknowledged": 21_000}


async def test_who_traces_an_association_hears_what_passes_and_nothing_after_it() -> None:
    ring = Ring()
    trace = Trace(Knowledge(None), lambda: datetime.now(UTC), [ring])
    async with listening() as listener, calling(listener):
        await listener.meters.wait(TITLE, SECONDS)
        async with lease(listener, trace=trace) as link, link.channel() as channel:
            assert await ask(channel, b"abc") == b"cba"
        lines = ring.lines()
        assert sum('"layer":"apdu"' in line for line in lines) == 2
        assert await ask_once(listener) == b"cba"
        assert ring.lines() == lines


# TLS.


@pytest.fixture
def authority() -> Authority:
    return lab_authority()


@LOOPS
def test_meters_call_in_over_tls_with_certificates_that_name_them(authority: Authority, new_loop: NewLoop) -> None:
    run(new_loop, certified_meters_call_in(authority))


async def certified_meters_call_in(authority: Authority) -> None:
    tls = authority.server(require_client=True)
    words = replace(LOGIN_SETTINGS.words, names={"modem-7": TITLE})
    async with listening(scheme="tcps", tls=tls, certificate_names_meter=True, words=words) as listener:
        for name in (TITLE.hex(), "modem-7"):
            own = authority.client(authority.issue(name, [name]))
            async with calling(listener, tls=own):
                await listener.meters.wait(TITLE, SECONDS)
                assert await ask_once(listener) == b"cba"
        assert listener.counts["certificate"] == 0


async def test_a_stranger_with_a_certificate_of_another_meter_cannot_take_its_place(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    tls = authority.server(require_client=True)
    own = authority.client(authority.issue("own", ["own"]))
    right = authority.client(authority.issue(TITLE.hex(), ["meter"]))
    async with (
        listening(scheme="tcps", tls=tls, certificate_names_meter=True) as listener,
        calling(listener, tls=right),
    ):
        await listener.meters.wait(TITLE, SECONDS)
        stranger = await raw(listener, own)
        ear = Ear(stranger)
        stranger.write(login(TITLE))
        await until_closed([ear], 1)
        assert listener.counts == {"identified": 1, "certificate": 1}
        assert f"it claims to be {TITLE.hex().upper()}, its certificate is for 'own'" in caplog.text
        assert await ask_once(listener) == b"cba"


@LOOPS
def test_who_shows_no_certificate_or_speaks_no_tls_is_closed(authority: Authority, new_loop: NewLoop) -> None:
    run(new_loop, uncertified_callers(authority))


async def uncertified_callers(authority: Authority) -> None:
    async with listening(scheme="tcps", tls=authority.server(require_client=True)) as listener:
        with contextlib.suppress(NotSentError):
            ear = Ear(await raw(listener, authority.client()))
            await until_closed([ear], 1)
        plain = await raw(listener)
        ear = Ear(plain)
        plain.write(login(TITLE))
        await until_closed([ear], 1)
        await until(listener, "tls", 2)
        assert not listener._by_address


async def test_a_listener_needs_a_place_and_a_certificate() -> None:
    with pytest.raises(EndpointError, match="needs a certificate and its key"):
        await listen_inbound(Endpoint("tcps", "127.0.0.1", 0), LOGIN_SETTINGS)
    with pytest.raises(EndpointError, match="meters call in by tcp or tcps, not by mqtt"):
        await listen_inbound(Endpoint.parse("mqtt://127.0.0.1:1883/a/b"), LOGIN_SETTINGS)
    async with listening() as listener:
        with pytest.raises(EndpointError, match=r"cannot listen on .*: Address already in use"):
            await listen_inbound(Endpoint.parse(listener.url), LOGIN_SETTINGS)


async def test_a_head_end_that_is_not_there_is_called_again_and_again() -> None:
    endpoint = Endpoint("tcp", "127.0.0.1", free_port())
    how = CallIn(first=lambda: login(TITLE), retry_seconds_min=0.001, retry_seconds_max=0.01)
    async with call_in(endpoint, echo, how, rng=random.Random(1)) as meter:
        with pytest.raises(NotSentError, match="was not reached within"):
            await meter.wait_connected(0.03)
        for _ in range(2):
            async with await listen_inbound(endpoint, LOGIN_SETTINGS) as listener:
                await listener.meters.wait(TITLE, SECONDS)
                assert await ask_once(listener) == b"cba"


async def test_a_listener_that_closes_hangs_up_on_all_and_ends_its_tasks() -> None:
    async with listening() as listener:
        streams = [await raw(listener) for _ in range(3)]
        ears = [Ear(stream) for stream in streams]
        streams[0].write(login(TITLE))
        await listener.meters.wait(TITLE, SECONDS)
        channel = lease(listener).channel()
        await listener.close()
        with pytest.raises(ChannelClosed):
            await channel.receive(SECONDS)
        await until_closed(ears, 3)
        with pytest.raises(NotSentError):
            await raw(listener)
    assert len(asyncio.all_tasks()) == 1
