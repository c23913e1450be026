"""Loopback: two channel ends in memory, for tests and for meters simulated in the same process.

No framing at all: an APDU that is sent stands in the other end's inbox at once.
"""

from __future__ import annotations

from transports.channel import Address, ApduChannel, ChannelClosed, Link, Listener, NotSentError, OnChannel
from transports.conversations import Accept, Conversations, accept_all
from transports.endpoint import EndpointError
from transports.inbox import Inbox
from transports.wrapper import APDU_SIZE_MAX


class LoopbackChannel(ApduChannel):
    """One end of a pair."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.inbox = Inbox()
        self.peer: LoopbackChannel | None = None

    async def open(self, timeout_seconds: float) -> None:
        self._check_open()

    async def send(self, apdu: bytes) -> None:
        self._check_open()
        if not 0 < len(apdu) <= APDU_SIZE_MAX:
            raise NotSentError(f"an APDU has 1 to {APDU_SIZE_MAX} bytes, not {len(apdu)}")
        if self.peer is not None:
            self.peer.inbox.put(bytes(apdu))

    async def receive(self, timeout_seconds: float | None) -> bytes:
        return await self.inbox.get(timeout_seconds)

    async def close(self) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        self.inbox.end(ChannelClosed("closed on this side"))
        if self.peer is not None:
            self.peer.inbox.end(ChannelClosed("the other side closed the channel"))

    def _check_open(self) -> None:
        if self.inbox.ended is not None:
            raise NotSentError(f"the channel is closed: {self.inbox.ended}")


def channel_pair(client_sap: int = 1, server_sap: int = 1) -> tuple[LoopbackChannel, LoopbackChannel]:
    """A client's end and a server's end, connected."""
    address = Address(client_sap, server_sap)
    client, server = LoopbackChannel(address), LoopbackChannel(address)
    client.peer, server.peer = server, client
    return client, server


class LoopbackLink(Link):
    """What a client would have after connecting."""

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations
        self._channels: list[LoopbackChannel] = []

    def channel(self, client_sap: int = 1, server_sap: int = 1, physical: int | None = None) -> ApduChannel:
        if physical is not None:
            raise EndpointError("a loopback has no physical addresses: leave physical out")
        client, server = channel_pair(client_sap, server_sap)
        self._channels = [channel for channel in self._channels if channel.inbox.ended is None]
        self._channels.append(client)
        if self._conversations.accept(client.address):
            self._conversations.begin(server)
        else:
            client.peer = None  # nobody there: what is sent is lost
        return client

    async def close(self) -> None:
        for channel in self._channels:
            channel.hang_up()


class LoopbackListener(Listener):
    """A meter's side without a wire; ``open_link`` is what connecting is elsewhere."""

    url = "loopback:"

    def __init__(self, on_channel: OnChannel, accept: Accept = accept_all) -> None:
        self._conversations = Conversations(on_channel, accept)
        self._links: list[LoopbackLink] = []

    def open_link(self) -> LoopbackLink:
        link = LoopbackLink(self._conversations)
        self._links.append(link)
        return link

    async def close(self) -> None:
        for link in self._links:
            await link.close()
        await self._conversations.close()
