"""Faults: a bad wire, on purpose.

``FaultyStream`` stands between a real stream and its framing, so that it acts on bytes: what the protocols above make
of lost, late, repeated or broken bytes is exactly what they will make of them in the field. All chance comes from the
``random.Random`` that is handed in, and all waiting goes through ``sleep``, so that a scenario can be run again from
its seed, and in virtual time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from random import Random

from transports.channel import ChannelClosed, ChannelError, NotSentError
from transports.stream import CLOSE_TIMEOUT_SECONDS, UNSENT_BYTES_MAX, ByteStream, OnBytes, OnClosed, PassingStream


@dataclass(frozen=True, slots=True)
class Faults:
    """How likely each fault is, from 0 to 1, for every write (or, for what comes in, every piece that arrives)."""

    lose: float = 0.0
    """It vanishes."""
    hang_up: float = 0.0
    """It vanishes, and the connection breaks."""
    cut: float = 0.0
    """Its beginning gets through, and the connection breaks."""
    flip: float = 0.0
    """One of its bits is turned over."""
    repeat: float = 0.0
    """It arrives twice."""
    split: float = 0.0
    """It arrives in pieces."""
    delay: float = 0.0
    """It arrives later, and all that comes after it as well: bytes do not overtake each other."""
    delay_seconds_max: float = 1.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value < 0 or (value > 1 and item.name != "delay_seconds_max"):
                raise ValueError(f"the fault {item.name!r} happens with a probability from 0 to 1, not {value}")

    def strike(self, data: bytes, rng: Random) -> Strike:
        """Decide what becomes of some bytes."""
        # Every chance is drawn every time, so that changing one rate does not shuffle all the others.
        hang_up, lose, cut, flip, repeat, split, delay = (
            rng.random() < rate
            for rate in (self.hang_up, self.lose, self.cut, self.flip, self.repeat, self.split, self.delay)
        )
        place, seconds = rng.random(), rng.random() * self.delay_seconds_max
        if hang_up or lose or not data:
            return Strike(hang_up=hang_up)
        if flip:
            data = _flip(data, int(place * len(data) * 8))
        if cut:
            return Strike((data[: int(place * len(data))],), hang_up=True)
        pieces: tuple[bytes, ...] = (data, data) if repeat else (data,)
        if split:
            pieces = tuple(part for piece in pieces for part in _split(piece, place))
        return Strike(pieces, seconds if delay else 0.0)


NO_FAULTS = Faults()


@dataclass(frozen=True, slots=True)
class Strike:
    """What becomes of some bytes."""

    pieces: tuple[bytes, ...] = field(default=(), repr=False)
    delay_seconds: float = 0.0
    hang_up: bool = False


class FaultyStream(PassingStream):
    """A stream with ``faults`` in what is written to it and, if wanted, ``incoming`` ones in what arrives."""

    def __init__(
        self,
        inner: ByteStream,
        faults: Faults,
        rng: Random,
        *,
        incoming: Faults = NO_FAULTS,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        super().__init__(inner)
        self._outgoing = faults
        self._incoming = incoming
        # One source of chance for each direction: else their order in time would decide about all that follows.
        self._outgoing_rng = Random(rng.getrandbits(64))  # noqa: S311 - chance for tests, no secret
        self._incoming_rng = Random(rng.getrandbits(64))  # noqa: S311
        self._sending, self._receiving = _Queue(sleep), _Queue(sleep)
        self._ended = False

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        def arrived(data: bytes) -> None:
            strike = self._incoming.strike(data, self._incoming_rng)
            self._receiving.put(strike, on_bytes, self.hang_up)

        def closed(error: ChannelError) -> None:
            self._ended = True
            self._sending.stop()
            self._receiving.then(lambda: on_closed(error))

        self._inner.start(arrived, closed)

    def write(self, data: bytes) -> None:
        if self._ended:
            raise NotSentError(f"the connection to {self.name} was already closed")
        strike = self._outgoing.strike(data, self._outgoing_rng)
        self._sending.put(strike, self._inner.write, self.hang_up)

    @property
    def congested(self) -> bool:
        return self._sending.busy or self._inner.congested

    async def drain(self) -> None:
        await self._sending.wait()
        if self._ended:
            raise ChannelClosed(f"the connection to {self.name} broke")
        if self._inner.congested:
            await self._inner.drain()

    async def close(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self._sending.wait()
        self._sending.stop()
        self._receiving.stop()
        await self._inner.close()

    def hang_up(self) -> None:
        self._ended = True
        self._sending.stop()
        self._receiving.stop()
        self._inner.hang_up()


class _Queue:
    """One direction: things to do in order, some of them later. Without delay everything is done at once."""

    def __init__(self, sleep: Callable[[float], Awaitable[object]]) -> None:
        self._sleep = sleep
        self._steps: deque[tuple[float, Callable[[], None]]] = deque()
        self._size = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        return self._task is not None

    def put(self, strike: Strike, deliver: Callable[[bytes], None], hang_up: Callable[[], None]) -> None:
        """Raises what ``deliver`` raises if it is done at once, as on a stream without faults."""
        if not self.busy and not strike.delay_seconds and len(strike.pieces) == 1 and not strike.hang_up:
            deliver(strike.pieces[0])
            return
        self._size += sum(map(len, strike.pieces))
        if self._size > UNSENT_BYTES_MAX:
            hang_up()
            return
        delay_seconds = strike.delay_seconds
        for piece in strike.pieces:
            self._steps.append((delay_seconds, lambda piece=piece: self._deliver(piece, deliver)))  # type: ignore[misc]
            delay_seconds = 0.0
        if strike.hang_up:
            self._steps.append((0.0, hang_up))
        self._begin()

    def then(self, act: Callable[[], None]) -> None:
        """Do this after all that waits here."""
        if self.busy:
            self._steps.append((0.0, act))
        else:
            act()

    async def wait(self) -> None:
        """Until nothing waits here any more."""
        if self._task is not None:
            await asyncio.wait((self._task,))

    def stop(self) -> None:
        """What waits here is lost."""
        self._steps.clear()
        self._size = 0
        task, self._task = self._task, None
        # A step that hangs up stops its own queue: it comes to its end by itself.
        if task is not None and task is not _current_task():
            task.cancel()

    def _deliver(self, piece: bytes, deliver: Callable[[bytes], None]) -> None:
        self._size = max(0, self._size - len(piece))
        with suppress(NotSentError):  # lost on the way, as far as its sender can tell
            deliver(piece)

    def _begin(self) -> None:
        if self._task is None and self._steps:
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while self._steps:
            delay_seconds, act = self._steps.popleft()
            # Also without delay: the pieces of a split write shall not arrive in the same turn of the loop.
            await self._sleep(delay_seconds)
            act()
        if self._task is _current_task():
            self._task = None


def _current_task() -> asyncio.Task[object] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs: nobody's step
        return None


def _flip(data: bytes, bit: int) -> bytes:
    broken = bytearray(data)
    broken[bit // 8] ^= 1 << bit % 8
    return bytes(broken)


def _split(data: bytes, place: float) -> tuple[bytes, ...]:
    """Two or more pieces, shorter the smaller ``place`` is."""
    size = max(1, int(place * len(data)))
    return tuple(data[start : start + size] for start in range(0, len(data), size))
