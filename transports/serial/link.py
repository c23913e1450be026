"""Serial lines as links: a device that is called, a device or a pseudo-terminal that is listened on.

Several meters on one line (RS-485 multi-drop) are several channels of one link: ``HdlcLink`` lets them speak one
after the other, in the order in which they asked.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from random import Random

from transports.calling import Calling
from transports.channel import Link, Listener, NotSentError
from transports.conversations import Conversations
from transports.endpoint import Endpoint, EndpointError
from transports.framing import HDLC
from transports.hdlc.server_link import HdlcServerLink
from transports.serial.format import SerialFormat, serial_hdlc
from transports.serial.hdlc import LineUse, ModeEServerLink, SerialLine, SerialLink
from transports.serial.line_stream import LineStream, WithoutEcho
from transports.serial.mode_e_stream import SignedOnStream, SigningOnStream, identification
from transports.serial.paced_stream import PacedStream
from transports.serial.pty import Pty, PtyStream
from transports.serial.stream import SerialStream, open_serial
from transports.shared_link import SharedLink
from transports.trace.stream import TracedStream

_log = logging.getLogger(__name__)

# guess: an adapter that was plugged in again has its device file within a second or two.
REOPEN_SECONDS = 1.0


async def open_serial_link(endpoint: Endpoint, calling: Calling) -> Link:
    """One meter alone on its line. Raises ``NotSentError``."""
    stream, link = await _open_link(endpoint, calling)
    if calling.trace is not None:
        stream.listen(calling.trace, HDLC.observer, is_meter=False)
    return link


async def share_serial(endpoint: Endpoint, calling: Calling) -> SharedLink:
    """A line with any number of meters. Raises ``NotSentError``."""
    return SerialLine(*await _open_link(endpoint, calling))


async def _open_link(endpoint: Endpoint, calling: Calling) -> tuple[TracedStream, SerialLink]:
    use = LineUse.of(endpoint)
    device = await open_serial(endpoint.path, use.opening, calling.connect_timeout_seconds)
    line = _without_echo(device, calling)
    stream = TracedStream(line)
    return stream, SerialLink(SigningOnStream(calling.through(stream), line), line, use, calling.hdlc)


def _without_echo(line: LineStream, calling: Calling) -> LineStream:
    return WithoutEcho(line) if calling.wires.serial.echo else line


@dataclass(frozen=True, slots=True)
class _MeterSide:
    """How the meters' side makes a link of a line."""

    endpoint: Endpoint
    conversations: Conversations
    calling: Calling

    def serve(self, line: LineStream, agreed: SerialFormat | None = None) -> Link:
        """``agreed`` as in ``SignedOnStream``."""
        endpoint, calling = self.endpoint, self.calling
        use = LineUse.of(endpoint)
        hdlc = serial_hdlc(calling.hdlc, use.opening)
        stream = calling.prepared(line, HDLC, is_meter=True)
        if not use.mode_e:
            return HdlcServerLink(stream, self.conversations, hdlc)
        signed_on = SignedOnStream(stream, line, identification(endpoint.baud), use.device_address, agreed)
        return ModeEServerLink(signed_on, self.conversations, hdlc)


async def listen_pty(endpoint: Endpoint, conversations: Conversations, calling: Calling) -> Listener:
    """Make a line out of nothing, and be the meters on it. Raises ``EndpointError``."""
    return PtyListener(_MeterSide(endpoint, conversations, calling))


class PtyListener(Listener):
    """The meters' side of a pseudo-terminal, at the pace of a line if the endpoint names one.

    When a meter pulls the plug (``hang_up``), a new line stands at the same path at once.
    """

    def __init__(self, side: _MeterSide) -> None:
        self.url = str(replace(side.endpoint, scheme="serial"))
        self._side = side
        self._pty = Pty(side.endpoint.path)
        self._closing = False
        seed = side.calling.wires.serial.line.seed
        self._rng = Random(f"{seed}/{side.endpoint.path}")  # noqa: S311 - chance on order, no secret
        self._link = self._next()

    async def close(self) -> None:
        self._closing = True
        await self._link.close()
        await self._side.conversations.close()
        self._pty.close()

    def _next(self, agreed: SerialFormat | None = None) -> Link:
        endpoint, simulated = self._side.endpoint, self._side.calling.wires.serial.line
        stay = PtyStream(self._pty, self._on_over)
        line = PacedStream(stay, LineUse.of(endpoint).opening, simulated, self._rng, paced=endpoint.baud is not None)
        return self._side.serve(line, agreed)

    def _on_over(self, line_is_cut: bool) -> None:
        """Be ready for the next one, or for the same one, who changes the speed by opening its device again."""
        if self._closing:
            return
        agreed = self._link.agreed if isinstance(self._link, ModeEServerLink) and not line_is_cut else None
        try:
            if line_is_cut:
                self._pty.make_anew()
        except OSError as error:
            _log.error("the line %s cannot be made again: %s", self._pty.path, error.strerror)
            return
        self._link = self._next(agreed)


async def listen_serial(endpoint: Endpoint, conversations: Conversations, calling: Calling) -> Listener:
    """Be the meters on a real line. Raises ``EndpointError`` if it cannot be opened."""
    listener = SerialListener(_MeterSide(endpoint, conversations, calling))
    try:
        await listener.start()
    except NotSentError as error:
        raise EndpointError(str(error)) from error
    return listener


class SerialListener(Listener):
    """The meters' side of a device. A device that vanishes is opened again when it is back."""

    def __init__(self, side: _MeterSide) -> None:
        self.url = str(side.endpoint)
        self._side = side
        self._link: Link | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises ``NotSentError``."""
        device = await self._open()
        self._keeper = asyncio.get_running_loop().create_task(self._keep(device))

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait((self._keeper,))
        if self._link is not None:
            await self._link.close()
        await self._side.conversations.close()

    async def _open(self) -> SerialStream:
        side = self._side
        use = LineUse.of(side.endpoint)
        device = await open_serial(side.endpoint.path, use.opening, side.calling.connect_timeout_seconds)
        self._link = side.serve(_without_echo(device, side.calling))
        return device

    async def _keep(self, device: SerialStream) -> None:
        while True:
            await device.wait_ended()
            _log.warning("%s; waiting for it to come back", device.ended)
            device = await self._reopened()
            _log.warning("the line %s is back", device.name)

    async def _reopened(self) -> SerialStream:
        while True:
            await asyncio.sleep(REOPEN_SECONDS)
            try:
                return await self._open()
            except NotSentError:
                continue  # said once, when it went away
