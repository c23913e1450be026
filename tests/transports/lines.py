"""Serial lines for tests: pseudo-terminals in a directory of their own, and two of them joined by a cable."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from transports.channel import ChannelError, Listener, NotSentError, OnChannel
from transports.endpoint import Endpoint
from transports.registry import listen
from transports.serial.pty import Pty, PtyStream


class LineListener(Listener):
    """Meters on a line; the directory of the line's devices goes with them."""

    def __init__(self, listener: Listener, directory: Path, url: str, cable: Cable | None = None) -> None:
        self.url = url
        self._listener = listener
        self._directory = directory
        self._cable = cable

    async def close(self) -> None:
        await self._listener.close()
        if self._cable is not None:
            await self._cable.close()
        shutil.rmtree(self._directory, ignore_errors=True)


async def listen_on_pty(on_channel: OnChannel, url_options: str, **options: Any) -> Listener:
    directory = Path(tempfile.mkdtemp())
    listener = await listen(Endpoint.parse(f"pty://{directory}/line{url_options}"), on_channel, **options)
    return LineListener(listener, directory, listener.url)


async def listen_on_serial(on_channel: OnChannel, url_options: str, **options: Any) -> Listener:
    """The meters open a device, too: a cable lies between both."""
    directory = Path(tempfile.mkdtemp())
    cable = Cable(directory / "client", directory / "meter")
    endpoint = Endpoint.parse(f"serial://{cable.meter}{url_options}")
    listener = await listen(endpoint, on_channel, **options)
    return LineListener(listener, directory, str(replace(endpoint, path=str(cable.client))), cable)


class Cable:
    """Two devices, each hearing what is written to the other; who lets go of one pulls the plug of the other."""

    def __init__(self, client: Path, meter: Path) -> None:
        self.client, self.meter = client, meter
        self._lines = (Pty(str(client)), Pty(str(meter)))
        self._ends = tuple(PtyStream(line, self._on_over) for line in self._lines)
        for end, other in (self._ends, self._ends[::-1]):
            end.start(_write_to(other), self._on_closed)

    async def close(self) -> None:
        self._hang_up()
        for line in self._lines:
            line.close()

    def _hang_up(self) -> None:
        for end in self._ends:
            end.hang_up()

    def _on_closed(self, _error: ChannelError) -> None:
        self._hang_up()

    def _on_over(self, _cut: bool) -> None:
        for line in self._lines:
            line.close()


def _write_to(other: PtyStream) -> Any:
    def write(data: bytes) -> None:
        try:
            other.write(data)
        except NotSentError:
            other.hang_up()

    return write
