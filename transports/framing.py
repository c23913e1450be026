"""Framing: how the bytes of a stream become APDUs, as a client, as a server, and for a trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from transports.channel import Link
from transports.conversations import Conversations
from transports.hdlc.connection import HdlcSettings
from transports.hdlc.link import HdlcLink
from transports.hdlc.server_link import HdlcServerLink
from transports.stream import ByteStream
from transports.trace.hdlc import HdlcObserver
from transports.trace.stream import NewObserver
from transports.trace.wrapper import WrapperObserver
from transports.wrapper_link import WrapperLink


@dataclass(frozen=True, slots=True)
class Framing:
    client: Callable[[ByteStream, HdlcSettings], Link]
    server: Callable[[ByteStream, Conversations, HdlcSettings], Link]
    observer: NewObserver
    """What hears the same bytes for a trace."""


WRAPPER = Framing(
    client=lambda stream, _hdlc: WrapperLink(stream),
    server=lambda stream, conversations, _hdlc: WrapperLink(stream, conversations),
    observer=WrapperObserver,
)
HDLC = Framing(client=HdlcLink, server=HdlcServerLink, observer=HdlcObserver)
