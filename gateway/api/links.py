"""``/v1/links``: limits of what meters share. An id may be ``scheme://host:port``, percent-encoded in the path."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Self
from urllib.parse import quote

from aiohttp import web
from pydantic import Field

from gateway.api.call import Call, answer, nothing
from gateway.api.fields import Answer, Body
from gateway.api.parts import ApiParts
from gateway.api.path_ids import check_id
from gateway.api.problems import not_found
from gateway.api.queries import LinksQuery
from gateway.api.views import Cursor
from gateway.meter_body import LINK_ID
from gateway.store.records import LinkRecord

Concurrency = Annotated[int, Field(ge=1, le=20_000)]
Rate = Annotated[float, Field(gt=0, le=1_000_000)]


class LinkBody(Body):
    """Limits; null = none of this kind."""

    concurrency: Concurrency | None = Field(default=None, description="associations at a time")
    rate_per_second: Rate | None = Field(default=None, description="associations begun in a second, on average")
    burst: int = Field(default=1, ge=1, le=1_000_000, description="how many may begin at once after a quiet time")
    paused: bool = False


class LinkView(Answer):
    """One link."""

    id: str
    concurrency: int | None = Field(description="as it was given; null = it was not")
    concurrency_in_force: int | None = Field(
        description="associations at a time that hold now, the settings' default included; null = no limit"
    )
    rate_per_second: float | None
    burst: int
    paused: bool
    meters: int = Field(description="how many share it")
    is_configured: bool = Field(description="false: meters name it, nobody gave it limits; defaults hold")

    @classmethod
    def of(cls, record: LinkRecord, parts: ApiParts) -> Self:
        default = None if parts.link_limit is None else parts.link_limit(record.id)
        return cls(
            id=record.id,
            concurrency=record.concurrency,
            concurrency_in_force=record.concurrency or default,
            rate_per_second=record.rate_per_second,
            burst=record.burst,
            paused=record.paused,
            meters=record.meters,
            is_configured=record.is_configured,
        )


class LinkList(Answer):
    links: list[LinkView]
    next_cursor: Cursor


async def list_links(call: Call) -> web.Response:
    query = call.query(LinksQuery)
    records = await call.store.links.list(after=query.cursor or "", limit=query.limit)
    cursor = records[-1].id if len(records) == query.limit else None
    return answer(LinkList(links=[LinkView.of(record, call.api.parts) for record in records], next_cursor=cursor))


async def get_link(call: Call) -> web.Response:
    return answer(await _view(call))


async def put_link(call: Call) -> web.Response:
    check_id(call.id, LINK_ID)
    body = await call.body(LinkBody)
    record = LinkRecord(
        id=call.id,
        concurrency=body.concurrency,
        rate_per_second=body.rate_per_second,
        burst=body.burst,
        paused=body.paused,
    )
    async with call.api.changing:
        is_new = await call.store.links.put(record, who=call.who)
    view = await _view(call)
    return answer(view, 201, {"Location": f"/v1/links/{quote(call.id, safe='')}"}) if is_new else answer(view)


async def delete_link(call: Call) -> web.Response:
    async with call.api.changing:
        if not await call.store.links.remove(call.id, who=call.who):
            raise not_found("link with limits")
    return nothing()


async def pause_link(call: Call) -> web.Response:
    return await _set_paused(call, paused=True)


async def resume_link(call: Call) -> web.Response:
    return await _set_paused(call, paused=False)


async def _set_paused(call: Call, *, paused: bool) -> web.Response:
    async with call.api.changing:
        record = await _link(call)
        if record.paused != paused:
            await call.store.links.put(replace(record, paused=paused), who=call.who)
    return answer(await _view(call))


async def _view(call: Call) -> LinkView:
    return LinkView.of(await _link(call), call.api.parts)


async def _link(call: Call) -> LinkRecord:
    record = await call.store.links.get(call.id)
    if record is None:
        raise not_found("link")
    return record
