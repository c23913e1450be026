"""``/v1/meters``: the registry. Secrets can be written; which of them are set is all that is shown."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, Self

from aiohttp import web
from pydantic import Field

from cosem_objects.errors import SettingError
from gateway.api.call import Call, answer, nothing
from gateway.api.fields import Answer
from gateway.api.path_ids import check_id
from gateway.api.problems import Problem, invalid, not_found
from gateway.api.queries import MetersQuery
from gateway.api.views import Cursor
from gateway.dispatcher import MeterBusy, MeterUnreached
from gateway.meter_body import METER_ID, SECRETS, MeterBody, OpenMeter
from gateway.meter_fields import MeterFieldError, without_quotations
from gateway.store.records import MeterRecord
from gateway.store.store import InUse
from transports.endpoint import EndpointError


class MeterView(OpenMeter):
    """One meter of the registry."""

    id: str
    secrets: list[str] | None = Field(description="which of password, ek, ak are set; null in lists")
    version: int = Field(description="grows with each change")
    created_at: datetime | None
    changed_at: datetime | None
    last_seen_at: datetime | None

    @classmethod
    def of(cls, record: MeterRecord, *, with_secrets: bool) -> Self:
        return cls.model_validate(
            {
                **record.settings,
                "id": record.id,
                "link": record.link,
                "secrets": [name for name in SECRETS if record.secrets.get(name)] if with_secrets else None,
                "version": record.version,
                "created_at": record.created_at,
                "changed_at": record.changed_at,
                "last_seen_at": record.last_seen_at,
            }
        )


class MeterList(Answer):
    meters: list[MeterView]
    next_cursor: Cursor


class Woken(Answer):
    woken: int = Field(description="orders that waited because the meter was out of reach, and are due now")


class Readback(Answer):
    """What the meter says about itself."""

    meter: str
    report: dict[str, Any]


async def list_meters(call: Call) -> web.Response:
    query = call.query(MetersQuery)
    records = await call.store.meters.list(after=query.cursor or "", limit=query.limit, link=query.link)
    cursor = records[-1].id if len(records) == query.limit else None
    views = [MeterView.of(record, with_secrets=False) for record in records]
    return answer(MeterList.model_construct(meters=views, next_cursor=cursor))


async def get_meter(call: Call) -> web.Response:
    return answer(MeterView.of(await _meter(call), with_secrets=True))


async def put_meter(call: Call) -> web.Response:
    """The whole meter is replaced, but a secret that is not given stays, so what is checked is both together."""
    check_id(call.id, METER_ID)
    body = await call.body(MeterBody)
    async with call.api.changing:
        before = await call.store.meters.get(call.id)
        merged = body if before is None else body.with_secrets(before.secrets)
        try:
            merged.meter()
        except MeterFieldError as error:
            raise invalid([(error.field, error.message)]) from None
        is_new = await call.store.meters.put(body.record(call.id), who=call.who)
    view = MeterView.of(await _meter(call), with_secrets=True)
    return answer(view, 201, {"Location": f"/v1/meters/{call.id}"}) if is_new else answer(view)


async def delete_meter(call: Call) -> web.Response:
    try:
        if not await call.store.meters.remove(call.id, who=call.who):
            raise not_found("meter")
    except InUse as error:
        raise Problem("in-use", str(error)) from None
    return nothing()


async def meter_seen(call: Call) -> web.Response:
    await _meter(call)
    return answer(Woken(woken=await call.store.meters.seen(call.id)))


async def read_meter_back(call: Call) -> web.Response:
    await _meter(call)
    limit = call.limits.readback_timeout_seconds
    try:
        async with asyncio.timeout(limit):
            report = await call.api.parts.readback(call.id)
    except LookupError:
        raise not_found("meter") from None
    except MeterBusy as error:
        raise Problem("meter-busy", str(error), headers={"Retry-After": "5"}) from None
    except (SettingError, EndpointError) as error:
        raise invalid([("", without_quotations(str(error)))]) from None
    except MeterUnreached as error:
        raise Problem("meter-unreached", str(error)) from None
    except TimeoutError:
        raise Problem("meter-unreached", f"it was not read within {limit:g} s") from None
    return answer(Readback(meter=call.id, report=dict(report)))


async def _meter(call: Call) -> MeterRecord:
    record = await call.store.meters.get(call.id)
    if record is None:
        raise not_found("meter")
    return record
