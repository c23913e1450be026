"""The TRANSPORTS table: which scheme is served by what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from transports.channel import Link, Listener, OnChannel
from transports.conversations import Accept, Conversations, accept_all
from transports.endpoint import Endpoint, EndpointError
from transports.hdlc import HDLC_DEFAULTS, HdlcSettings
from transports.hdlc_link import HdlcLink
from transports.hdlc_server_link import HdlcServerLink
from transports.stream import ByteStream, StreamFilter
from transports.tcp import TcpListener, connect
from transports.trace import Trace
from transports.trace_hdlc import HdlcObserver
from transports.trace_stream import TracedStream
from transports.trace_wrapper import WrapperObserver
from transports.wrapper_link import WrapperLink

# guess: a GPRS modem that answers at all answers within this; profiles of real networks would settle it.
CONNECT_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Transport:
    """One row: how bytes on this scheme's stream become APDUs, as a client and as a server."""

    client: Callable[[ByteStream, HdlcSettings], Link]
    server: Callable[[ByteStream, Conversations, HdlcSettings], Link]
    observer: type[WrapperObserver | HdlcObserver]
    """What hears the same bytes for a trace."""


TRANSPORTS: dict[str, Transport] = {
    "tcp": Transport(
        client=lambda stream, _hdlc: WrapperLink(stream),
        server=lambda stream, conversations, _hdlc: WrapperLink(stream, conversations),
        observer=WrapperObserver,
    ),
    "hdlc+tcp": Transport(client=HdlcLink, server=HdlcServerLink, observer=HdlcObserver),
}


def _as_it_is(stream: ByteStream) -> ByteStream:
    return stream


async def open_link(
    endpoint: Endpoint,
    *,
    hdlc: HdlcSettings = HDLC_DEFAULTS,
    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
    through: StreamFilter = _as_it_is,
    trace: Trace | None = None,
) -> Link:
    """Call what an endpoint names. ``through`` may put something between wire and framing, such as ``FaultyStream``;
    a ``trace`` sees what is on the wire itself.

    Raises ``NotSentError`` if there is no connection, ``EndpointError`` for what cannot be called.
    """
    check_callable(endpoint)
    transport = _transport(endpoint)
    stream = _traced(await connect(endpoint, connect_timeout_seconds), trace, transport, is_meter=False)
    return transport.client(through(stream), hdlc)


def check_callable(endpoint: Endpoint) -> None:
    """Raises ``EndpointError`` for what can never be called, without opening anything."""
    _transport(endpoint)
    if not endpoint.port:
        raise EndpointError(f"{endpoint}: port 0 is for listening; whom to call needs a real one")


async def listen(
    endpoint: Endpoint,
    on_channel: OnChannel,
    *,
    accept: Accept = accept_all,
    hdlc: HdlcSettings = HDLC_DEFAULTS,
    through: StreamFilter = _as_it_is,
    trace: Trace | None = None,
) -> Listener:
    """Be a meter, or many of them told apart by ``accept``. Port 0 takes a free one, see ``Listener.url``.
    ``through`` and ``trace`` as in ``open_link``, for every connection.

    Raises ``EndpointError`` if it cannot listen there.
    """
    transport = _transport(endpoint)
    conversations = Conversations(on_channel, accept)

    def serve(stream: ByteStream) -> Link:
        return transport.server(through(_traced(stream, trace, transport, is_meter=True)), conversations, hdlc)

    listener = TcpListener(conversations, serve)
    await listener.start(endpoint)
    return listener


def _traced(stream: ByteStream, trace: Trace | None, transport: Transport, *, is_meter: bool) -> ByteStream:
    return stream if trace is None else TracedStream(stream, trace, transport.observer, is_meter=is_meter)


def _transport(endpoint: Endpoint) -> Transport:
    transport = TRANSPORTS.get(endpoint.scheme)
    if transport is None:
        raise EndpointError(
            f"{endpoint.scheme} is not supported yet, only {' and '.join(TRANSPORTS)}; "
            "serial lines, MQTT, TLS and inbound connections are coming"
        )
    return transport
