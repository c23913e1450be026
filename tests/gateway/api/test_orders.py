"""Orders over HTTP: taken once whatever happens, shown as they are, decided about."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cosem_objects.sts_token import TokenClass
from gateway.api.views import OrderView
from gateway.store.sqlite.store import SqliteStore
from gateway.store.store import StoreBroken, StoreError, StoreFull
from tests.gateway.api.service import METER, Service, credit, order_body, service, token_of
from tests.gateway.stores import START

TEST_TOKEN = token_of(TokenClass.NON_METER_SPECIFIC_MANAGEMENT)
KEY_TOKEN = token_of(TokenClass.METER_SPECIFIC_MANAGEMENT)
RESERVED_TOKEN = token_of(TokenClass.RESERVED)
LATER = "2026-11-21T15:00:00Z"
CREDIT_AMOUNT = {"value": "25.6", "unit": "kWh"}


async def test_a_new_order_is_on_disk_when_it_is_answered(api: Service) -> None:
    answered = await api.order("A-1")
    assert answered.status == 202
    assert answered.headers["Location"] == "/v1/orders/A-1"
    assert answered.json == {"id": "A-1", "meter": METER, "state": "queued", "tokens": ["…" + credit_end("A-1")]}
    shown = await api.ask("GET", answered.headers["Location"])
    assert OrderView.model_validate_json(shown.octets).state == "queued"
    assert [event["name"] for event in shown.json["timeline"]] == ["order.created"]


def credit_end(order_id: str) -> str:
    return str(order_body(order_id)["tokens"][0])[-4:]


async def test_an_order_for_later_waits(api: Service) -> None:
    answered = await api.order("A-1", not_before="2026-11-21T17:00:00+02:00")
    assert answered.json["state"] == "waiting"
    shown = (await api.ask("GET", "/v1/orders/A-1")).json
    assert (shown["state"], shown["not_before"]) == ("waiting", LATER)


SAME = [
    ({"amount": {"value": 25.60, "unit": "kwh"}}, {"amount": {"value": "25.6", "unit": "kWh"}}),
    ({"amount": {"value": 25, "unit": "ZAR"}}, {"amount": {"value": "25.000", "unit": "zar"}}),
    ({"tokens": [credit(7)]}, {"tokens": [f" {credit(7)[:10]} - {credit(7)[10:]}"]}),
    ({"tokens": [credit(7)]}, {"tokens": [{"token": credit(7)}]}),
    ({"tokens": [credit(7)]}, {"tokens": [{"token": credit(7), "kind": "credit"}]}),
    ({"tokens": [credit(7)], "kind": "credit"}, {"tokens": [credit(7)]}),
    ({"tokens": [credit(7)], "amount": CREDIT_AMOUNT}, {"tokens": [{"token": credit(7), "amount": CREDIT_AMOUNT}]}),
    ({}, {"priority": "credit"}),
    ({}, {"key": None, "new_key": {}, "not_before": None}),
    ({"key": {"krn": 1, "sgc": "123456"}}, {"key": {"sgc": "123456", "krn": 1, "ti": None}}),
    ({"expires_at": LATER}, {"expires_at": "2026-11-21T17:00:00.000+02:00"}),
]


@pytest.mark.parametrize(("first", "second"), SAME)
async def test_bodies_that_mean_the_same_order_are_the_same(
    api: Service, first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert (await api.order("A-1", **first)).status == 202
    again = await api.order("A-1", **second)
    assert again.status == 200, again
    assert again.json["id"] == "A-1"
    assert again.headers["Location"] == "/v1/orders/A-1"


OTHER = [
    {"tokens": [credit(8)]},
    {"tokens": [credit(7), credit(8)]},
    {"amount": CREDIT_AMOUNT},
    {"amount": {"value": "25.61", "unit": "kWh"}},
    {"priority": "operator"},
    {"key": {"krn": 2}},
    {"new_key": {"krn": 1}},
    {"not_before": LATER},
    {"expires_at": LATER},
]


@pytest.mark.parametrize("changes", OTHER)
async def test_another_body_under_the_same_id_is_refused(api: Service, changes: dict[str, Any]) -> None:
    assert (await api.order("A-1", tokens=[credit(7)], key={"krn": 1})).status == 202
    answered = await api.order("A-1", **{"tokens": [credit(7)], "key": {"krn": 1}, **changes})
    assert answered.status == 409
    assert (answered.problem["type"], answered.problem["field"], answered.problem["order"]) == ("conflict", "id", "A-1")


async def test_a_second_order_for_a_token_is_refused_and_names_the_first(api: Service) -> None:
    await api.order("A-1", tokens=[credit(1)])
    answered = await api.order("A-2", tokens=[credit(2), credit(1)])
    assert answered.status == 409
    assert (answered.problem["field"], answered.problem["order"]) == ("tokens[1]", "A-1")
    assert (await api.ask("GET", "/v1/orders/A-2")).status == 404


async def test_fifty_identical_posts_at_once_make_one_order(api: Service) -> None:
    answers = await asyncio.gather(*(api.order("A-1") for _ in range(50)))
    assert sorted(answered.status for answered in answers) == [200] * 49 + [202]
    listed = (await api.ask("GET", "/v1/orders")).json["orders"]
    assert [order["id"] for order in listed] == ["A-1"]


MEANT_WRONG = [
    ({"tokens": [RESERVED_TOKEN]}, "tokens[0]"),
    ({"tokens": [RESERVED_TOKEN], "kind": "credit"}, "tokens[0]"),
    ({"tokens": [TEST_TOKEN], "kind": "credit"}, "tokens[0]"),
    ({"tokens": [KEY_TOKEN], "kind": "test"}, "tokens[0]"),
    ({"tokens": [{"token": credit(1), "kind": "management"}]}, "tokens[0]"),
    ({"tokens": [{"token": credit(1), "kind": "key_change"}]}, "tokens[0]"),
    ({"tokens": [credit(1), credit(1)]}, "tokens[1]"),
    ({"tokens": [credit(1), credit(2)], "amount": CREDIT_AMOUNT}, "amount"),
    ({"tokens": [TEST_TOKEN], "amount": CREDIT_AMOUNT}, "amount"),
    ({"tokens": [{"token": credit(1), "amount": CREDIT_AMOUNT}], "amount": CREDIT_AMOUNT}, "amount"),
    ({"tokens": [{"token": TEST_TOKEN, "amount": CREDIT_AMOUNT}]}, "tokens[0].amount"),
    ({"amount": {"value": "-1", "unit": "kWh"}}, "amount"),
    ({"not_before": LATER, "expires_at": "2026-11-21T14:59:59Z"}, "expires_at"),
    ({"not_before": LATER, "expires_at": LATER}, "expires_at"),
    ({"expires_at": "2026-11-21T14:00:00Z"}, "expires_at"),
    ({"meter": "unknown"}, "meter"),
    ({"id": f"receipt-{credit(5)}", "tokens": [credit(5)]}, "id"),
]


@pytest.mark.parametrize(("changes", "field"), MEANT_WRONG)
async def test_what_cannot_be_meant_is_refused_by_its_field(api: Service, changes: dict[str, Any], field: str) -> None:
    answered = await api.order("A-1", **changes)
    assert answered.status == 422
    assert [error["field"] for error in answered.problem["errors"]] == [field]
    assert (await api.ask("GET", "/v1/orders")).json["orders"] == []


async def test_a_key_change_set_with_its_credit_is_one_order(api: Service) -> None:
    tokens = [{"token": token_of(TokenClass.METER_SPECIFIC_MANAGEMENT, n), "kind": "key_change"} for n in (1, 2)]
    answered = await api.order("A-1", tokens=[*tokens, credit(3)], amount=CREDIT_AMOUNT, new_key={"krn": 2})
    assert answered.status == 202
    shown = (await api.ask("GET", "/v1/orders/A-1")).json
    assert [token["kind"] for token in shown["tokens"]] == ["key_change", "key_change", "credit"]
    assert [token["amount"] for token in shown["tokens"]] == [None, None, CREDIT_AMOUNT]
    assert shown["new_key"] == {"krn": 2}


async def test_an_order_that_was_taken_is_known_after_its_time_was_over(api: Service) -> None:
    assert (await api.order("A-1", expires_at=LATER)).status == 202
    api.clock.advance(2 * 3600)
    assert (await api.order("A-1", expires_at=LATER)).status == 200
    assert (await api.order("A-2", expires_at=LATER)).status == 422


async def test_an_order_whose_story_was_removed_is_still_known(api: Service) -> None:
    await api.order("A-1")
    await api.ask("POST", "/v1/orders/A-1/cancel")
    api.clock.advance(3600)
    assert await api.store.purge(closed_before=START + timedelta(minutes=30), limit=10) == 1
    answered = await api.order("A-1")
    assert (answered.status, answered.problem["type"], answered.problem["order"]) == (410, "gone", "A-1")
    assert (await api.order("A-1", priority="operator")).status == 409
    assert (await api.ask("GET", "/v1/orders/A-1")).status == 404


async def test_the_pages_of_a_list_hold_every_order_while_others_are_added(api: Service) -> None:
    for number in range(25):
        await api.order(f"A-{number}")
    seen: list[str] = []
    path: str | None = "/v1/orders?limit=10"
    while path is not None:
        page = (await api.ask("GET", path)).json
        seen += [order["id"] for order in page["orders"]]
        await api.order(f"new-{len(seen)}")
        path = page["next_cursor"] and f"/v1/orders?limit=10&cursor={page['next_cursor']}"
    assert seen == [f"A-{number}" for number in reversed(range(25))]


async def test_lists_are_filtered_by_state_meter_and_reason(tmp_path: Path) -> None:
    async with service(tmp_path, meters=(METER, "M-2")) as api:
        await api.order("A-1")
        await api.order("A-2", meter="M-2")
        await api.order("A-3", not_before=LATER)
        await api.ask("POST", "/v1/orders/A-1/cancel")

        async def listed(query: str) -> list[str]:
            return [order["id"] for order in (await api.ask("GET", f"/v1/orders?{query}")).json["orders"]]

        assert await listed("state=cancelled") == ["A-1"]
        assert await listed("state=queued,waiting") == ["A-3", "A-2"]
        assert await listed("meter=M-2") == ["A-2"]
        assert await listed("meter=M-1&state=waiting") == ["A-3"]
        assert await listed("reason=timeout") == []


async def test_an_order_is_cancelled_once_and_stays_it(api: Service) -> None:
    await api.order("A-1")
    for _ in range(2):
        answered = await api.ask("POST", "/v1/orders/A-1/cancel")
        assert (answered.status, answered.json["state"]) == (200, "cancelled")
    refused = await api.ask("POST", "/v1/orders/A-1/resolve", json={"credited": "yes", "note": "n"})
    assert (refused.status, refused.problem["type"], refused.problem["state"]) == (409, "illegal-change", "cancelled")
    assert (await api.ask("POST", "/v1/orders/A-1/reconcile")).status == 409


@pytest.mark.parametrize("change", ["cancel", "reconcile", "resolve", "trace"])
async def test_an_order_that_is_not_there_is_404(api: Service, change: str) -> None:
    body = {"json": {"credited": "yes", "note": "n"}} if change == "resolve" else {}
    answered = await api.ask("GET" if change == "trace" else "POST", f"/v1/orders/none/{change}", **body)
    assert (answered.status, answered.problem["type"]) == (404, "not-found")


async def test_a_trace_is_shown_where_one_is_kept(tmp_path: Path) -> None:
    traces = {"A-1": [{"event": "frame", "octets": 3}]}
    async with service(tmp_path, order_trace=traces.get) as api:
        await api.order("A-1")
        await api.order("A-2")
        shown = await api.ask("GET", "/v1/orders/A-1/trace")
        assert shown.json == {"order": "A-1", "frames": traces["A-1"]}
        assert (await api.ask("GET", "/v1/orders/A-2/trace")).status == 404


@pytest.mark.parametrize(("error", "wait"), [(StoreFull("x"), "30"), (StoreError("x"), "5"), (StoreBroken("x"), "5")])
async def test_a_store_that_cannot_be_written_is_503_and_said_so(
    api: Service, monkeypatch: pytest.MonkeyPatch, error: StoreError, wait: str
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(api.store.orders, "add", fail)
    answered = await api.order("A-1")
    assert (answered.status, answered.problem["type"], answered.headers["Retry-After"]) == (503, "unavailable", wait)


async def test_what_nobody_expected_is_500_with_an_id_that_is_in_the_log(
    api: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the inner workings")

    monkeypatch.setattr(api.store.orders, "get", fail)
    answered = await api.ask("GET", "/v1/orders/A-1")
    assert (answered.status, answered.problem["type"]) == (500, "internal")
    assert b"workings" not in answered.octets
    assert answered.problem["error_id"] in caplog.text


async def test_an_order_that_was_answered_is_there_after_a_restart(tmp_path: Path) -> None:
    async with service(tmp_path) as api:
        assert (await api.order("A-1")).status == 202
        vault = api.store.database.vault
        clock = api.clock
    store = await SqliteStore.open(tmp_path, vault, clock.now)
    try:
        record = await store.orders.get("A-1")
        assert record is not None
        assert json.loads(json.dumps(record.tokens[0].masked)) == "…" + credit_end("A-1")
    finally:
        await store.close()
