"""The application on a socket. What is no HTTP never reaches it, so its answers to that are made here.

aiohttp's own error pages repeat the line that could not be read: in it may be a key or a token.
"""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from gateway.api.problems import Problem

KEEPALIVE_SECONDS = 75.0
LINGERING_SECONDS = 2.0
"""How long what is left of a refused body is read, so that the caller gets to read the answer."""
_log = logging.getLogger(__name__)


class ApiProtocol(web.RequestHandler):
    """One connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A problem for a request that could not be read, or that failed outside of the application."""
        kind = "nothing" if exc is None else type(exc).__name__
        _log.info("a request from %s could not be answered: %s", request.remote, kind)
        if request.writer.output_size > 0:
            raise ConnectionResetError("an answer was begun already")
        if isinstance(exc, LineTooLong):
            problem = Problem("headers-too-large", "the request line and each header have at most 8190 octets")
        elif status < 500:
            problem = Problem("malformed", "this is no HTTP/1.1 request")
        else:
            problem = Problem("internal", "the request could not be answered")
        response = problem.response()
        response.force_close()
        return response


class ApiServer(web.Server):
    """Makes such connections."""

    def __init__(self, inner: web.Server) -> None:
        super().__init__(inner.request_handler, request_factory=inner.request_factory)

    def __call__(self) -> web.RequestHandler:
        return ApiProtocol(
            self,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=KEEPALIVE_SECONDS,
            lingering_time=LINGERING_SECONDS,
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type] # declared as a logger; None is how it is switched off
        )


class ApiRunner(web.AppRunner):
    """Like ``web.AppRunner``. Bodies are taken as they are, so that none can grow by being unpacked; there is no access
    log, whose lines would hold what callers put into URLs."""

    __slots__ = ()

    def __init__(self, app: web.Application, *, shutdown_timeout_seconds: float = 10.0) -> None:
        super().__init__(app, handle_signals=False, shutdown_timeout=shutdown_timeout_seconds)

    async def _make_server(self) -> web.Server:
        return ApiServer(await super()._make_server())
