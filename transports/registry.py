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
from transports.wrapper_link import WrapperLink

# guess: a GPRS modem that answers at all answers within this; profiles of real networks would settle it.
CONNECT_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Transport:
    """One row: how bytes on this scheme's stream become APDUs, as a client and as a server."""

    client: Callable[[ByteStream, HdlcSettings], Link]
    server: Callable[[ByteStream, Conversations, HdlcSettings], Link]


TRANSPORTS: dict[str, Transport] = {
    "tcp": Transport(
        client=lambda stream, _hdlc: WrapperLink(stream),
        server=lambda stream, conversations, _hdlc: WrapperLink(stream, conversations),
    ),
    "hdlc+tcp": Transport(client=HdlcLink, server=HdlcServerLink),
}


def _as_it_is(stream: ByteStream) -> ByteStream:
    return stream


async def open_link(
    endpoint: Endpoint,
    *,
    hdlc: HdlcSettings = HDLC_DEFAULTS,
    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
    through: StreamFilter = _as_it_is,
) -> Link:
    """Call what an endpoint names. ``through`` may put something between wire and framing, such as ``FaultyStream``.

    Raises ``NotSentError`` if there is no connection, ``EndpointError`` for what cannot be called.
    """
    check_callable(endpoint)
    transport = _transport(endpoint)
    return transport.client(through(await connect(endpoint, connect_timeout_seconds)), hdlc)


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
) -> Listener:
    """Be a meter, or many of them told apart by ``accept``. Port 0 takes a free one, see ``Listener.url``.

    Raises ``EndpointError`` if it cannot listen there.
    """
    transport = _transport(endpoint)
    conversations = Conversations(on_channel, accept)
    listener = TcpListener(conversations, lambda stream: transport.server(through(stream), conversations, hdlc))
    await listener.start(endpoint)
    return listener


def _transport(endpoint: Endpoint) -> Transport:
    transport = TRANSPORTS.get(endpoint.scheme)
    if transport is None:
        raise EndpointError(
            f"{endpoint.scheme} is not supported yet, only {' and '.join(TRANSPORTS)}; "
            "serial lines, MQTT, TLS and inbound connections are coming"
        )
    return transport
