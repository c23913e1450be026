"""Who may do what, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.api.app import ApiLimits
from gateway.api.route import Route
from gateway.api.routes import all_routes
from gateway.api_keys import ApiKey, Scope
from gateway.store.records import ApiKeyRecord
from tests.gateway.api.service import Answered, Service, order_body, service

NEEDED = {
    "POST /v1/orders": "orders",
    "POST /v1/orders:batch": "orders",
    "GET /v1/orders": "read",
    "GET /v1/orders/{id}": "read",
    "POST /v1/orders/{id}/cancel": "orders",
    "POST /v1/orders/{id}/reconcile": "operate",
    "POST /v1/orders/{id}/resolve": "operate",
    "GET /v1/orders/{id}/trace": "operate",
    "GET /v1/events": "read",
    "GET /v1/meters": "read",
    "GET /v1/meters/{id}": "read",
    "PUT /v1/meters/{id}": "operate",
    "DELETE /v1/meters/{id}": "operate",
    "POST /v1/meters/{id}/seen": "operate",
    "POST /v1/meters/{id}/readback": "operate",
    "GET /v1/links": "read",
    "GET /v1/links/{id}": "read",
    "PUT /v1/links/{id}": "operate",
    "DELETE /v1/links/{id}": "operate",
    "POST /v1/links/{id}/pause": "operate",
    "POST /v1/links/{id}/resume": "operate",
    "GET /v1/webhooks": "admin",
    "GET /v1/webhooks/{id}": "admin",
    "PUT /v1/webhooks/{id}": "admin",
    "DELETE /v1/webhooks/{id}": "admin",
    "GET /v1/webhooks/{id}/dead": "admin",
    "POST /v1/webhooks/{id}/replay": "admin",
    "GET /v1/api-keys": "admin",
    "POST /v1/api-keys": "admin",
    "DELETE /v1/api-keys/{id}": "admin",
    "POST /v1/api-keys/{id}/rotate": "admin",
    "GET /v1/audit": "read",
    "GET /metrics": "read",
    "GET /healthz": None,
    "GET /readyz": None,
    "GET /openapi.json": None,
}
ROUTES = all_routes(metrics_open=False)


def test_the_table_of_scopes_is_the_table_of_routes() -> None:
    assert {f"{route.method} {route.path}": route.scope for route in ROUTES} == NEEDED


async def _knock(api: Service, route: Route, scope: str | None) -> int:
    """The status; of what never ends, without its body."""
    headers = api.headers(scope) if scope else {}
    url = f"{api.url}{route.path.replace('{id}', 'none')}"
    async with api.session.request(route.method, url, headers=headers) as response:
        return response.status


async def test_every_route_lets_in_its_scope_and_admin_and_nobody_else(api: Service) -> None:
    for route in ROUTES:
        name = f"{route.method} {route.path}"
        needed = NEEDED[name]
        nobody = await _knock(api, route, None)
        assert (nobody == 401) == (needed is not None), name
        for scope in Scope:
            status = await _knock(api, route, scope.value)
            may = needed is None or scope.value in (needed, "admin")
            assert (status == 403) == (not may), (name, scope)
            assert status != 401, (name, scope)


async def test_who_is_not_let_in_is_told_what_is_needed(api: Service) -> None:
    nobody = await api.ask("GET", "/v1/orders", scope=None)
    assert (nobody.status, nobody.problem["type"]) == (401, "unauthenticated")
    assert nobody.headers["WWW-Authenticate"] == 'Bearer realm="stsgate"'
    other = await api.ask("GET", "/v1/orders", scope="orders")
    assert (other.status, other.problem["type"], other.problem["scope"]) == (403, "forbidden", "read")


WRONG = ["", "Bearer", "Bearer ", "Basic abc", "Bearer stsgate_key-read_", "Bearer " + "x" * 10_000, "Bearer \u00e4"]


@pytest.mark.parametrize("header", WRONG)
async def test_what_is_no_key_is_401(api: Service, header: str) -> None:
    answered = await api.ask("GET", "/v1/orders", scope=None, headers={"Authorization": header})
    assert answered.status in (401, 431)


async def test_metrics_are_open_where_the_setting_says_so(tmp_path: Path) -> None:
    async with service(tmp_path, metrics_open=True) as api:
        answered = await api.ask("GET", "/metrics", scope=None)
        assert (answered.status, answered.octets) == (200, b"stsgate_orders 1\n")
        assert (await api.ask("GET", "/openapi.json", scope=None)).json["paths"]["/metrics"]["get"].get(
            "security"
        ) is None


async def test_health_says_what_it_is_told(tmp_path: Path) -> None:
    async def ill() -> dict[str, object]:
        return {"ok": False, "checks": {"store": {"ok": False, "detail": "full"}}}

    async with service(tmp_path, ready=ill) as api:
        assert (await api.ask("GET", "/healthz", scope=None)).status == 200
        answered = await api.ask("GET", "/readyz", scope=None)
        assert (answered.status, answered.json["checks"]["store"]["detail"]) == (503, "full")


# The life of a key.


async def _make(api: Service, **body: object) -> tuple[str, str]:
    answered = await api.ask("POST", "/v1/api-keys", json={"name": "vending", "scopes": ["orders", "read"], **body})
    assert answered.status == 201
    assert answered.headers["Cache-Control"] == "no-store"
    return answered.json["id"], answered.json["key"]


async def _with(api: Service, key: str) -> int:
    return (await api.ask("GET", "/v1/orders", scope=None, headers={"Authorization": f"Bearer {key}"})).status


async def test_a_key_is_shown_once_and_works_at_once(api: Service) -> None:
    key_id, key = await _make(api)
    assert await _with(api, key) == 200
    listed = await api.ask("GET", "/v1/api-keys")
    assert key_id in [entry["id"] for entry in listed.json["api_keys"]]
    assert key.encode() not in listed.octets
    assert key.rpartition("_")[2].encode() not in listed.octets
    assert key.encode() not in (await api.ask("GET", "/v1/audit")).octets


async def test_a_revoked_key_is_refused_at_once(api: Service) -> None:
    key_id, key = await _make(api)
    assert await _with(api, key) == 200
    assert (await api.ask("DELETE", f"/v1/api-keys/{key_id}")).status == 204
    assert await _with(api, key) == 401
    assert (await api.ask("DELETE", f"/v1/api-keys/{key_id}")).status == 404
    assert (await api.ask("POST", f"/v1/api-keys/{key_id}/rotate", json={})).status == 404


async def test_a_key_revoked_elsewhere_is_refused_some_seconds_later(api: Service) -> None:
    key_id, key = await _make(api)
    assert await _with(api, key) == 200
    await api.store.access.revoke(key_id, who="a command")
    api.clock.advance(6)
    assert await _with(api, key) == 401


async def test_a_key_ends_when_it_expires(api: Service) -> None:
    _, key = await _make(api, expires_at="2026-11-21T14:01:00Z")
    api.clock.advance(59)
    assert await _with(api, key) == 200
    api.clock.advance(1)
    assert await _with(api, key) == 401


async def test_a_rotated_key_is_good_until_the_overlap_is_over(api: Service) -> None:
    key_id, old = await _make(api)
    answered = await api.ask("POST", f"/v1/api-keys/{key_id}/rotate", json={"overlap_seconds": 60})
    assert answered.status == 201
    new = answered.json["key"]
    assert answered.json["scopes"] == ["orders", "read"]
    assert (await _with(api, old), await _with(api, new)) == (200, 200)
    api.clock.advance(61)
    assert (await _with(api, old), await _with(api, new)) == (401, 200)


async def test_a_key_rotated_without_overlap_ends_at_once(api: Service) -> None:
    key_id, old = await _make(api)
    assert await _with(api, old) == 200
    answered = await api.ask("POST", f"/v1/api-keys/{key_id}/rotate", json={"overlap_seconds": 0})
    assert (await _with(api, old), await _with(api, answered.json["key"])) == (401, 200)


async def test_the_store_learns_which_keys_were_used(tmp_path: Path) -> None:
    async with service(tmp_path) as api:
        await api.ask("GET", "/v1/orders", scope="read")
        await api.app.shutdown()
        await api.app.cleanup()
        used = {key.id: key.last_used_at for key in await api.store.access.list()}
    assert used["key-read"] == api.clock.now()
    assert used["key-orders"] is None


async def test_any_text_can_be_a_key_if_the_store_knows_it(api: Service) -> None:
    record = ApiKeyRecord(id="boot", name="boot", scopes=("admin",), created_at=api.clock.now())
    await api.store.access.add(record, ApiKey("boot", "chosen by an operator").digest, who="start")
    assert await _with(api, "chosen by an operator") == 200


async def test_who_did_it_is_the_name_of_the_key(api: Service) -> None:
    await api.ask("PUT", "/v1/links/L-1", scope="operate", json={"concurrency": 2})
    [line, *_] = (await api.ask("GET", "/v1/audit?limit=1")).json["audit"]
    assert (line["who"], line["action"], line["subject"]) == ("the operate key", "link.put", "L-1")


async def test_the_audit_can_be_read_to_its_end(api: Service) -> None:
    for number in range(7):
        await api.ask("PUT", f"/v1/links/L-{number}", json={})
    numbers: list[int] = []
    path: str | None = "/v1/audit?limit=3"
    while path:
        page = (await api.ask("GET", path)).json
        numbers += [line["number"] for line in page["audit"]]
        path = page["next_cursor"] and f"/v1/audit?limit=3&cursor={page['next_cursor']}"
    assert numbers == list(range(len(numbers), 0, -1))
    assert len(numbers) >= 7


# How often.


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[Service]:
    limits = ApiLimits(requests_per_second=2, requests_burst=3, failed_logins_per_minute=6)
    async with service(tmp_path, meters=(), limits=limits) as running:
        yield running


async def test_a_key_that_calls_too_often_waits_and_others_do_not(slow: Service) -> None:
    statuses = [(await slow.ask("GET", "/v1/orders", scope="read")).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    refused = await slow.ask("GET", "/v1/orders", scope="read")
    assert (refused.problem["type"], refused.headers["Retry-After"]) == ("too-many-requests", "1")
    assert (await slow.ask("GET", "/v1/orders", scope="admin")).status == 200
    slow.clock.advance(0.5)
    assert (await slow.ask("GET", "/v1/orders", scope="read")).status == 200
    assert (await slow.ask("GET", "/v1/orders", scope="read")).status == 429


async def test_a_clock_that_is_set_back_gives_nothing_and_takes_nothing(slow: Service) -> None:
    for _ in range(3):
        await slow.ask("GET", "/v1/orders", scope="read")
    slow.clock.advance(-3600)
    assert (await slow.ask("GET", "/v1/orders", scope="read")).status == 429
    slow.clock.advance(1)
    assert (await slow.ask("GET", "/v1/orders", scope="read")).status == 200


async def test_wrong_keys_are_slowed_down_and_right_ones_in_use_are_not(slow: Service) -> None:
    async def wrong(number: int) -> Answered:
        return await slow.ask("GET", "/v1/orders", scope=None, headers={"Authorization": f"Bearer wrong-{number}"})

    assert (await slow.ask("GET", "/v1/orders", scope="read")).status == 200
    statuses = [(await wrong(number)).status for number in range(9)]
    assert statuses == [401] * 6 + [429] * 3
    assert int((await wrong(10)).headers["Retry-After"]) == 10
    slow.clock.advance(6)  # longer than a key is remembered
    assert (await slow.ask("GET", "/v1/orders", scope="read")).status == 200
    assert (await slow.ask("GET", "/v1/orders", scope="orders")).status == 429  # never seen before
    slow.clock.advance(60)
    assert (await wrong(11)).status == 401
    assert (await slow.ask("GET", "/v1/orders", scope="orders")).status == 403


async def test_a_call_that_takes_too_long_is_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with service(tmp_path, limits=ApiLimits(request_timeout_seconds=1.0)) as api:

        async def never(*_: object, **__: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(api.store.orders, "add", never)
        answered = await api.ask("POST", "/v1/orders", json=order_body("A-1"))
        assert (answered.status, answered.problem["type"]) == (503, "unavailable")
        assert "Retry-After" in answered.headers
