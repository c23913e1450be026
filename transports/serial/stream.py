"""SerialStream: a byte stream over a serial device of this machine.

The device is moved by serialx. Measured side by side on a pseudo-terminal, on asyncio and on uvloop, it and
pyserial-asyncio-fast are as fast as each other, and both tell within milliseconds that a device is gone. serialx was
chosen because it hands on the system's error as it is, takes a vanished device for what it is in a write, too (the
other one reports it to the event loop as a failure of the program), changes speed and parity of an open device without
holding up the loop, asks USB adapters for low latency, and is typed.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TypedDict, cast

import serialx

from transports.channel import ChannelClosed, ChannelError, NotSentError, again
from transports.serial.format import SerialFormat
from transports.serial.line_stream import LineStream
from transports.stream import CLOSE_TIMEOUT_SECONDS, UNSENT_BYTES_MAX, Congestion, OnBytes, OnClosed

# It would log all bytes, and in them passwords and tokens.
logging.getLogger("serialx").setLevel(logging.INFO)

_PARITIES = {"none": serialx.Parity.NONE, "even": serialx.Parity.EVEN, "odd": serialx.Parity.ODD}


class SerialStream(asyncio.Protocol, LineStream):
    """One open device. Made by ``open_serial``."""

    def __init__(self, path: str, line: SerialFormat) -> None:
        self.name = path
        self.line = line
        self._transport: serialx.BaseSerialTransport | None = None
        self._on_bytes: OnBytes | None = None
        self._on_closed: OnClosed | None = None
        self._congestion = Congestion()
        self._lost: ChannelError | None = None
        self._closing = False
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # What serialx calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("serialx.BaseSerialTransport", transport)

    def data_received(self, data: bytes) -> None:
        # Before ``start`` nobody has asked anything: what is heard then is the rest of somebody else's talk.
        if self._on_bytes is not None:
            self._on_bytes(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self._closing:
            reason = "closed on this side"
        else:
            reason = f"the line {self.name} is gone: {'it ended' if error is None else system_words(error)}"
        self._lost = ChannelClosed(reason)
        self._congestion.end()
        if not self._ended.done():
            self._ended.set_result(None)
        on_closed, self._on_bytes, self._on_closed, self._transport = self._on_closed, None, None, None
        if on_closed is not None:
            on_closed(self._lost)

    def pause_writing(self) -> None:
        self._congestion.begin()

    def resume_writing(self) -> None:
        self._congestion.end()

    # What links call.

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        self._on_bytes, self._on_closed = on_bytes, on_closed
        if self._lost is not None:
            self._on_bytes = self._on_closed = None
            on_closed(self._lost)

    def write(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            raise NotSentError(f"the line {self.name} was already closed")
        transport.write(data)
        if self._congestion.on and transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            transport.abort()

    @property
    def congested(self) -> bool:
        return self._congestion.on

    async def drain(self) -> None:
        if self._congestion.on and self._lost is None:
            await self._congestion.wait(self.name)
        if self._lost is not None:
            raise again(self._lost)

    @property
    def ended(self) -> ChannelError | None:
        """Why nothing more will come."""
        return self._lost

    async def wait_ended(self) -> None:
        """Until the line is gone, or closed on this side."""
        await asyncio.shield(self._ended)

    async def switch(self, line: SerialFormat) -> None:
        """What came in and was not read yet is dropped."""
        transport = self._transport
        try:
            if transport is not None and not transport.is_closing():
                await transport.flush()
                await transport.reconfigure_port(**_settings(self.name, line))
                self.line = line
        except (OSError, serialx.SerialException) as error:
            raise ChannelClosed(f"the line {self.name} cannot be used with {line}: {system_words(error)}") from error
        if self._lost is not None or transport is None:
            raise again(self._lost or ChannelClosed("closed on this side"))

    def pause_reading(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    async def close(self) -> None:
        transport = self._transport
        if transport is None:
            return
        self._closing = True
        transport.close()
        try:
            # A driver may keep a device open until its last octet has left, or for ever.
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await asyncio.shield(self._ended)
        except TimeoutError:
            transport.abort()
        except asyncio.CancelledError:
            transport.abort()
            raise

    def hang_up(self) -> None:
        if self._transport is not None:
            self._closing = True
            self._transport.abort()


async def open_serial(path: str, line: SerialFormat, timeout_seconds: float) -> SerialStream:
    """Open a device for us alone. Raises ``NotSentError``: nothing can have left."""
    stream = SerialStream(path, line)
    try:
        async with asyncio.timeout(timeout_seconds):
            await serialx.create_serial_connection(
                asyncio.get_running_loop(),
                lambda: stream,
                f"device://{path}",
                **_settings(path, line),
            )
    except TimeoutError as error:
        reason = system_words(error) if error.errno else f"it did not open within {timeout_seconds:g} s"
        raise NotSentError(f"cannot open {path}: {reason}") from error
    except (OSError, serialx.SerialException) as error:
        raise NotSentError(f"cannot open {path}: {system_words(error)}") from error
    return stream


class _PortSettings(TypedDict):
    baudrate: int
    parity: serialx.Parity
    byte_size: int


def _settings(path: str, line: SerialFormat) -> _PortSettings:
    # A pseudo-terminal carries eight bits without parity, and refuses anything else. Seven bits fit as they are.
    if os.path.realpath(path).startswith("/dev/pts/"):
        return {"baudrate": line.baud, "parity": serialx.Parity.NONE, "byte_size": 8}
    return {"baudrate": line.baud, "parity": _PARITIES[line.parity], "byte_size": line.data_bits}


def system_words(error: Exception) -> str:
    """The system's words, without its numbers."""
    if isinstance(error, OSError) and error.errno:
        return error.strerror or os.strerror(error.errno)
    return str(error) or type(error).__name__
