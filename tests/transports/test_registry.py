from __future__ import annotations

import asyncio
import random
import socket

import pytest

from tests.transports.wires import echo, free_port, listen_somewhere
from transports.channel import ApduChannel, ChannelClosed, NotSentError
from transports.endpoint import SCHEMES, Endpoint, EndpointError
from transports.faults import Faults, FaultyStream
from transports.registry import TRANSPORTS, listen, open_link


async def test_a_meter_that_calls_in_is_never_called() -> None:
    endpoint = Endpoint.parse("inbound:4D4D4D0000BC614E")
    assert set(SCHEMES) - set(TRANSPORTS) == {endpoint.scheme}
    for attempt in (open_link(endpoint), listen(endpoint, echo)):
        with pytest.raises(EndpointError, match="inbound:4D4D4D0000BC614E: this meter calls in"):
            await attempt


async def test_nobody_there_means_not_sent_and_names_whom_and_why() -> None:
    port = free_port()
    with pytest.raises(NotSentError, match=f"cannot connect to 127.0.0.1:{port}: Connection refused"):
        await open_link(Endpoint("tcp", "127.0.0.1", port))
    with pytest.raises(NotSentError, match=rf"cannot connect to \[::1\]:{port}: "):
        await open_link(Endpoint("hdlc+tcp", "::1", port))
    with pytest.raises(NotSentError, match=r"cannot connect to no-such-meter\.invalid:4059: ."):
        await open_link(Endpoint("tcp", "no-such-meter.invalid", 4059))


async def test_a_connection_that_is_not_made_in_time_means_not_sent() -> None:
    # A listener whose queue is full lets further callers wait.
    with socket.socket() as full:
        full.bind(("127.0.0.1", free_port()))
        full.listen(0)
        address = full.getsockname()
        callers = [socket.socket() for _ in range(4)]
        try:
            for caller in callers:
                caller.setblocking(False)
                caller.connect_ex(address)
            with pytest.raises(NotSentError, match=r"no connection within 0\.05 s"):
                await open_link(Endpoint("tcp", *address), connect_timeout_seconds=0.05)
        finally:
            for caller in callers:
                caller.close()


async def test_port_0_is_for_listening_only() -> None:
    with pytest.raises(EndpointError, match="port 0 is for listening"):
        await open_link(Endpoint.parse("tcp://127.0.0.1:0"))
    async with await listen(Endpoint.parse("tcp://127.0.0.1:0"), echo) as listener:
        assert Endpoint.parse(listener.url).port > 0
        async with await open_link(Endpoint.parse(listener.url)) as link, link.channel() as channel:
            await channel.send(b"abc")
            assert await channel.receive(5) == b"cba"


async def test_a_port_in_use_is_named() -> None:
    async with await listen_somewhere("tcp", echo) as listener:
        endpoint = Endpoint.parse(listener.url)
        with pytest.raises(EndpointError, match=f"cannot listen on 127.0.0.1:{endpoint.port}: Address already in use"):
            await listen(endpoint, echo)


async def test_something_can_be_put_between_wire_and_framing() -> None:
    faulty: list[FaultyStream] = []

    def through(stream: object) -> FaultyStream:
        faulty.append(FaultyStream(stream, Faults(split=1), random.Random(1)))  # type: ignore[arg-type]
        return faulty[-1]

    async with (
        await listen_somewhere("tcp", echo, through=through) as listener,
        await open_link(Endpoint.parse(listener.url), through=through) as link,
        link.channel() as channel,
    ):
        await channel.send(bytes(range(200)))
        assert await channel.receive(5) == bytes(range(199, -1, -1))
        assert len(faulty) == 2


async def test_a_handler_that_breaks_is_reported_and_its_channel_closed() -> None:
    async def broken(channel: ApduChannel) -> None:
        await channel.receive(None)
        raise ZeroDivisionError

    reports: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reports.append(context["exception"]))
    async with (
        await listen_somewhere("tcp", broken) as listener,
        await open_link(Endpoint.parse(listener.url)) as link,
        link.channel() as channel,
    ):
        await channel.send(b"abc")
        with pytest.raises(ChannelClosed):
            await channel.receive(5)
    assert [type(report) for report in reports] == [ZeroDivisionError]


async def test_a_handler_that_does_not_end_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transports.conversations.GRACE_SECONDS", 0.01)
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def stubborn(_channel: ApduChannel) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    listener = await listen_somewhere("tcp", stubborn)
    async with await open_link(Endpoint.parse(listener.url)) as link, link.channel() as channel:
        await channel.send(b"abc")
        await began.wait()
        await listener.close()
    assert cancelled.is_set()
