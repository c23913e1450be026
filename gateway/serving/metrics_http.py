"""Counts what the API answers, for metrics: by route and status, with the time it took."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.serving.metrics import OTHER, Metrics

_CLOSED_BY_CALLER = 499
"""Not in any standard; what several servers count when the caller hangs up before the answer."""


def counting(metrics: Metrics) -> Middleware:
    """A middleware that stands outside of all others."""

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        started, status = time.perf_counter(), 500
        try:
            response = await handler(request)
            status = response.status
            return response
        except web.HTTPException as error:
            status = error.status
            raise
        except asyncio.CancelledError:
            status = _CLOSED_BY_CALLER
            raise
        finally:
            resource = request.match_info.route.resource
            route = OTHER if resource is None else resource.canonical
            metrics.request_answered(request.method, route, status, time.perf_counter() - started)

    return count
