"""What anybody may ask: is the service there, does it work, what does its API look like; and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from gateway.api.bodies import JSON_TYPE
from gateway.api.call import Call, told
from gateway.api.problems import JSON_CHARSET

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def healthz(call: Call) -> web.Response:
    return _told(await call.api.parts.health())


async def readyz(call: Call) -> web.Response:
    return _told(await call.api.parts.ready())


async def metrics(call: Call) -> web.Response:
    return web.Response(body=call.api.parts.metrics(), headers={"Content-Type": METRICS_TYPE})


async def openapi(call: Call) -> web.Response:
    return web.Response(body=call.api.document, headers={"Content-Type": JSON_TYPE + JSON_CHARSET})


def _told(report: Mapping[str, Any]) -> web.Response:
    return told(report, 200 if report.get("ok") else 503)
