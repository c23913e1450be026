"""Mode E on a line: the core of ``mode_e.py`` with time, speed and wire; the client's side and the meter's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from transports.channel import ChannelError, ChannelGarbled, NotSentError, again
from transports.serial.format import SerialFormat
from transports.serial.line_stream import LineStream
from transports.serial.mode_e import (
    BAUD_CODES,
    SIGN_ON,
    Identification,
    ModeEClient,
    ModeEMeter,
    acknowledgement,
    request,
)
from transports.stream import ByteStream, OnBytes, OnClosed, PassingStream

T = TypeVar("T")

# A meter answers within 1.5 s (IEC 62056-21, reaction time); its identification is up to 40 octets long. The rest is
# for adapters. Meters that slept may need the first request to wake up.
_ANSWER_SECONDS = 1.5 + 40 * SIGN_ON.octet_seconds + 0.5
_TRIES = 2
# guess: a meter that repeats the acknowledgement begins to within 0.2 s, most of them at once; some never do.
_REPEAT_SECONDS = 0.5 + 12 * SIGN_ON.octet_seconds
_UNREAD_MAX = 8  # one is awaited at a time; who says more has lost the thread
# Between the agreement and the first octet at the new speed (IEC 62056-21, mode E: 200 to 300 ms).
_SWITCH_SECONDS = 0.25

# After so long without a word a meter waits for the next sign-on (class 23, inactivity time-out).
INACTIVITY_SECONDS = 120.0


class _Half(PassingStream):
    """What both sides have in common: octets go to the framing above, except while the two are signing on."""

    def __init__(self, inner: ByteStream, line: LineStream) -> None:
        """``line``: where the speed is changed; ``inner`` is it, or stands above it."""
        super().__init__(inner)
        self._line = line
        self._ended: ChannelError | None = None


class SigningOnStream(_Half):
    """The client's side. ``sign_on`` before HDLC begins, and again whenever the meter may be back at 300 baud."""

    def __init__(self, inner: ByteStream, line: LineStream) -> None:
        super().__init__(inner, line)
        self._core: ModeEClient | None = None
        self._heard: asyncio.Queue[Identification | int | ChannelError] = asyncio.Queue(_UNREAD_MAX)

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        def arrived(data: bytes) -> None:
            if self._core is None:
                on_bytes(data)
            else:
                self._hear(self._core, data)

        def closed(error: ChannelError) -> None:
            self._ended = error
            self._forget()
            self._heard.put_nowait(error)
            on_closed(error)

        self._inner.start(arrived, closed)

    async def sign_on(self, device_address: str, baud_max: int | None) -> SerialFormat:
        """Agree on HDLC, at the highest speed that both sides can. Returns how the line is from now on.

        Raises ``NotSentError`` if the meter does not answer, or does not offer mode E, or the line is gone.
        """
        try:
            for left in reversed(range(_TRIES)):
                try:
                    return await self._sign_on(device_address, baud_max)
                except (TimeoutError, ChannelGarbled) as error:
                    if not left:
                        raise NotSentError(f"cannot sign on at {self.name}: {_words(error)}") from error
                except ChannelError as error:
                    raise NotSentError(f"cannot sign on at {self.name}: {error}") from error
            raise AssertionError("a try returns or raises")
        finally:
            self._core = None

    async def _sign_on(self, device_address: str, baud_max: int | None) -> SerialFormat:
        self._core = ModeEClient()
        self._forget()
        if self._ended is not None:
            raise again(self._ended)
        await self._line.switch(SIGN_ON)
        asked = request(device_address)
        self._inner.write(asked)
        meter = await self._next(Identification, _ANSWER_SECONDS + len(asked) * SIGN_ON.octet_seconds)
        baud = min(meter.baud_max, meter.baud_max if baud_max is None else baud_max)
        self._inner.write(acknowledgement(baud))
        with suppress(TimeoutError):  # it understood without a word, or HDLC will find nobody there
            await self._next(int, _REPEAT_SECONDS)
        await asyncio.sleep(_SWITCH_SECONDS)
        line = SerialFormat(baud)
        await self._line.switch(line)
        return line

    async def _next(self, kind: type[T], seconds: float) -> T:
        async with asyncio.timeout(seconds):
            while True:
                heard = await self._heard.get()
                if isinstance(heard, ChannelError):
                    raise again(heard)
                if isinstance(heard, kind):
                    return heard

    def _hear(self, core: ModeEClient, data: bytes) -> None:
        try:
            heard: list[Identification | int | ChannelError] = [*core.receive(data)]
        except ChannelGarbled as error:
            heard = [error]
        for one in heard:
            if not self._heard.full():
                self._heard.put_nowait(one)

    def _forget(self) -> None:
        while not self._heard.empty():
            self._heard.get_nowait()


class SignedOnStream(_Half):
    """The meter's side: waits for a client to sign on, then lets HDLC through until ``start_over`` or long silence."""

    def __init__(
        self,
        inner: ByteStream,
        line: LineStream,
        identification: Identification,
        device_address: str,
        agreed: SerialFormat | None = None,
    ) -> None:
        """``agreed``: a client has signed on before, and left to open its device anew with that speed."""
        super().__init__(inner, line)
        self.agreed = agreed
        """How the line is now that a client has signed on, until it says something in HDLC."""
        self.on_silence: Callable[[], None] = lambda: None
        """Called when the client has said nothing for so long that all conversations are over."""
        self._loop = asyncio.get_running_loop()
        self._new_core: Callable[[], ModeEMeter] = lambda: ModeEMeter(identification, device_address)
        self._core: ModeEMeter | None = None if agreed else self._new_core()
        self._silence: asyncio.TimerHandle | None = None
        self._switching: asyncio.Task[None] | None = None

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        def arrived(data: bytes) -> None:
            if self._core is None:
                self.agreed = None
                self._wait_for_silence()
                on_bytes(data)
            else:
                self._hear(self._core, data)

        def closed(error: ChannelError) -> None:
            self._ended = error
            self._stop()
            on_closed(error)

        self._switch(self.agreed or SIGN_ON)
        if self.agreed:
            self._wait_for_silence()
        self._inner.start(arrived, closed)

    def start_over(self) -> None:
        """HDLC is over: back to 300 baud, when what was written has left."""
        if self._ended is None and self._core is None:
            self._stop()
            self._core, self.agreed = self._new_core(), None
            self._switch(SIGN_ON)

    async def close(self) -> None:
        self._stop()
        await super().close()

    def hang_up(self) -> None:
        self._stop()
        super().hang_up()

    def _hear(self, core: ModeEMeter, data: bytes) -> None:
        for reply in core.receive(data):
            self._inner.write(reply.octets)
            if reply.baud is not None:
                self._core, self.agreed = None, SerialFormat(reply.baud)
                self._switch(self.agreed)
                self._wait_for_silence()

    def _switch(self, line: SerialFormat) -> None:
        if self._switching is not None:
            self._switching.cancel()
        self._switching = self._loop.create_task(self._switch_line(line))

    async def _switch_line(self, line: SerialFormat) -> None:
        try:
            await self._line.switch(line)
        except ChannelError:
            self.hang_up()  # a line at the wrong speed is of no use

    def _wait_for_silence(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
        self._silence = self._loop.call_later(INACTIVITY_SECONDS, self._fall_silent)

    def _fall_silent(self) -> None:
        self.on_silence()
        self.start_over()

    def _stop(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        if self._switching is not None:
            self._switching.cancel()
            self._switching = None


def identification(endpoint_baud: int | None) -> Identification:
    """Of a simulated meter that is as fast as its endpoint says, as far as mode E has a word for it."""
    wanted = endpoint_baud or 9600
    return Identification("SIM", max(baud for baud in BAUD_CODES if baud <= wanted), "SIMULATED")


def _words(error: Exception) -> str:
    return "no answer to the request message (mode E)" if isinstance(error, TimeoutError) else str(error)
