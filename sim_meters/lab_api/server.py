"""Serves the lab API on one address."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from cosem_objects.errors import SettingError
from sim_meters.fleet.fleet import Fleet
from sim_meters.lab_api.address import LabAddress
from sim_meters.lab_api.call import BODY_SIZE_MAX, guarded
from sim_meters.lab_api.routes import LabRoutes

_CLOSE_SECONDS = 5.0


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
