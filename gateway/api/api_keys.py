"""``/v1/api-keys``: who may call. A key is shown once, by the call that makes it; the store knows its digest alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from aiohttp import web
from pydantic import Field

from gateway.api.call import Call, answer, nothing
from gateway.api.fields import Answer, Body, Line, Moment
from gateway.api.problems import invalid, not_found
from gateway.api_keys import ApiKey, Scope
from gateway.store.records import ApiKeyRecord

OVERLAP_SECONDS_MAX = 30 * 86_400


class ApiKeyBody(Body):
    """A key to be made."""

    name: Line = Field(description="whose it is; stands in the audit")
    scopes: tuple[Scope, ...] = Field(min_length=1, max_length=len(Scope))
    expires_at: Moment | None = None


class RotationBody(Body):
    """How a key is replaced."""

    overlap_seconds: int = Field(
        default=86_400, ge=0, le=OVERLAP_SECONDS_MAX, description="how long the old key is still good; 0 = no longer"
    )


class ApiKeyView(Answer):
    """One key, as far as it may be known."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, record: ApiKeyRecord) -> Self:
        return cls(
            id=record.id,
            name=record.name,
            scopes=list(record.scopes),
            created_at=record.created_at,
            expires_at=record.expires_at,
            last_used_at=record.last_used_at,
            revoked_at=record.revoked_at,
        )


class NewApiKey(Answer):
    """A key that was just made."""

    id: str
    name: str
    scopes: list[str]
    expires_at: datetime | None
    key: str = Field(description="shown this once; Authorization: Bearer KEY", repr=False)


class ApiKeyList(Answer):
    api_keys: list[ApiKeyView]


async def list_api_keys(call: Call) -> web.Response:
    return answer(ApiKeyList(api_keys=[ApiKeyView.of(record) for record in await call.store.access.list()]))


async def add_api_key(call: Call) -> web.Response:
    body = await call.body(ApiKeyBody)
    now = call.api.parts.now()
    if body.expires_at is not None and body.expires_at <= now:
        raise invalid([("expires_at", "it is over already")])
    key = ApiKey.new()
    record = ApiKeyRecord(
        id=key.id,
        name=body.name,
        scopes=tuple(dict.fromkeys(scope.value for scope in body.scopes)),
        created_at=now,
        expires_at=body.expires_at,
    )
    await call.store.access.add(record, key.digest, who=call.who)
    return _shown_once(record, key)


async def rotate_api_key(call: Call) -> web.Response:
    """A new key with the name and the scopes of the old one, which ends after the overlap."""
    body = await call.body(RotationBody)
    now = call.api.parts.now()
    async with call.api.changing:
        old = await _key(call)
        key = ApiKey.new()
        new = ApiKeyRecord(id=key.id, name=old.name, scopes=old.scopes, created_at=now, expires_at=old.expires_at)
        await call.store.access.add(new, key.digest, who=call.who)
        await call.store.access.expire(old.id, at=now + timedelta(seconds=body.overlap_seconds), who=call.who)
    call.api.gate.forget(old.id)
    return _shown_once(new, key)


async def delete_api_key(call: Call) -> web.Response:
    if not await call.store.access.revoke(call.id, who=call.who):
        raise not_found("API key that is still good")
    call.api.gate.forget(call.id)
    return nothing()


def _shown_once(record: ApiKeyRecord, key: ApiKey) -> web.Response:
    view = NewApiKey(
        id=record.id, name=record.name, scopes=list(record.scopes), expires_at=record.expires_at, key=key.text
    )
    return answer(view, 201, {"Cache-Control": "no-store"})


async def _key(call: Call) -> ApiKeyRecord:
    """One that is still good."""
    now = call.api.parts.now()
    for record in await call.store.access.list():
        is_good = record.revoked_at is None and (record.expires_at is None or record.expires_at > now)
        if record.id == call.id and is_good:
            return record
    raise not_found("API key that is still good")
