"""One request: who may ask, what it says, and every error as a problem."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from cosem_objects.errors import SettingError, TokenFormatError
from sim_meters.lab_api.problems import Problem
from sim_meters.ledger import LedgerError

_log = logging.getLogger(__name__)

BODY_SIZE_MAX = 1 << 18
BODY_SECONDS = 10.0

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_WORDS = {403: "forbidden", 404: "not-found", 405: "method-not-allowed", 413: "too-large"}


def guarded(*, local_only: bool) -> Middleware:
    """The door of all routes."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            _check_caller(request, local_only=local_only)
            return await handler(request)
        except Problem as problem:
            return problem.response()
        except (SettingError, TokenFormatError) as error:
            return Problem("invalid", str(error)).response()
        except LedgerError as error:
            return Problem("unavailable", str(error)).response()
        except web.HTTPException as error:
            return Problem(_WORDS.get(error.status, "malformed"), error.reason).response()
        except Exception:
            _log.exception("a request to the lab API failed")
            return Problem("internal", "the cause stands in the log").response()

    return guard


def _check_caller(request: web.Request, *, local_only: bool) -> None:
    """No page of another site may ask through somebody's browser: it would name its own origin, or, after tricking the
    name service, its own host."""
    host = _name_in(f"//{request.host}")
    if local_only and host not in _LOCAL_NAMES:
        raise Problem("forbidden", "expected a Host of this machine, such as 127.0.0.1")
    origin = request.headers.get("Origin")
    is_foreign = origin is not None and origin != f"{request.scheme}://{request.host}"
    if is_foreign or request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
        raise Problem("forbidden", "expected no request from another site's page")


def _name_in(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


async def read_object(request: web.Request, *, known: tuple[str, ...]) -> dict[str, Any]:
    """The JSON object in the body, with none but these members; every name is known if there are none. Raises
    ``Problem``."""
    if request.content_type != "application/json":
        raise Problem("unsupported-media-type", "expected Content-Type: application/json")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            octets = await request.read()
        value = json.loads(octets)
    except TimeoutError:
        raise Problem("request-timeout", f"expected the whole body within {BODY_SECONDS:g} s") from None
    except (ValueError, RecursionError, web.RequestPayloadError):  # the last: it is not encoded as it says
        raise Problem("malformed", "expected JSON") from None
    if not isinstance(value, dict):
        raise Problem("invalid", "expected a JSON object")
    unknown = sorted(set(value) - set(known)) if known else []
    if unknown:
        raise Problem("invalid", f"expected {', '.join(known)}; there is a member too many")
    return value


def read_query(request: web.Request, *, known: tuple[str, ...]) -> Mapping[str, str]:
    """The parameters, none but these and each once. Raises ``Problem``."""
    query = request.query
    if set(query) - set(known) or len(set(query)) != len(query):
        expected = f"the parameters {', '.join(known)}, each once" if known else "no parameters"
        raise Problem("invalid", f"expected {expected}")
    return dict(query)


def whole(what: str, text: str, low: int, high: int) -> int:
    """Raises ``Problem``."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and low <= int(text) <= high):
        raise Problem("invalid", f"{what}: expected a whole number of {low} to {high}")
    return int(text)


def answer(members: Mapping[str, object], status: int = 200) -> web.Response:
    body = json.dumps(members).encode()
    return web.Response(body=body, status=status, headers={"Content-Type": "application/json; charset=utf-8"})
