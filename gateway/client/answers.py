"""What can be wrong with an answer of the service, in one line each; and what is read out of a right one."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp

Json = dict[str, Any]

BUSY_STATUSES = (429, 502, 503, 504)
"""The service, or somebody in front of it, cannot do it now."""


class ServiceUnreachable(Exception):
    """No answer. ``has_left``: the request may have arrived all the same."""

    def __init__(self, message: str, *, has_left: bool = True) -> None:
        super().__init__(message)
        self.has_left = has_left


class ServiceRefused(Exception):
    """The service answered, and did not do it (RFC 9457)."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        fields: Mapping[str, str] | None = None,
        *,
        word: str = "",
        retry_after_seconds: float | None = None,
        error_id: str = "",
    ) -> None:
        self.status = status
        self.title = title
        self.detail = detail
        self.fields = dict(fields or {})
        """What is wrong, by the name of the field, as far as it said so."""
        self.word = word
        """The problem's type."""
        self.retry_after_seconds = retry_after_seconds
        more = [f"{name}: {message}" for name, message in self.fields.items() if message not in detail]
        more += [f"error_id {error_id}"] if error_id else []
        super().__init__(f"{'; '.join([detail or title, *more])} ({status})")

    @property
    def is_busy(self) -> bool:
        """Whether it is worth asking again at once."""
        return self.status in BUSY_STATUSES

    @property
    def may_pass(self) -> bool:
        """Whether nothing is wrong with the request: the same may be answered otherwise later."""
        return self.status >= 500 or self.status in (408, 429) or self.word == "meter-busy"


def parsed(octets: bytes | str) -> Json | None:
    try:
        value = json.loads(octets)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def listed(answer: Json, name: str) -> list[Json]:
    """The list in an answer. Raises ``ServiceRefused`` if there is none."""
    items = answer.get(name.replace("-", "_"))
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise stranger(200)
    return items


def object_in(answer: aiohttp.ClientResponse, octets: bytes) -> Json:
    value = parsed(octets) if octets else {}
    if value is None:
        raise stranger(answer.status)
    return value


def event_in(answer: aiohttp.ClientResponse, data: str) -> Json:
    event = parsed(data)
    if event is None or not isinstance(event.get("number"), int):
        raise stranger(answer.status)
    return event


def stranger(status: int) -> ServiceRefused:
    return ServiceRefused(status, "whoever answers there is not stsgate, or of another version")


def refusal_in(answer: aiohttp.ClientResponse, octets: bytes) -> ServiceRefused:
    problem = (parsed(octets) if answer.content_type == "application/problem+json" else None) or {}
    wait = answer.headers.get("Retry-After", "")
    return ServiceRefused(
        answer.status,
        str(problem.get("title") or answer.reason or "refused"),
        str(problem.get("detail") or ""),
        _fields(problem.get("errors")),
        word=str(problem.get("type") or ""),
        retry_after_seconds=float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 6 else None,
        error_id=str(problem.get("error_id") or ""),
    )


def _fields(errors: Any) -> dict[str, str]:
    if not isinstance(errors, list):
        return {}
    return {str(one.get("field")): str(one.get("message")) for one in errors if isinstance(one, dict)}


def _reason(error: OSError) -> str:
    """An ``SSLError``'s number is no ``errno``."""
    return str(getattr(error, "reason", None) or error)


def _is_without_tls(error: OSError) -> bool:
    return isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST")


def words_of(error: Exception) -> str:
    """What happened, without the address."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"its certificate is not trusted ({error.certificate_error}); --ca-file names who is"
        case aiohttp.ClientConnectorSSLError() if _is_without_tls(error.os_error):
            return "what answers there is no TLS: is it http instead of https?"
        case aiohttp.ClientConnectorSSLError():
            return f"TLS could not be agreed upon: {_reason(error.os_error)}"
        case aiohttp.ClientConnectorError():
            number = error.os_error.errno
            return f"cannot be reached: {os.strerror(number) if number and number > 0 else error.os_error}"
        case aiohttp.ConnectionTimeoutError():
            return "cannot be reached: no answer to the connection"
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ServerDisconnectedError() | ConnectionResetError() | aiohttp.ClientPayloadError():
            return "closed the connection in the middle"
        case _:
            return str(error) or type(error).__name__
