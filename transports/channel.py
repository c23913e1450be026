"""Links and channels: how whole APDUs move, whatever the wire.

A *link* is what meters share (a socket, a serial line, a broker client). ``link.channel(...)`` gives an
*ApduChannel*: one conversation between a client SAP and a server SAP over that link. The same ``ApduChannel`` is
what a meter's side receives from a listener, so both ends of every transport look alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self


class ChannelError(Exception):
    """Something between the two ends failed. What it means for an APDU is said by the children."""


class NotSentError(ChannelError):
    """It is certain that no byte of the APDU left this machine."""


class ChannelTimeout(ChannelError):
    """No (complete) answer within the limit. What was sent before may have arrived."""


class ChannelClosed(ChannelError):
    """The other side, or the line, ended the conversation. What was sent before may have arrived."""


class ChannelGarbled(ChannelError):
    """Bytes arrived that no frame of this transport can explain. What was sent before may have arrived."""


def again(error: ChannelError) -> ChannelError:
    """A fresh copy to raise: one exception object raised in many places would gather all their tracebacks."""
    return type(error)(*error.args)


@dataclass(frozen=True, slots=True)
class Address:
    """Who talks to whom: the client's SAP, the server's SAP (logical device) and, on HDLC, its physical address.

    The default server is the management logical device, SAP 1 (IEC 62056-46, IEC 62056-47). ``physical`` is ``None``
    where there is none: on the wrapper, and on HDLC with one-byte addresses or the "no station" address 0.
    """

    client_sap: int = 1
    server_sap: int = 1
    physical: int | None = None


class ApduChannel(ABC):
    """One conversation. Not for two tasks at once; ``close`` may be called at any time and twice."""

    address: Address

    @property
    def repeats(self) -> int:
        """APDU-carrying frames sent again since the channel was opened: each may have reached the other side twice."""
        return 0

    @abstractmethod
    async def open(self, timeout_seconds: float) -> None:
        """Make the data link ready (HDLC: SNRM and UA; wrapper: nothing to do). Raises ``ChannelError``."""

    @abstractmethod
    async def send(self, apdu: bytes) -> None:
        """Send one whole APDU. Raises ``NotSentError`` only when no byte can have left."""

    async def send_unasked(self, apdu: bytes) -> None:
        """Send an APDU that answers nothing and is not answered: a notification. Raises like ``send``.

        On HDLC it is one UI frame: not acknowledged, never repeated, and a meter's waits until the client lets it
        speak. Elsewhere it is sent like any other.
        """
        await self.send(apdu)

    @abstractmethod
    async def receive(self, timeout_seconds: float | None) -> bytes:
        """Wait for one whole APDU; ``None`` waits until the link closes (a meter's side). Raises ``ChannelError``.

        After a ``ChannelTimeout`` the answer may still come, and is then what the next ``receive`` returns: no
        transport can tell which question it belongs to. The association above compares invoke-ids.
        """

    @abstractmethod
    async def close(self) -> None:
        """End the conversation (HDLC: DISC). Never raises, never waits long."""

    @abstractmethod
    def hang_up(self) -> None:
        """Cut the wire at once and without a word, for all who share it: a crash, a pulled plug."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Link(ABC):
    """What meters share. Closing it closes all its channels."""

    @abstractmethod
    def channel(self, client_sap: int = 1, server_sap: int = 1, physical: int | None = None) -> ApduChannel:
        """A conversation over this link, not yet opened.

        Raises ``EndpointError`` for addresses that this transport cannot carry, or that have an open channel already.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release the wire. Never raises, never waits long."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


OnChannel = Callable[[ApduChannel], Awaitable[None]]
"""What a listener calls, in a task of its own, for each conversation that a client begins.

It serves the conversation until ``receive`` raises ``ChannelClosed``. When it returns, the channel is closed, and on
the wrapper that hangs up.
"""


OnStray = Callable[[int, bytes], None]
"""Told of an APDU that belongs to no conversation: the server SAP that sent it, and the APDU. Must not raise."""


class Listener(ABC):
    """The meter's side of a transport: accepts links and hands over each new conversation."""

    url: str
    """Where it listens, with the port that was really taken."""

    @abstractmethod
    async def close(self) -> None:
        """Stop accepting, end all conversations and wait for their handlers."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
