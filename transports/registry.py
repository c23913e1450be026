"""The TRANSPORTS table: which scheme is served by what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from transports.calling import CONNECT_TIMEOUT_SECONDS, Calling, as_it_is
from transports.channel import Link, Listener, OnChannel
from transports.conversations import Accept, Conversations, accept_all
from transports.endpoint import Endpoint, EndpointError
from transports.framing import HDLC, WRAPPER, Framing
from transports.hdlc.connection import HDLC_DEFAULTS, HdlcSettings
from transports.hdlc.link import HdlcLink
from transports.mqtt.link import open_mqtt, share_mqtt
from transports.mqtt.meter import listen_mqtt
from transports.serial.link import listen_pty, listen_serial, open_serial_link, share_serial
from transports.shared_link import SharedHdlcLine, SharedLink
from transports.stream import ByteStream, StreamFilter
from transports.tcp import TcpListener, connect
from transports.tls import context_to_call, server_context
from transports.trace.stream import TracedStream
from transports.trace.trace import Trace
from transports.wire_settings import WIRE_DEFAULTS, WireSettings

Open = Callable[[Endpoint, Calling], Awaitable[Link]]
Share = Callable[[Endpoint, Calling], Awaitable[SharedLink]]
Listen = Callable[[Endpoint, Conversations, Calling], Awaitable[Listener]]


@dataclass(frozen=True, slots=True)
class Transport:
    """One row: how a scheme's wire is opened, as a client and as a server."""

    open: Open
    """A link for one meter alone. Raises ``NotSentError`` if there is no connection, ``EndpointError``."""
    listen: Listen
    """Raises ``EndpointError`` if it cannot listen there."""
    framing: Framing | None = None
    """Where there is a byte stream: what is on it."""
    share: Share | None = None
    """What several meters share, for ``LinkPool``; raises like ``open``. ``None``: each association its own link."""


def _over_tcp(framing: Framing) -> tuple[Open, Listen]:
    async def open_tcp(endpoint: Endpoint, calling: Calling) -> Link:
        tls = context_to_call(endpoint, calling.wires.tls)
        stream = await connect(endpoint, calling.connect_timeout_seconds, tls)
        return framing.client(calling.prepared(stream, framing, is_meter=False), calling.hdlc)

    async def listen_tcp(endpoint: Endpoint, conversations: Conversations, calling: Calling) -> Listener:
        def serve(stream: ByteStream) -> Link:
            return framing.server(calling.prepared(stream, framing, is_meter=True), conversations, calling.hdlc)

        tls = server_context(calling.wires.tls) if endpoint.scheme == "tcps" else None
        listener = TcpListener(conversations, serve, tls)
        await listener.start(endpoint)
        return listener

    return open_tcp, listen_tcp


async def _share_hdlc_tcp(endpoint: Endpoint, calling: Calling) -> SharedLink:
    stream = TracedStream(await connect(endpoint, calling.connect_timeout_seconds))
    return SharedHdlcLine(stream, HdlcLink(calling.through(stream), calling.hdlc))


TRANSPORTS: dict[str, Transport] = {
    "tcp": Transport(*_over_tcp(WRAPPER), framing=WRAPPER),
    "tcps": Transport(*_over_tcp(WRAPPER), framing=WRAPPER),
    "hdlc+tcp": Transport(*_over_tcp(HDLC), framing=HDLC, share=_share_hdlc_tcp),
    "mqtt": Transport(open_mqtt, listen_mqtt, share=share_mqtt),
    "mqtts": Transport(open_mqtt, listen_mqtt, share=share_mqtt),
    "serial": Transport(open_serial_link, listen_serial, framing=HDLC, share=share_serial),
    "pty": Transport(open_serial_link, listen_pty, framing=HDLC, share=share_serial),
}


async def open_link(
    endpoint: Endpoint,
    *,
    hdlc: HdlcSettings = HDLC_DEFAULTS,
    wires: WireSettings = WIRE_DEFAULTS,
    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
    through: StreamFilter = as_it_is,
    trace: Trace | None = None,
) -> Link:
    """Call what an endpoint names, for one meter alone. ``through`` and ``trace`` as in ``Calling``.

    Raises ``NotSentError`` if there is no connection, ``EndpointError`` for what cannot be called.
    """
    check_callable(endpoint)
    calling = Calling(hdlc, wires, connect_timeout_seconds, through, trace)
    return await _transport(endpoint).open(endpoint, calling)


def check_callable(endpoint: Endpoint) -> None:
    """Raises ``EndpointError`` for what can never be called, without opening anything."""
    if endpoint.scheme == "inbound":
        return  # it calls us; a pool that listens for it has it
    _transport(endpoint)
    if endpoint.host and not endpoint.port:
        raise EndpointError(f"{endpoint}: port 0 is for listening; whom to call needs a real one")


def shared_name(endpoint: Endpoint) -> str:
    """The name of what this meter shares with others: scheme, host and port, or the device. A meter that calls in
    shares nothing: it is its own link."""
    if endpoint.scheme in {"serial", "pty"}:  # the same device, whatever each meter on it wants of it
        return str(Endpoint("serial", path=endpoint.path))
    return f"{endpoint.scheme}://{endpoint.authority}" if endpoint.host else str(endpoint)


async def listen(
    endpoint: Endpoint,
    on_channel: OnChannel,
    *,
    accept: Accept = accept_all,
    hdlc: HdlcSettings = HDLC_DEFAULTS,
    wires: WireSettings = WIRE_DEFAULTS,
    through: StreamFilter = as_it_is,
    trace: Trace | None = None,
) -> Listener:
    """Be a meter, or many of them told apart by ``accept``. Port 0 takes a free one, see ``Listener.url``.
    ``through`` and ``trace`` as in ``Calling``, for every connection.

    Raises ``EndpointError`` if it cannot listen there.
    """
    conversations = Conversations(on_channel, accept)
    calling = Calling(hdlc=hdlc, wires=wires, through=through, trace=trace)
    return await _transport(endpoint).listen(endpoint, conversations, calling)


def _transport(endpoint: Endpoint) -> Transport:
    transport = TRANSPORTS.get(endpoint.scheme)
    if transport is None:
        # The one scheme without a row: it is for pools that listen.
        raise EndpointError(f"{endpoint}: this meter calls in; nobody can call it, or listen in its place")
    return transport
