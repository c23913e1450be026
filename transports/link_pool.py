"""LinkPool: links that several meters share are opened once, leased, and opened again after they broke."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from transports.calling import Calling
from transports.channel import ApduChannel, Link, NotSentError
from transports.endpoint import Endpoint, EndpointError
from transports.hdlc.connection import HDLC_DEFAULTS, HdlcSettings
from transports.registry import TRANSPORTS, open_link, shared_name
from transports.shared_link import SharedLink
from transports.trace.trace import Trace
from transports.wire_settings import WIRE_DEFAULTS, WireSettings

LINGER_SECONDS = 5.0
"""guess: long enough for the next order of the same line, short enough for a device server that takes one caller."""

CalledIn = Callable[[Endpoint], SharedLink]
"""The connection that a meter opened to us. Raises ``NotSentError`` while it has not."""


def nobody_called(endpoint: Endpoint) -> SharedLink:
    """Where nobody listens for meters that call in."""
    raise NotSentError(f"{endpoint}: nobody listens for meters that call in")


@dataclass(slots=True)
class _Place:
    """One shared link, or the place where it will be."""

    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    link: SharedLink | None = None
    failures: int = 0
    """How often it could not be opened; ``failure`` is the last reason."""
    failure: str = ""
    leases: int = 0
    closer: asyncio.Task[None] | None = None


class LinkPool:
    """All links of one process. One event loop; ``close`` at the end."""

    def __init__(
        self,
        wires: WireSettings = WIRE_DEFAULTS,
        *,
        called_in: CalledIn = nobody_called,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self._wires = wires
        self._called_in = called_in
        self._linger_seconds = linger_seconds
        self._places: dict[str, _Place] = {}
        self._is_closed = False

    async def open_link(
        self, endpoint: Endpoint, *, hdlc: HdlcSettings = HDLC_DEFAULTS, trace: Trace | None = None
    ) -> Link:
        """A link to one meter; close it after use. Raises like ``registry.open_link``."""
        if endpoint.scheme == "inbound":
            return self._called_in(endpoint).lease(endpoint, hdlc, trace)
        transport = TRANSPORTS.get(endpoint.scheme)
        if transport is None or transport.share is None:
            return await open_link(endpoint, hdlc=hdlc, wires=self._wires, trace=trace)
        self._check_open()
        name = shared_name(endpoint)
        place = self._places.setdefault(name, _Place())
        place.leases += 1
        try:
            shared = await self._standing(place, endpoint, hdlc)
            return _Lease(shared.lease(endpoint, hdlc, trace), lambda: self._left(name, place))
        except BaseException:
            self._left(name, place)
            raise

    async def close(self) -> None:
        """Close all links, whoever still uses them. Nothing is to be opened afterwards."""
        self._is_closed = True
        places, self._places = self._places, {}
        for place in places.values():
            if place.closer is not None:
                place.closer.cancel()
            async with place.opening:
                if place.link is not None:
                    await place.link.close()

    async def _standing(self, place: _Place, endpoint: Endpoint, hdlc: HdlcSettings) -> SharedLink:
        """The shared link, opened if there is none that works. Who waited while somebody else tried in vain does not
        try it once more: a broker that is not there would hold up a thousand orders one after the other."""
        if place.link is not None and place.link.ended is None:
            return place.link
        failures = place.failures
        async with place.opening:
            self._check_open()
            if place.link is not None and place.link.ended is not None:
                broken, place.link = place.link, None
                await broken.close()
            if place.link is None:
                if place.failures != failures:
                    raise NotSentError(place.failure)
                share = TRANSPORTS[endpoint.scheme].share
                assert share is not None
                try:
                    place.link = await share(endpoint, Calling(hdlc=hdlc, wires=self._wires))
                except NotSentError as error:
                    place.failures += 1
                    place.failure = str(error)
                    raise
            return place.link

    def _check_open(self) -> None:
        if self._is_closed:
            raise NotSentError("no links are opened any more")

    def _left(self, name: str, place: _Place) -> None:
        """One user less. A link that broke is closed by whoever opens it anew, or with those that nobody uses."""
        place.leases -= 1
        if place.leases == 0 and self._places.get(name) is place:
            if place.closer is not None:
                place.closer.cancel()
            place.closer = asyncio.get_running_loop().create_task(self._close_unused(name, place))

    async def _close_unused(self, name: str, place: _Place) -> None:
        await asyncio.sleep(self._linger_seconds)
        async with place.opening:  # nobody opens it anew before it is closed: a serial device has one user
            if place.leases == 0:
                unused, place.link = place.link, None
                if unused is not None:
                    await unused.close()
        if place.leases == 0 and self._places.get(name) is place:
            del self._places[name]


class _Lease(Link):
    """One meter's view of a shared link, to be given back once."""

    def __init__(self, view: Link, give_back: Callable[[], None]) -> None:
        self._view = view
        self._give_back = give_back
        self._given_back = False

    def channel(self, client_sap: int = 1, server_sap: int = 1, physical: int | None = None) -> ApduChannel:
        if self._given_back:
            raise EndpointError("the link was given back")
        return self._view.channel(client_sap, server_sap, physical)

    async def close(self) -> None:
        if self._given_back:
            return
        self._given_back = True
        try:
            await self._view.close()
        finally:
            self._give_back()
