"""Serves the lab API on one address."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address

from aiohttp import web

from cosem_objects.errors import SettingError
from sim_meters.fleet.fleet import Fleet
from sim_meters.lab_api.call import BODY_SIZE_MAX, guarded
from sim_meters.lab_api.routes import LabRoutes

_FORM = re.compile(r"(\[[0-9a-fA-F:.]{2,45}\]|[0-9.]{7,15}):(\d{1,5})", re.ASCII)
_CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class LabAddress:
    """Where it listens: an address of this machine and a port, 0 for a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, *, allow_remote: bool = False) -> LabAddress:
        """Read ``127.0.0.1:8400`` or ``[::1]:8400``. Raises ``SettingError``; also for an address that others can
        reach, unless that is allowed: nobody is asked who he is."""
        match = _FORM.fullmatch(text)
        try:
            address = None if match is None else ip_address(match[1].strip("[]"))
        except ValueError:
            address = None
        if match is None or address is None or int(match[2]) > 65_535:
            raise SettingError(f"lab-api: expected ADDRESS:PORT, such as 127.0.0.1:8400; got {text!r}")
        if not address.is_loopback and not allow_remote:
            raise SettingError(f"lab-api: {address} can be reached from outside; expected a loopback address")
        return cls(str(address), int(match[2]))

    @property
    def is_local(self) -> bool:
        return ip_address(self.host).is_loopback


@asynccontextmanager
async def lab_api(address: LabAddress, fleet: Fleet) -> AsyncIterator[str]:
    """Serves the API, and gives its URL. Raises ``SettingError`` if it cannot listen there."""
    app = web.Application(middlewares=[guarded(local_only=address.is_local)], client_max_size=BODY_SIZE_MAX)
    app.add_routes(LabRoutes(fleet).table)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_CLOSE_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address.host, address.port).start()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise SettingError(f"lab-api: cannot listen at {address.host}:{address.port}: {reason}") from None
        host, port = runner.addresses[0][:2]
        yield f"http://[{host}]:{port}/v1/sim" if ":" in host else f"http://{host}:{port}/v1/sim"
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await runner.cleanup()
