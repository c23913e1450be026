"""Pseudo-terminals: serial lines without a wire. The meter's side makes one; to call it is to open a serial device."""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import struct
import termios
import tty
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from transports.channel import ChannelClosed, ChannelError, NotSentError, again
from transports.endpoint import EndpointError
from transports.stream import (
    CLOSE_TIMEOUT_SECONDS,
    UNSENT_BYTES_MAX,
    ByteStream,
    Congestion,
    OnBytes,
    OnClosed,
)

# Linux, include/uapi/asm-generic/ioctls.h; Python knows their names only since 3.13.
_LOCK, _NUMBER = 0x40045431, 0x80045430

_READ_SIZE = 65_536


class Pty:
    """A pair of which we hold one end; a symbolic link at ``path`` leads to the other.

    The other end is never opened here: so the system tells us when the last who had it open is gone.
    """

    def __init__(self, path: str) -> None:
        """Raises ``EndpointError`` if there cannot be a link at ``path``."""
        self.path = path
        self.descriptor = -1
        self.device = ""
        _check_free(path)
        try:
            self._make()
        except OSError as error:
            self.close()
            raise EndpointError(f"cannot make a line at {path}: {error.strerror or error}") from error

    def make_anew(self) -> None:
        """Pull the plug, and put another one in its place. Raises ``OSError``."""
        os.close(self.descriptor)
        self.descriptor = -1
        self._make()

    def close(self) -> None:
        """Nothing stays behind."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        link = Path(self.path)
        with suppress(OSError):
            if self.device and str(link.readlink()) == self.device:
                link.unlink()

    def _make(self) -> None:
        self.descriptor = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        fcntl.ioctl(self.descriptor, _LOCK, struct.pack("i", 0))
        (number,) = struct.unpack("i", fcntl.ioctl(self.descriptor, _NUMBER, bytes(4)))
        tty.setraw(self.descriptor)  # said of either end, it is true of the other: no echo, no translation
        self.device = f"/dev/pts/{number}"
        # Made aside and moved into place: whoever opens the path finds the old line or the new one, never none.
        beside = Path(f"{self.path}.{os.getpid()}")
        beside.symlink_to(self.device)
        try:
            beside.replace(self.path)
        except OSError:
            beside.unlink()
            raise


class PtyStream(ByteStream):
    """One caller's stay on a line: from the first octet until nobody has the other end open.

    A line has no connections. A caller who leaves without a word and one who comes before that was noticed are one
    stay, as on a real line.
    """

    def __init__(self, line: Pty, on_over: Callable[[bool], None]) -> None:
        """``on_over`` hears when the stay is over, and whether the plug was pulled on our side."""
        self.name = line.path
        self._on_over = on_over
        self._descriptor = line.descriptor
        self._loop = asyncio.get_running_loop()
        self._on_bytes: OnBytes | None = None
        self._on_closed: OnClosed | None = None
        self._congestion = Congestion()
        self._unsent: deque[bytes] = deque()
        self._unsent_size = 0
        self._heard = False
        self._reading = False
        self._writing = False
        self._lost: ChannelError | None = None
        # While nobody has the other end open, the descriptor is readable for ever. Only changes matter to us, and
        # only epoll can say so.
        self._changes = select.epoll()
        self._changes.register(self._descriptor, select.EPOLLIN | select.EPOLLET)

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        self._on_bytes, self._on_closed = on_bytes, on_closed
        if self._lost is not None:
            self._on_bytes = self._on_closed = None
            on_closed(self._lost)
        else:
            self.resume_reading()

    def write(self, data: bytes) -> None:
        if self._lost is not None:
            raise NotSentError(f"the line {self.name} was already closed")
        self._unsent.append(bytes(data))
        self._unsent_size += len(data)
        self._send()

    @property
    def congested(self) -> bool:
        return self._congestion.on

    async def drain(self) -> None:
        if self._congestion.on and self._lost is None:
            await self._congestion.wait(self.name)
        if self._lost is not None:
            raise again(self._lost)

    def pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._changes.fileno())

    def resume_reading(self) -> None:
        if self._lost is None and not self._reading:
            self._reading = True
            self._loop.add_reader(self._changes.fileno(), self._look)
            self._loop.call_soon(self._look)  # for what came before, and while we did not look

    async def close(self) -> None:
        if self._unsent and self._lost is None:
            with suppress(ChannelError, TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                    await self._congestion.wait(self.name)
        self.hang_up()

    def hang_up(self) -> None:
        self._end(ChannelClosed("closed on this side"), cut=True)

    def _look(self) -> None:
        if not self._reading:
            return
        self._changes.poll(0)
        while self._reading:
            try:
                data = os.read(self._descriptor, _READ_SIZE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                if self._heard:  # else nobody has been there yet
                    self._end(ChannelClosed(f"nobody has the line {self.name} open any more"))
                return
            self._heard = True
            if self._on_bytes is not None:
                self._on_bytes(data)

    def _send(self) -> None:
        while self._unsent:
            data = self._unsent[0]
            try:
                sent = os.write(self._descriptor, data)
            except BlockingIOError:
                break
            except OSError as error:
                self._end(ChannelClosed(f"the line {self.name} is gone: {error.strerror}"))
                return
            self._unsent_size -= sent
            self._unsent.popleft()
            if sent < len(data):
                self._unsent.appendleft(data[sent:])
        self._note_congestion()

    def _note_congestion(self) -> None:
        if self._unsent_size > UNSENT_BYTES_MAX:
            self.hang_up()
        elif self._unsent and not self._writing:
            self._writing = True
            self._congestion.begin()
            self._loop.add_writer(self._descriptor, self._send)
        elif self._writing and not self._unsent:
            self._stop_writing()

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._descriptor)
        self._congestion.end()

    def _end(self, error: ChannelError, *, cut: bool = False) -> None:
        if self._lost is not None:
            return
        self._lost = error
        self.pause_reading()
        self._stop_writing()
        self._unsent.clear()
        self._changes.close()
        if not cut:
            with suppress(OSError, termios.error):
                termios.tcflush(self._descriptor, termios.TCIOFLUSH)  # not for whoever comes next
        # Never from inside the caller's call: it has not finished its thought.
        self._loop.call_soon(self._tell, error, cut)

    def _tell(self, error: ChannelError, cut: bool) -> None:
        on_closed, self._on_bytes, self._on_closed = self._on_closed, None, None
        if on_closed is not None:
            on_closed(error)
        self._on_over(cut)


def _check_free(path: str) -> None:
    """Only a link that a dead line left behind may stand there."""
    link, trouble = Path(path), ""
    if link.is_symlink():
        target = str(link.readlink())
        if not target.startswith("/dev/pts/"):
            trouble = f"there is a link to {target} already"
        elif link.exists() and not _is_of_another_line(link):
            trouble = f"there is a line already, {target}; remove the link if it was left behind"
    elif link.exists():
        trouble = "there is a file already"
    if trouble:
        raise EndpointError(f"cannot make a line at {path}: {trouble}")


def _is_of_another_line(link: Path) -> bool:
    """Whether the line for which the link was made is gone, and another one has its number by now: a device is always
    older than the link to it. Its change time is that of its making; use does not move it."""
    try:
        return link.stat().st_ctime_ns > link.lstat().st_mtime_ns
    except OSError:
        return False
