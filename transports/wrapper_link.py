"""WrapperLink: conversations over one byte stream, told apart by the wPorts of the wrapper.

The same class serves both sides. A client makes its channels with ``channel()``. A server is given ``Conversations``:
the first APDU from a pair of wPorts begins a conversation, if ``accept`` says that it is for us.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from transports.channel import Address, ApduChannel, ChannelClosed, ChannelError, Link, NotSentError, OnStray
from transports.conversations import CONVERSATIONS_MAX, Conversations
from transports.endpoint import EndpointError
from transports.inbox import Inbox
from transports.stream import ByteStream
from transports.wrapper import APDU_SIZE_MAX, SAP_MAX, WrapperReceiver, wrap


class WrapperLink(Link):
    """One stream, many conversations."""

    def __init__(
        self,
        stream: ByteStream,
        conversations: Conversations | None = None,
        *,
        apdu_size_max: int = APDU_SIZE_MAX,
        on_stray: OnStray | None = None,
    ) -> None:
        self.strays = 0
        """APDUs that belong to no conversation: answers that came after their channel was closed, other addresses."""
        self._stream = stream
        self._conversations = conversations
        self._receiver = WrapperReceiver(apdu_size_max)
        self._channels: dict[tuple[int, int], WrapperChannel] = {}
        self._on_stray = on_stray
        self.ended: ChannelError | None = None
        stream.start(self._on_bytes, self._on_closed)

    def channel(self, client_sap: int = 1, server_sap: int = 1, physical: int | None = None) -> ApduChannel:
        if physical is not None:
            raise EndpointError("the wrapper has no physical addresses: leave physical out, or use hdlc+tcp")
        if not (0 <= client_sap <= SAP_MAX and 0 <= server_sap <= SAP_MAX):
            raise EndpointError(f"client and server SAP are wPorts, 0 to {SAP_MAX}, not {client_sap} and {server_sap}")
        if (client_sap, server_sap) in self._channels:
            raise EndpointError(f"there is already an open channel from client {client_sap} to server {server_sap}")
        return self._add((client_sap, server_sap))

    async def close(self) -> None:
        self.end(ChannelClosed("closed on this side"))
        await self._stream.close()

    def _add(self, key: tuple[int, int]) -> WrapperChannel:
        is_server = self._conversations is not None
        channel = WrapperChannel(self, self._stream, Address(*key), is_server=is_server)
        if self.ended is not None:
            channel.inbox.end(self.ended)
        else:
            self._channels[key] = channel
        return channel

    def _on_bytes(self, data: bytes) -> None:
        if self.ended is not None:
            return
        for source, destination, apdu in self._receiver.receive(data):
            # On the wire the sender comes first; a channel is named client first.
            key = (destination, source) if self._conversations is None else (source, destination)
            channel = self._channels.get(key)
            if channel is None:
                channel = self._begin(key)
            if channel is None:
                self.strays += 1
                if self._on_stray is not None:
                    self._on_stray(source, apdu)
            else:
                channel.inbox.put(apdu)
        if self._receiver.failure is not None:
            self.end(self._receiver.failure)
            self._stream.hang_up()

    def _begin(self, key: tuple[int, int]) -> WrapperChannel | None:
        conversations = self._conversations
        if conversations is None or len(self._channels) >= CONVERSATIONS_MAX or not conversations.accept(Address(*key)):
            return None
        channel = self._add(key)
        conversations.begin(channel)
        return channel

    def _on_closed(self, error: ChannelError) -> None:
        self.end(ChannelClosed(f"{error}, in the middle of an APDU") if self._receiver.inside_message else error)

    def end(self, error: ChannelError) -> None:
        """Nothing more can be said over it; its channels are told why. The first reason stays."""
        self.ended = self.ended or error
        for channel in self._channels.values():
            channel.inbox.end(error)
        self._channels.clear()

    def forget(self, channel: WrapperChannel) -> None:
        """The channel is closed: its wPorts are free again."""
        key = (channel.address.client_sap, channel.address.server_sap)
        if self._channels.get(key) is channel:
            del self._channels[key]


class WrapperChannel(ApduChannel):
    """One conversation between two wPorts.

    The wrapper cannot tell which question an APDU answers. After a ``ChannelTimeout`` the late answer may still come
    and is then handed to the next ``receive``; the association above knows it by its invoke-id.
    """

    def __init__(self, link: WrapperLink, stream: ByteStream, address: Address, *, is_server: bool) -> None:
        self.address = address
        self.inbox = Inbox(stream)
        self._link = link
        self._stream = stream
        self._is_server = is_server
        self._source = address.server_sap if is_server else address.client_sap
        self._destination = address.client_sap if is_server else address.server_sap

    async def open(self, timeout_seconds: float) -> None:
        if self.inbox.ended is not None:
            raise NotSentError(f"the channel is closed: {self.inbox.ended}")

    async def send(self, apdu: bytes) -> None:
        if self.inbox.ended is not None:
            raise NotSentError(f"the channel is closed: {self.inbox.ended}")
        try:
            message = wrap(self._source, self._destination, apdu)
        except ValueError as error:
            raise NotSentError(str(error)) from None
        self._stream.write(message)
        if self._stream.congested:
            await self._stream.drain()

    def receive(self, timeout_seconds: float | None) -> Coroutine[Any, Any, bytes]:
        return self.inbox.get(timeout_seconds)

    async def close(self) -> None:
        """End the conversation.

        The wrapper has no word for it. A client just falls silent; a server hangs up, with all other conversations
        of this connection, because nothing else could tell the client.
        """
        if self.inbox.ended is None:
            self.inbox.end(ChannelClosed("closed on this side"))
            self._link.forget(self)
            if self._is_server:
                await self._link.close()

    def hang_up(self) -> None:
        self._stream.hang_up()
