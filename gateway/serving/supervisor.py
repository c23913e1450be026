"""What is said to the supervisor of the process: systemd's notification socket (sd_notify(3)), where there is one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from contextlib import suppress


class Supervisor:
    """Tells that the service is ready, that it stops, and that it still lives. Says nothing where nobody listens."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # A name that begins with @ is in Linux' abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        microseconds = environment.get("WATCHDOG_USEC", "")
        self._watchdog_seconds = int(microseconds) / 1e6 if microseconds.isascii() and microseconds.isdigit() else 0.0

    def tell(self, state: str) -> None:
        """``READY=1``, ``STOPPING=1``, ``STATUS=...``."""
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            sender.sendto(state.encode(), self._address)

    async def watch(self) -> None:
        """Tell, as long as the event loop runs, that it does. Until it is cancelled."""
        while self._watchdog_seconds:
            self.tell("WATCHDOG=1")
            await asyncio.sleep(self._watchdog_seconds / 2)  # as sd_watchdog_enabled(3) recommends
        await asyncio.Event().wait()
