"""Meters, links and webhooks over HTTP: entered, shown without their secrets, changed, removed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cosem_objects.errors import SettingError
from gateway.api.app import ApiLimits
from gateway.dispatcher import MeterBusy, MeterUnreached
from gateway.meter_body import MeterBody
from tests.gateway.api.service import ENDPOINT, LINK, METER, Service, service
from transports.endpoint import EndpointError

EK, AK = "0F1E2D3C4B5A69788796A5B4C3D2E1F0", "00112233445566778899AABBCCDDEEFF"
GMAC = {"mechanism": "hls-gmac", "ek": EK, "ak": AK}


async def _put(api: Service, security: Mapping[str, Any], **changes: Any) -> Any:
    answered = await api.ask("PUT", "/v1/meters/M-2", json={"endpoint": ENDPOINT, "security": security, **changes})
    assert EK.encode() not in answered.octets
    return answered


async def test_secrets_of_a_meter_are_kept_and_never_shown(api: Service) -> None:
    first = await _put(api, GMAC)
    assert (first.status, first.json["secrets"]) == (201, ["ek", "ak"])
    assert first.headers["Location"] == "/v1/meters/M-2"
    for path in ("/v1/meters/M-2", "/v1/meters", "/v1/audit", "/v1/links"):
        shown = await api.ask("GET", path)
        assert EK.encode() not in shown.octets
        assert AK.encode() not in shown.octets
    record = await api.store.meters.get("M-2")
    assert record is not None
    assert MeterBody.of_record(record).meter().security.ek == bytes.fromhex(EK)


async def test_a_secret_that_is_not_given_stays_and_an_empty_one_is_removed(api: Service) -> None:
    await _put(api, {**GMAC, "password": "corr3ct"})
    assert (await _put(api, {"mechanism": "hls-gmac"})).json["secrets"] == ["password", "ek", "ak"]
    refused = await _put(api, {"mechanism": "hls-gmac", "ek": ""})
    assert (refused.status, refused.problem["errors"][0]["field"]) == (422, "security.mechanism")
    assert (await _put(api, {"ek": "", "ak": "", "password": ""})).json["secrets"] == []


async def test_all_but_the_secrets_is_replaced(api: Service) -> None:
    await _put(api, GMAC, description="old", client_sap=16, sts={"krn": 2})
    shown = (await _put(api, {"mechanism": "hls-gmac"})).json
    assert (shown["description"], shown["client_sap"], shown["sts"]["krn"], shown["version"]) == ("", 1, None, 2)


async def test_what_was_put_is_shown_as_it_was_put(api: Service) -> None:
    body = {
        "endpoint": "hdlc+tcp://10.0.0.1:4059",
        "profile": "default",
        "link": "feeder-7",
        "client_sap": 2,
        "server_sap": 17,
        "physical": 1234,
        "address_bytes": "4",
        "hdlc_window": 3,
        "behind": "0:0102",
        "gateway_obis": "0-1:19.40.0.255",
        "token_encoding": "bcd10",
        "serial": "12345",
        "windows": ["22:00-06:00"],
        "time_zone": "Africa/Johannesburg",
        "description": "kitchen",
        "security": {"mechanism": "lls", "suite": 0, "password": "corr3ct", "invocation_counter": 7},
        "sts": {"pan": "600727000000000009", "sgc": "123456", "krn": 1, "ti": "01", "ea": "07", "base_date": 1993},
    }
    assert (await api.ask("PUT", "/v1/meters/M-2", json=body)).status == 201
    shown = (await api.ask("GET", "/v1/meters/M-2")).json
    for name, value in body.items():
        if isinstance(value, dict):
            given = {inner: one for inner, one in value.items() if inner != "password"}
            assert given.items() <= shown[name].items()
        else:
            assert shown[name] == value


async def test_lists_of_meters_are_walked_and_filtered(tmp_path: Path) -> None:
    async with service(tmp_path, meters=[f"M-{number}" for number in range(7)]) as api:
        await api.ask("PUT", "/v1/meters/other", json={"endpoint": "tcp://h:2", "link": "own"})
        seen: list[str] = []
        path: str | None = "/v1/meters?limit=3"
        while path:
            page = (await api.ask("GET", path)).json
            seen += [meter["id"] for meter in page["meters"]]
            path = page["next_cursor"] and f"/v1/meters?limit=3&cursor={page['next_cursor']}"
        assert seen == [*(f"M-{number}" for number in range(7)), "other"]
        assert [meter["id"] for meter in (await api.ask("GET", "/v1/meters?link=own")).json["meters"]] == ["other"]
        assert [meter["secrets"] for meter in page["meters"]] == [None, None]


async def test_a_meter_with_open_orders_stays(api: Service) -> None:
    await api.order("A-1")
    refused = await api.ask("DELETE", f"/v1/meters/{METER}")
    assert (refused.status, refused.problem["type"]) == (409, "in-use")
    await api.ask("POST", "/v1/orders/A-1/cancel")
    removed = await api.ask("DELETE", f"/v1/meters/{METER}")
    assert (removed.status, removed.octets) == (204, b"")
    assert (await api.ask("GET", f"/v1/meters/{METER}")).status == 404
    assert (await api.ask("GET", "/v1/orders/A-1")).json["meter"] == METER


async def test_a_meter_that_is_seen_wakes_its_orders(api: Service) -> None:
    assert (await api.ask("POST", f"/v1/meters/{METER}/seen")).json == {"woken": 0}


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (MeterBusy("link L-1 is paused"), 409, "meter-busy"),
        (MeterUnreached("no answer to the connection"), 502, "meter-unreached"),
        (LookupError("M-1"), 404, "not-found"),
        (SettingError("profile 'corr3ct-h0rse': no such file"), 422, "invalid"),
        (EndpointError("'corr3ct-h0rse' is not a host name"), 422, "invalid"),
    ],
)
async def test_a_meter_that_cannot_be_read_says_why(tmp_path: Path, error: Exception, status: int, kind: str) -> None:
    async def fail(meter_id: str) -> Mapping[str, Any]:
        raise error

    async with service(tmp_path, readback=fail) as api:
        answered = await api.ask("POST", f"/v1/meters/{METER}/readback")
        assert (answered.status, answered.problem["type"]) == (status, kind)
        assert b"corr3ct" not in answered.octets
        if isinstance(error, MeterBusy | MeterUnreached):
            assert answered.problem["detail"] == str(error)


async def test_a_readback_has_its_own_limit(tmp_path: Path) -> None:
    async def never(meter_id: str) -> Mapping[str, Any]:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    limits = ApiLimits(readback_timeout_seconds=0.05)
    async with service(tmp_path, readback=never, limits=limits) as api:
        answered = await api.ask("POST", f"/v1/meters/{METER}/readback")
        assert (answered.status, answered.problem["type"]) == (502, "meter-unreached")


async def test_a_meter_is_read_back(api: Service) -> None:
    answered = await api.ask("POST", f"/v1/meters/{METER}/readback")
    assert answered.json == {"meter": METER, "report": {"meter": METER, "error": None}}


# Links.


async def test_a_link_has_the_limits_that_were_put_until_they_are_removed(api: Service) -> None:
    path = f"/v1/links/{LINK}"
    before = (await api.ask("GET", path)).json
    assert (before["id"], before["meters"], before["is_configured"]) == (ENDPOINT, 1, False)
    limits = {"concurrency": 3, "rate_per_second": 0.5, "burst": 2, "paused": False}
    put = await api.ask("PUT", path, json=limits)
    assert put.status == 201
    assert {**limits, "is_configured": True}.items() <= put.json.items()
    assert put.headers["Location"] == path
    assert (await api.ask("DELETE", path)).status == 204
    assert (await api.ask("DELETE", path)).status == 404
    assert (await api.ask("GET", path)).json == before


async def test_a_link_shows_the_limit_that_is_in_force(tmp_path: Path) -> None:
    defaults: dict[str, int | None] = {ENDPOINT: 8, "L-1": 8, "L-2": None}
    async with service(tmp_path, link_limit=defaults.get) as api:
        await api.ask("PUT", "/v1/links/L-1", json={"concurrency": 3})
        await api.ask("PUT", "/v1/links/L-2", json={})
        shown = {link["id"]: link for link in (await api.ask("GET", "/v1/links")).json["links"]}
        in_force = {name: (link["concurrency"], link["concurrency_in_force"]) for name, link in shown.items()}
        assert in_force == {"L-1": (3, 3), "L-2": (None, None), ENDPOINT: (None, 8)}
        assert (await api.ask("GET", f"/v1/links/{LINK}")).json == shown[ENDPOINT]


async def test_a_paused_link_keeps_its_limits(api: Service) -> None:
    await api.ask("PUT", f"/v1/links/{LINK}", json={"concurrency": 3})
    for change, paused in (("pause", True), ("pause", True), ("resume", False)):
        shown = (await api.ask("POST", f"/v1/links/{LINK}/{change}")).json
        assert (shown["paused"], shown["concurrency"]) == (paused, 3)


async def test_limits_that_are_put_while_the_link_is_being_paused_are_not_lost(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.ask("PUT", "/v1/links/L-1", json={"concurrency": 3})
    get = api.store.links.get
    putting: list[asyncio.Task[Any]] = []

    async def get_and_wait(link_id: str) -> Any:
        record = await get(link_id)
        if not putting:
            body = {"concurrency": 7, "paused": True}
            putting.append(asyncio.create_task(api.ask("PUT", "/v1/links/L-1", json=body)))
            await asyncio.wait(putting, timeout=0.5)
        return record

    monkeypatch.setattr(api.store.links, "get", get_and_wait)
    await api.ask("POST", "/v1/links/L-1/pause")
    await asyncio.wait(putting)
    assert (await api.ask("GET", "/v1/links/L-1")).json["concurrency"] == 7


async def test_lists_of_links_are_walked(api: Service) -> None:
    for number in range(5):
        await api.ask("PUT", f"/v1/links/L-{number}", json={})
    first = (await api.ask("GET", "/v1/links?limit=4")).json
    second = (await api.ask("GET", f"/v1/links?limit=4&cursor={first['next_cursor']}")).json
    assert [link["id"] for link in first["links"] + second["links"]] == [*(f"L-{n}" for n in range(5)), ENDPOINT]
    assert second["next_cursor"] is None


# Webhooks.

HOOK = {"url": "https://example.com/hook?secret=1", "secret": "correct-horse-battery"}


async def test_the_secret_of_a_webhook_stays_and_is_never_shown(api: Service) -> None:
    assert (await api.ask("PUT", "/v1/webhooks/w-1", json={"url": HOOK["url"]})).status == 422
    first = await api.ask("PUT", "/v1/webhooks/w-1", json=HOOK)
    assert (first.status, first.json["secrets"]) == (201, ["secret"])
    again = await api.ask("PUT", "/v1/webhooks/w-1", json={"url": HOOK["url"], "active": False})
    assert (again.status, again.json["active"]) == (200, False)
    record = await api.store.webhooks.get("w-1")
    assert record is not None
    assert record.secret == HOOK["secret"]
    for path in ("/v1/webhooks", "/v1/webhooks/w-1", "/v1/audit"):
        assert HOOK["secret"].encode() not in (await api.ask("GET", path)).octets


async def test_what_was_given_up_is_shown_and_can_be_replayed(api: Service) -> None:
    await api.ask("PUT", "/v1/webhooks/w-1", json={**HOOK, "events": ["order.created"]})
    await api.order("A-1")
    due, _ = await api.store.webhooks.due(limit=10)
    await api.store.webhooks.failed(due[0].number, error="answered 500", due_at=None)
    [dead] = (await api.ask("GET", "/v1/webhooks/w-1/dead")).json["deliveries"]
    assert (dead["event"]["order"], dead["event"]["name"], dead["last_error"]) == (
        "A-1",
        "order.created",
        "answered 500",
    )
    assert (await api.ask("GET", "/v1/webhooks/w-1")).json["dead"] == 1
    assert (await api.ask("POST", "/v1/webhooks/w-1/replay")).json == {"replayed": 1}
    assert (await api.ask("GET", "/v1/webhooks/w-1")).json["dead"] == 0


async def test_a_removed_webhook_is_gone(api: Service) -> None:
    await api.ask("PUT", "/v1/webhooks/w-1", json=HOOK)
    assert (await api.ask("DELETE", "/v1/webhooks/w-1")).status == 204
    assert (await api.ask("GET", "/v1/webhooks/w-1")).status == 404
    assert (await api.ask("GET", "/v1/webhooks")).json == {"webhooks": []}
