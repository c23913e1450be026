"""The application: routes out of the table, who may call them, and problems for everything that goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from gateway.api.access import Gate
from gateway.api.call import Api, Call
from gateway.api.event_hub import EventHub
from gateway.api.openapi import document
from gateway.api.parts import ApiLimits, ApiParts
from gateway.api.problems import PROBLEMS, Problem, encode, unavailable
from gateway.api.route import Route
from gateway.api.routes import all_routes
from gateway.store.store import StoreError, StoreFull

__all__ = ["ApiLimits", "ApiParts", "create_app"]

USED_INTERVAL_SECONDS = 30.0
"""How often the store is told which keys were used."""
_log = logging.getLogger(__name__)
_Served = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(parts: ApiParts) -> web.Application:
    """The API of a running service. It is served by an ``ApiRunner``, which answers with problems even what is no
    HTTP."""
    api = Api(
        parts=parts,
        gate=Gate(parts.store.access, parts.limits, parts.now),
        hub=EventHub(parts.store.events),
    )
    routes = all_routes(metrics_open=parts.metrics_open)
    api.document = encode(document(routes, parts.version))
    app = web.Application(middlewares=[_problems], client_max_size=parts.limits.body_octets_max)
    for route in routes:
        app.router.add_route(route.method, route.path, _served(api, route))
    app.cleanup_ctx.append(_running(api))

    async def end_streams(_app: web.Application) -> None:
        api.hub.close()

    app.on_shutdown.append(end_streams)
    return app


def _served(api: Api, route: Route) -> _Served:
    handler, scope, gate = route.handler, route.scope, api.gate
    limit = None if route.waits_itself else api.parts.limits.request_timeout_seconds

    async def serve(request: web.Request) -> web.StreamResponse:
        try:
            async with asyncio.timeout(limit):
                who = "" if scope is None else (await gate.admit(request, scope)).name
                return await handler(Call(api, request, who))
        except TimeoutError:
            if limit is None:
                raise
            if not request.content.is_eof():
                raise Problem("request-timeout", f"the request did not arrive within {limit:g} s") from None
            raise unavailable(f"there was no answer within {limit:g} s") from None

    return serve


@web.middleware
async def _problems(request: web.Request, handler: _Served) -> web.StreamResponse:
    """Whatever is raised, the answer is a problem."""
    try:
        return await handler(request)
    except Problem as problem:
        return _said(request, problem)
    except web.HTTPException as error:
        return _said(request, _of_aiohttp(error))
    except StoreFull:
        words = "the store cannot be written: no room, or no permission"
        return _said(request, unavailable(words, retry_after_seconds=30))
    except StoreError:
        _log.warning("the store failed", exc_info=True)
        return _said(request, unavailable("the store does not work at the moment"))
    except ConnectionError:
        raise
    except Exception:
        error_id = secrets.token_hex(6)
        _log.exception("error %s while answering %s", error_id, request.method, extra={"error_id": error_id})
        return _said(request, Problem("internal", "the log says more under this error_id", error_id=error_id))


def _said(request: web.Request, problem: Problem) -> web.Response:
    if request.writer.output_size > 0:
        raise ConnectionResetError("an answer was begun already")
    return problem.response()


def _of_aiohttp(error: web.HTTPException) -> Problem:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return Problem("method-not-allowed", f"{allowed} can be done here", headers={"Allow": allowed})
    if isinstance(error, web.HTTPNotFound):
        return Problem("not-found", "there is nothing at this path; /openapi.json lists what there is")
    words = {kind.status: word for word, kind in reversed([*PROBLEMS.items()])}
    return Problem(words.get(error.status, "malformed"), error.reason)


def _running(api: Api) -> Callable[[web.Application], AsyncIterator[None]]:
    async def run(_app: web.Application) -> AsyncIterator[None]:
        api.parts.store.on_events(api.hub.ring)
        tasks = [asyncio.create_task(api.hub.run()), asyncio.create_task(_keep_writing_used(api.gate))]
        yield
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await _write_used(api.gate)

    return run


async def _keep_writing_used(gate: Gate) -> None:
    while True:
        await asyncio.sleep(USED_INTERVAL_SECONDS)
        await _write_used(gate)


async def _write_used(gate: Gate) -> None:
    try:
        await gate.write_used()
    except StoreError:
        _log.warning("when API keys were used last cannot be written", exc_info=True)
