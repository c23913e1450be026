"""Who calls: API keys, looked up by their digest and remembered for some seconds, and how often each may call.

A revoked key is forgotten at once where the revoking came through this API; after ``REMEMBERED_SECONDS`` in any case.
From an address that sends wrong keys again and again, keys that were never seen right are not even looked up: they get
429 until it has been quiet for a while. Keys that are in use are served as ever, whoever else sits behind the address.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aiohttp import hdrs, web

from gateway.api.parts import ApiLimits
from gateway.api.problems import Problem
from gateway.api.rates import Buckets
from gateway.api_keys import Scope, allows, digest
from gateway.store.records import ApiKeyRecord
from gateway.store.store import Access

REMEMBERED_SECONDS = 5.0
REMEMBERED_MAX = 10_000
KEY_LENGTH_MAX = 500
_CHALLENGE = 'Bearer realm="stsgate"'


@dataclass(slots=True)
class _Remembered:
    key: ApiKeyRecord
    until: float


class Gate:
    """Lets callers in."""

    def __init__(self, access: Access, limits: ApiLimits, now: Callable[[], datetime]) -> None:
        self._access = access
        self._now = now
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._used: set[str] = set()
        self._requests = Buckets(limits.requests_per_second, limits.requests_burst)
        self._failures = Buckets(limits.failed_logins_per_minute / 60, limits.failed_logins_per_minute)

    async def admit(self, request: web.Request, scope: Scope) -> ApiKeyRecord:
        """The caller's key. Raises ``Problem``: 401, 403, 429."""
        key = await self.recognise(request)
        bucket = self._requests.of(key.id, at := self._now().timestamp())
        if not bucket.take(at):
            raise _too_many("this API key calls too often", bucket.wait_seconds())
        if not allows(key.scopes, scope):
            raise Problem("forbidden", f"the scope {scope} is needed", scope=scope.value)
        return key

    async def recognise(self, request: web.Request) -> ApiKeyRecord:
        """The caller's key, as it stands now. Raises ``Problem``: 401, 429."""
        moment = self._now()
        at = moment.timestamp()
        offered = request.headers.get(hdrs.AUTHORIZATION)
        if offered is None:
            raise _unauthenticated("Authorization: Bearer KEY is needed")
        scheme, _, text = offered.partition(" ")
        if scheme.lower() != "bearer" or not text or len(text) > KEY_LENGTH_MAX:
            raise self._failed(request, at, "Authorization: Bearer KEY is needed")
        hashed = digest(text)
        remembered = self._remembered.get(hashed)
        if remembered is not None and at < remembered.until <= at + REMEMBERED_SECONDS:
            key: ApiKeyRecord | None = remembered.key
        else:
            key = await self._look_up(request, hashed, at)
        if key is None or key.revoked_at is not None:
            raise self._failed(request, at, "this API key is not known")
        if key.expires_at is not None and key.expires_at <= moment:
            raise self._failed(request, at, "this API key has expired")
        return key

    def forget(self, key_id: str) -> None:
        """Look this key up anew at its next call."""
        for hashed in [hashed for hashed, entry in self._remembered.items() if entry.key.id == key_id]:
            del self._remembered[hashed]

    async def write_used(self) -> None:
        """Tell the store which keys were used since the last time."""
        used, self._used = self._used, set()
        if used:
            await self._access.used(sorted(used))

    async def _look_up(self, request: web.Request, hashed: bytes, at: float) -> ApiKeyRecord | None:
        failures = self._failures.of(request.remote or "", at)
        if hashed not in self._remembered and failures.is_empty(at):
            raise _too_many("too many wrong API keys from this address", failures.wait_seconds())
        key = await self._access.by_digest(hashed)
        if key is None or key.revoked_at is not None:
            self._remembered.pop(hashed, None)
            return key
        self._used.add(key.id)
        self._remembered[hashed] = _Remembered(key, at + REMEMBERED_SECONDS)
        self._remembered.move_to_end(hashed)
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return key

    def _failed(self, request: web.Request, at: float, detail: str) -> Problem:
        failures = self._failures.of(request.remote or "", at)
        if not failures.take(at):
            return _too_many("too many wrong API keys from this address", failures.wait_seconds())
        return _unauthenticated(detail)


def _unauthenticated(detail: str) -> Problem:
    return Problem("unauthenticated", detail, headers={hdrs.WWW_AUTHENTICATE: _CHALLENGE})


def _too_many(detail: str, wait_seconds: int) -> Problem:
    return Problem("too-many-requests", detail, headers={hdrs.RETRY_AFTER: str(wait_seconds)})
