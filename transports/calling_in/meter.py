"""A meter that calls in: the other end of ``inbound_listener``.

It opens the connection, says who it is, and from then on serves conversations on it as any meter does. When the
connection ends it calls again, after a pause that doubles with each failure.

    meter = call_in(Endpoint.parse("tcp://127.0.0.1:4060"), on_channel, CallIn(lambda: login_line("4D4D4D0000BC614E")))
    ...
    await meter.close()

Each call says ``CallIn.first()`` anew, so that a ciphered first message carries a counter that rises.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from transports.calling import Calling, as_it_is
from transports.calling_in.connection import CalledInStream
from transports.calling_in.first_words import KeepAliveFilter
from transports.channel import Address, ChannelClosed, ChannelError, Link, Listener, NotSentError, OnChannel
from transports.conversations import Accept, Conversations, accept_all
from transports.endpoint import CALL_IN_SCHEMES, Endpoint, EndpointError
from transports.framing import HDLC, WRAPPER
from transports.hdlc.connection import HDLC_DEFAULTS, LLC_RESPONSE, HdlcSettings
from transports.hdlc.frame import UI, Frame, HdlcAddress
from transports.stream import ByteStream, StreamFilter
from transports.tcp import TcpStream, connect
from transports.tls import context_to_call
from transports.trace.trace import Trace
from transports.wire_settings import WIRE_DEFAULTS, WireSettings
from transports.wrapper import wrap

ANSWER_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallIn:
    """How a meter calls in."""

    first: Callable[[], bytes] = field(repr=False)
    """What it says first on each new connection, as bytes on the wire: ``login_line``, ``push_message``."""
    answer: bytes = field(default=b"", repr=False)
    """What the head-end says to that, before anything else; empty: nothing."""
    keep_alive: bytes = field(default=b"", repr=False)
    """Sent every ``keep_alive_seconds``; empty: never."""
    keep_alive_seconds: float = 60.0
    keep_alive_answer: bytes = field(default=b"", repr=False)
    speaks_hdlc: bool = False
    """Otherwise the wrapper."""
    retry_seconds_min: float = 1.0
    retry_seconds_max: float = 60.0


def login_line(text: str) -> bytes:
    """A modem's line of text."""
    return text.encode("latin-1") + b"\r\n"


def push_message(apdu: bytes, address: Address = Address(), *, speaks_hdlc: bool = False) -> bytes:  # noqa: B008 - frozen
    """What a meter says unasked, as bytes on the wire: one wrapper message, or one UI frame."""
    if not speaks_hdlc:
        return wrap(address.server_sap, address.client_sap, apdu)
    source = HdlcAddress.server(address.server_sap, address.physical)
    return Frame(HdlcAddress.client(address.client_sap), source, UI, LLC_RESPONSE + apdu).encode()


def call_in(
    endpoint: Endpoint,
    on_channel: OnChannel,
    how: CallIn,
    *,
    accept: Accept = accept_all,
    hdlc: HdlcSettings = HDLC_DEFAULTS,
    wires: WireSettings = WIRE_DEFAULTS,
    through: StreamFilter = as_it_is,
    trace: Trace | None = None,
    rng: random.Random | None = None,
) -> CallingMeter:
    """Begin to call ``tcp://host:port`` or ``tcps://host:port``, and return at once: a head-end that is not there is
    called again and again. Raises ``EndpointError`` for what can never be called, or TLS files that cannot be used."""
    if endpoint.scheme not in CALL_IN_SCHEMES or not endpoint.port:
        raise EndpointError(f"a meter calls in at tcp://host:port or tcps://host:port, not at {endpoint}")
    context_to_call(endpoint, wires.tls)  # files that cannot be used are found here
    conversations = Conversations(on_channel, accept)
    calling = Calling(hdlc=hdlc, wires=wires, through=through, trace=trace)
    return CallingMeter(_Calls(endpoint, how, conversations, calling, rng or random.Random()))  # noqa: S311 - pauses


class CallingMeter(Listener):
    """Made by ``call_in``. ``url`` is whom it calls."""

    def __init__(self, calls: _Calls) -> None:
        self.url = str(calls.endpoint)
        self._calls = calls
        self._task = asyncio.get_running_loop().create_task(calls.run())

    async def wait_connected(self, timeout_seconds: float) -> None:
        """Until it has called and said who it is. Raises ``NotSentError``."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._calls.connected.wait()
        except TimeoutError:
            raise NotSentError(f"{self.url} was not reached within {timeout_seconds:g} s") from None

    def say(self, octets: bytes) -> None:
        """Say something unasked (``push_message``). Raises ``NotSentError`` while not connected."""
        if self._calls.stream is None:
            raise NotSentError(f"no connection to {self.url}")
        self._calls.stream.write(octets)

    def hang_up(self) -> None:
        """Cut the connection: a radio that broke down. It calls again."""
        if self._calls.stream is not None:
            self._calls.stream.hang_up()

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        if self._calls.link is not None:
            await self._calls.link.close()
        await self._calls.conversations.close()


class _Calls:
    """One call after the other."""

    def __init__(
        self,
        endpoint: Endpoint,
        how: CallIn,
        conversations: Conversations,
        calling: Calling,
        rng: random.Random,
    ) -> None:
        self.endpoint = endpoint
        self.conversations = conversations
        self.connected = asyncio.Event()
        self.link: Link | None = None
        self.stream: ByteStream | None = None
        self._how = how
        self._calling = calling
        self._rng = rng

    async def run(self) -> None:
        """For ever."""
        how, clock = self._how, asyncio.get_running_loop().time
        pause = how.retry_seconds_min
        while True:
            began_at = clock()
            with suppress(ChannelError, EndpointError):
                await self._call()
            if clock() - began_at > how.retry_seconds_max:
                pause = how.retry_seconds_min
            # Not all at the same moment, when a head-end comes back.
            await asyncio.sleep(pause * self._rng.uniform(0.5, 1.0))
            pause = min(2 * pause, how.retry_seconds_max)

    async def _call(self) -> None:
        """One call, to its end. Raises ``ChannelError``, ``EndpointError``."""
        tls = context_to_call(self.endpoint, self._calling.wires.tls)
        stream = await connect(self.endpoint, self._calling.connect_timeout_seconds, tls)
        try:
            stream.write(self._how.first())
            rest = await _expect(stream, self._how.answer) if self._how.answer else b""
            await self._serve(stream, rest)
        finally:
            self.connected.clear()
            self.link = self.stream = None
            stream.hang_up()

    async def _serve(self, stream: TcpStream, rest: bytes) -> None:
        how, ended = self._how, asyncio.Event()
        answers = KeepAliveFilter(how.keep_alive_answer) if how.keep_alive_answer and not how.speaks_hdlc else None
        from_here_on = CalledInStream(stream, rest, keep_alives=answers, keep_alive_answer=b"", on_ended=ended.set)
        framing = HDLC if how.speaks_hdlc else WRAPPER
        self.stream = self._calling.prepared(from_here_on, framing, is_meter=True)
        self.link = framing.server(self.stream, self.conversations, self._calling.hdlc)
        self.connected.set()
        while not ended.is_set():
            try:
                async with asyncio.timeout(how.keep_alive_seconds if how.keep_alive else None):
                    await ended.wait()
            except TimeoutError:
                stream.write(how.keep_alive)


async def _expect(stream: TcpStream, expected: bytes) -> bytes:
    """Wait for these bytes; what came behind them. Raises ``ChannelError``."""
    said = bytearray()
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_bytes(data: bytes) -> None:
        said.extend(data)
        if len(said) >= len(expected) and not done.done():
            done.set_result(None)

    def on_closed(error: ChannelError) -> None:
        if not done.done():
            done.set_exception(error)

    stream.start(on_bytes, on_closed)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
            await done
    except TimeoutError:
        raise ChannelClosed("the head-end did not answer the first message") from None
    if not said.startswith(expected):
        raise ChannelClosed("the head-end answered the first message with something else")
    return bytes(said[len(expected) :])
