"""The body of a request: read with limits, JSON of the expected shape, every wrong field named."""

from __future__ import annotations

import json
from typing import Any, NoReturn, TypeVar

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, ValidationError

from gateway.api.problems import Problem, invalid
from gateway.api.wrong_fields import field_errors, is_syntax_error

JSON_TYPE = "application/json"
Model = TypeVar("Model", bound=BaseModel)


class _TwiceGiven(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> None:
    # Readers differ in which of two equal names they believe, so nobody may be told two stories.
    if len(pairs) > 1 and len({name for name, _ in pairs}) != len(pairs):
        raise _TwiceGiven


_decoder = json.JSONDecoder(object_pairs_hook=_unique)


async def read(request: web.Request, model: type[Model]) -> Model:
    """The body of a request. Raises ``Problem``: 400, 413, 415, 422."""
    check_media_type(request, JSON_TYPE)
    return parse(await octets(request), model)


def parse(body: bytes, model: type[Model]) -> Model:
    """One JSON text. Raises ``Problem``: 400, 422."""
    try:
        parsed = model.model_validate_json(body, strict=True)
        _decoder.decode(body.decode())
    except ValidationError as error:
        if (where := is_syntax_error(error)) is not None:
            raise Problem("malformed", f"this is not JSON: {where}") from None
        raise invalid(field_errors(error, model)) from None
    except _TwiceGiven:
        raise Problem("malformed", "a name stands twice in one JSON object") from None
    return parsed


def check_media_type(request: web.Request, *expected: str) -> str:
    """The media type. Raises ``Problem`` 415 for another one, for a coding, or for characters other than UTF-8."""
    if hdrs.CONTENT_ENCODING in request.headers:
        raise Problem("unsupported-media-type", "a body without Content-Encoding is expected")
    if request.content_type not in expected:
        raise Problem("unsupported-media-type", f"Content-Type: {' or '.join(expected)} is expected")
    try:
        charset = request.charset
    except (LookupError, ValueError):
        charset = "?"
    if charset is not None and charset.lower() not in ("utf-8", "utf8"):
        raise Problem("unsupported-media-type", "UTF-8 is expected")
    return request.content_type


async def octets(request: web.Request) -> bytes:
    """The whole body. Raises ``Problem``: 400 if it breaks off, 413."""
    limit = request.client_max_size
    if (request.content_length or 0) > limit:
        _too_large(limit)
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        _too_large(limit)
    except (web.RequestPayloadError, HttpProcessingError):
        raise Problem("malformed", "the body ends in the middle, or is not coded as its header says") from None


def _too_large(limit: int) -> NoReturn:
    raise Problem("too-large", f"a body of at most {limit} octets is expected")
