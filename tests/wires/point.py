"""Where in a delivery the wire is broken: steps, moments, and the watch that counts the one and waits for the other.

Both ends of the wire are in the test's process. The watch stands on both: around the head-end's channels, and around
the meter's. So a strike falls exactly where it is meant to, without a clock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.meters import Meter
from transports.channel import ApduChannel, ChannelError, Link, NotSentError

STEPS = (
    ("public connect", "connect"),
    ("public open", "open"),
    ("public AARQ", "60"),
    ("public GET of the counter", "c0"),
    ("public RLRQ", "62"),
    ("public close", "close"),
    ("connect", "connect"),
    ("open", "open"),
    ("AARQ", "60"),
    ("third pass of HLS", "cb"),
    ("reading before", "c8"),
    ("enter", "cb"),
    ("reading back", "c8"),
    ("RLRQ", "62"),
    ("close", "close"),
)
"""All that a head-end does for one token under HLS-GMAC, and how each begins: the first octet of its APDU, or what it
does with link and channel."""
NAMES = tuple(name for name, _ in STEPS)
ENTER = NAMES.index("enter")
ENTER_AGAIN = "".join(kind for _, kind in STEPS[NAMES.index("open") : ENTER + 1])
"""What the head-end has done in an association when it is about to enter."""


class Moment(StrEnum):
    """Of one step."""

    BEFORE = "before it leaves"
    SENT = "while it is on its way"
    """Nobody can tell how far it came: for meters that are processes of their own."""
    LOST = "before it arrives"
    UNANSWERED = "before the answer leaves"
    AFTER = "after the answer"


@dataclass(frozen=True, slots=True)
class Point:
    """One moment of one step."""

    step: int
    moment: Moment

    def __str__(self) -> str:
        return f"{NAMES[self.step]}, {self.moment}"


def _has_apdu(step: int) -> bool:
    return STEPS[step][1] not in ("connect", "open", "close")


ALL_POINTS = tuple(
    Point(step, moment)
    for step in range(len(STEPS))
    for moment in (Moment.BEFORE, Moment.LOST, Moment.UNANSWERED, Moment.AFTER)
    if _has_apdu(step) or moment in (Moment.BEFORE, Moment.AFTER)
)

MANAGEMENT_POINTS = tuple(point for point in ALL_POINTS if point.step >= NAMES.index("connect"))
"""Of the association in which the token is entered."""


async def _nothing() -> None:
    """A wire that is left alone."""


@dataclass(slots=True)
class Watch:
    """Counts the steps of one order, and strikes once, at one point."""

    point: Point | None = None
    hit: Callable[[], Awaitable[None]] = _nothing
    heal: Callable[[], Awaitable[None]] = _nothing
    errors_before_heal: int = 1
    """How often the head-end has to fail before the wire is whole again."""
    heals_before_enter: bool = False
    """Instead: the wire is whole again when the head-end, in a later association, has read and is about to enter."""
    loses: bool = True
    """What was on the wire when it was struck is lost with it."""
    kinds: list[str] = field(default_factory=list)
    """Of the steps so far, as in ``STEPS``."""
    received: list[bytes] = field(default_factory=list)
    """APDUs that came to the meter's end."""
    not_sent: list[bytes] = field(default_factory=list)
    """APDUs of which the head-end was told that no byte of them left."""
    is_struck: bool = False
    _errors: int = 0
    _is_healed: bool = False

    @property
    def is_healed(self) -> bool:
        return self._is_healed

    def begins(self, kind: str) -> None:
        """The head-end does its next step."""
        self.kinds.append(kind)

    async def at(self, moment: Moment) -> bool:
        """Strike, if this is the point. Whether it was."""
        if self.is_struck and self.heals_before_enter and moment is Moment.BEFORE and self._is_about_to_enter_again:
            await self.mend()
        if self.is_struck or self.point != Point(len(self.kinds) - 1, moment):
            return False
        self.is_struck = True
        await self.hit()
        return True

    @property
    def _is_about_to_enter_again(self) -> bool:
        """In an association that began after the strike."""
        assert self.point is not None
        steps = self.kinds[self.point.step + 1 :]
        association = "".join(steps).rpartition("connect")[2]
        return "connect" in steps and association == ENTER_AGAIN

    async def failed(self) -> None:
        """The head-end met an error."""
        if self.is_struck and not self.heals_before_enter:
            self._errors += 1
            if self._errors >= self.errors_before_heal:
                await self.mend()

    async def mend(self) -> None:
        """The wire is whole again."""
        if self.is_struck and not self._is_healed:
            self._is_healed = True
            await self.heal()


# The head-end's end of the wire.


def watched(connect: Callable[..., Awaitable[Link]], watch: Watch) -> Callable[..., Awaitable[Link]]:
    """The same ``connect``, under a watch."""

    async def connect_watched(meter: Meter, *more: Any) -> Link:
        watch.begins("connect")
        await watch.at(Moment.BEFORE)
        try:
            link = await connect(meter, *more)
        except ChannelError:
            await watch.failed()
            raise
        await watch.at(Moment.AFTER)
        return _WatchedLink(link, watch)

    return connect_watched


class _WatchedLink(Link):
    def __init__(self, inner: Link, watch: Watch) -> None:
        self._inner = inner
        self._watch = watch

    def channel(self, client_sap: int = 1, server_sap: int = 1, physical: int | None = None) -> ApduChannel:
        return _WatchedChannel(self._inner.channel(client_sap, server_sap, physical), self._watch)

    async def close(self) -> None:
        await self._inner.close()


class _Around(ApduChannel):
    """A channel that is passed on as it is."""

    def __init__(self, inner: ApduChannel, watch: Watch) -> None:
        self.address = inner.address
        self._inner = inner
        self._watch = watch

    @property
    def repeats(self) -> int:
        return self._inner.repeats

    async def open(self, timeout_seconds: float) -> None:
        await self._inner.open(timeout_seconds)

    async def send(self, apdu: bytes) -> None:
        await self._inner.send(apdu)

    async def send_unasked(self, apdu: bytes) -> None:
        await self._inner.send_unasked(apdu)

    async def receive(self, timeout_seconds: float | None) -> bytes:
        return await self._inner.receive(timeout_seconds)

    async def close(self) -> None:
        await self._inner.close()

    def hang_up(self) -> None:
        self._inner.hang_up()


class _WatchedChannel(_Around):
    def __init__(self, inner: ApduChannel, watch: Watch) -> None:
        super().__init__(inner, watch)
        self._is_closed = False

    async def open(self, timeout_seconds: float) -> None:
        self._watch.begins("open")
        await self._watch.at(Moment.BEFORE)
        try:
            await self._inner.open(timeout_seconds)
        except ChannelError:
            await self._watch.failed()
            raise
        await self._watch.at(Moment.AFTER)

    async def send(self, apdu: bytes) -> None:
        self._watch.begins(apdu[:1].hex())
        await self._watch.at(Moment.BEFORE)
        try:
            await self._inner.send(apdu)
        except ChannelError as error:
            if isinstance(error, NotSentError):
                self._watch.not_sent.append(apdu)
            await self._watch.failed()
            raise
        await self._watch.at(Moment.SENT)

    async def receive(self, timeout_seconds: float | None) -> bytes:
        try:
            apdu = await self._inner.receive(timeout_seconds)
        except ChannelError:
            await self._watch.failed()
            raise
        await self._watch.at(Moment.AFTER)
        return apdu

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._watch.begins("close")
        await self._watch.at(Moment.BEFORE)
        await self._inner.close()
        await self._watch.at(Moment.AFTER)


# The meter's end.


class MetersEnd(_Around):
    """What a meter's handler is given instead of its channel."""

    async def receive(self, timeout_seconds: float | None) -> bytes:
        while True:
            apdu = await self._inner.receive(timeout_seconds)
            self._watch.received.append(apdu)
            is_lost = await self._watch.at(Moment.LOST) and self._watch.loses
            if not is_lost:
                return apdu

    async def send(self, apdu: bytes) -> None:
        await self._watch.at(Moment.UNANSWERED)
        await self._inner.send(apdu)
