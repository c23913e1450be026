"""``GET /v1/audit``: who did what, newest first."""

from __future__ import annotations

from aiohttp import web

from gateway.api.call import Call, answer
from gateway.api.queries import AuditQuery
from gateway.api.views import AuditList, AuditView


async def list_audit(call: Call) -> web.Response:
    query = call.query(AuditQuery)
    records = await call.store.audit.list(before=query.cursor, limit=query.limit)
    cursor = str(records[-1].number) if len(records) == query.limit else None
    return answer(AuditList(audit=[AuditView.of(record) for record in records], next_cursor=cursor))
