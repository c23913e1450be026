"""The application on a socket. What is no HTTP never reaches it, so its answers to that are made here.

aiohttp's own error pages repeat the line that could not be read: in it may be a key or a token.
"""

from __future__ import annotations

import logging
from typing import Any

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

    def __init__(self, inner: web.Server, settings: dict[str, Any]) -> None:
        super().__init__(
            inner.request_handler,
            request_factory=inner.request_factory,
            handler_cancellation=inner.handler_cancellation,
        )
        self._settings = settings

    def __call__(self) -> web.RequestHandler:
        return ApiProtocol(self, **self._settings)


class ApiRunner(web.AppRunner):
    """Like ``web.AppRunner``; bodies are taken as they are, so none can grow when it is unpacked."""

    __slots__ = ("_settings",)

    def __init__(self, app: web.Application, **settings: Any) -> None:
        super().__init__(app, handle_signals=False)
        self._settings = {
            "keepalive_timeout": KEEPALIVE_SECONDS,
            "lingering_time": LINGERING_SECONDS,
            "auto_decompress": False,
            "access_log": None,
            **settings,
        }

    async def _make_server(self) -> web.Server:
        return ApiServer(await super()._make_server(), self._settings)
