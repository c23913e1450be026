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
from transports.stream import CLOSE_TIMEOUT_SECONDS, OnBytes, OnClosed
from transports.transport_stream import TransportStream

# It would log all bytes, and in them passwords and tokens.
logging.getLogger("serialx").setLevel(logging.INFO)

_PARITIES = {"none": serialx.Parity.NONE, "even": serialx.Parity.EVEN, "odd": serialx.Parity.ODD}


class SerialStream(TransportStream[serialx.BaseSerialTransport], LineStream):
    """One open device. Made by ``open_serial``."""

    def __init__(self, path: str, line: SerialFormat) -> None:
        super().__init__(path)
        self.line = line
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # What serialx calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("serialx.BaseSerialTransport", transport)

    def data_received(self, data: bytes) -> None:
        # Before ``start`` nobody has asked anything: what is heard then is the rest of somebody else's talk.
        if self._on_bytes is not None:
            self._on_bytes(data)

    def _words_of_loss(self, error: Exception | None) -> str:
        return f"the line {self.name} is gone: {'it ended' if error is None else system_words(error)}"

    def _wake_closers(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    # What links call.

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        self._on_bytes, self._on_closed = on_bytes, on_closed
        if self._lost is not None:
            self._on_bytes = self._on_closed = None
            on_closed(self._lost)

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
