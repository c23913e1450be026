"""Meters that call in: a listener for connections that meters behind NAT open to us.

Who calls is told by its first words (``inbound_first``). From then on the roles turn: the meter opened the connection,
and we are the DLMS client on it. The connection is kept under the meter's system title until it ends, is silent for
too long, or the same meter calls anew: then the old connection is cut, and whoever speaks on it hears so. What had
been sent on it is in doubt, and nobody is moved to the new connection in silence.

A claimed title proves nothing. A stranger who knows a title can take a meter's place, and so keep us from speaking to
it; the association, with its keys, is what tells them apart. Where that is not enough, TLS with client certificates
that name their meter (``InboundSettings.certificate_names_meter``) keeps strangers out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from transports.calling_in.connection import CalledInLink
from transports.calling_in.first_words import FirstWords
from transports.channel import NotSentError
from transports.endpoint import Endpoint
from transports.hdlc.connection import HDLC_DEFAULTS, HdlcSettings
from transports.shared_link import SharedLink
from transports.wire_settings import TlsSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundSettings:
    """How meters may call in."""

    words: FirstWords
    tls: TlsSettings = field(default_factory=TlsSettings)
    certificate_names_meter: bool = False
    """On ``tcps`` with ``tls.require_client``: the common name of the caller's certificate has to be the system title
    (16 hex digits) that it claims, or a name that stands for it in ``words.names``."""
    hdlc: HdlcSettings = HDLC_DEFAULTS
    keep_alive_answer: bytes = field(default=b"", repr=False)
    """Sent back for each of ``words.keep_alive``; on the wrapper only."""
    tcp_keep_alive_seconds: int = 60
    """The system asks a silent peer so often whether it is there; after three times without an answer it is not."""
    idle_seconds: float = 900.0
    """A connection on which nothing came for so long, and nobody speaks, is closed."""
    identify_seconds: float = 30.0
    unidentified_max: int = 1_000
    connections_max: int = 20_000
    per_address_max: int = 20_000
    """No limit of its own: mobile networks put thousands of modems behind one address."""


@dataclass(frozen=True, slots=True)
class InboundEvents:
    """What the listener tells. None of these may raise or wait."""

    on_called_in: Callable[[bytes], None] = field(default=lambda _title: None, repr=False)
    """A meter is there; whether it is the one it says will be seen."""
    on_push: Callable[[bytes, bytes], None] = field(default=lambda _title, _apdu: None, repr=False)
    """System title that the connection goes by, and an APDU that belongs to no conversation."""
    on_caller: Callable[[str], None] = lambda _what: None
    """What became of one caller, in the words of ``InboundListener.counts``."""


NO_EVENTS = InboundEvents()


class CalledInMeters:
    """The meters that are connected now, by system title."""

    def __init__(self) -> None:
        self._links: dict[bytes, CalledInLink] = {}
        self._waiters: dict[bytes, set[asyncio.Future[None]]] = {}

    def __len__(self) -> int:
        return len(self._links)

    def shared_link(self, endpoint: Endpoint) -> SharedLink:
        """The connection of the meter at ``inbound:TITLE``; for ``LinkPool``. Raises ``NotSentError``."""
        link = self._links.get(endpoint.system_title)
        if link is None or link.ended is not None:
            raise NotSentError("the meter has not called in, or has hung up")
        return link

    async def wait(self, title: bytes, seconds: float) -> None:
        """Until this meter has called in. Raises ``NotSentError`` if it does not in time."""
        link = self._links.get(title)
        if link is not None and link.ended is None:
            return
        waiter = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(title, set())
        waiters.add(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            raise NotSentError(f"the meter did not call in within {seconds:g} s") from None
        finally:
            waiters.discard(waiter)
            if not waiters and self._waiters.get(title) is waiters:
                del self._waiters[title]

    def add(self, link: CalledInLink) -> CalledInLink | None:
        """Gives the connection that it replaces."""
        replaced = self._links.get(link.title)
        self._links[link.title] = link
        for waiter in self._waiters.pop(link.title, ()):
            if not waiter.done():
                waiter.set_result(None)
        return replaced

    def remove(self, link: CalledInLink) -> bool:
        """It has ended; False if another one had taken its place."""
        if self._links.get(link.title) is not link:
            return False
        del self._links[link.title]
        return True
