"""What callers get wrong: bodies, parameters, headers, bytes. Always a problem that names the field, never an echo."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.api.app import ApiLimits
from gateway.api.problems import PROBLEMS
from gateway.api.routes import all_routes
from tests.gateway.api.service import ENDPOINT, METER, Service, credit, order_body, service

ORDER, METER_PUT = ("POST", "/v1/orders"), ("PUT", f"/v1/meters/{METER}")
LINK_PUT, WEBHOOK_PUT = ("PUT", "/v1/links/L-1"), ("PUT", "/v1/webhooks/w-1")
RESOLVE, KEY, ROTATE = ("POST", "/v1/orders/A-1/resolve"), ("POST", "/v1/api-keys"), ("POST", "/v1/api-keys/x/rotate")
WITH_BODY = [ORDER, METER_PUT, LINK_PUT, WEBHOOK_PUT, RESOLVE, KEY, ROTATE]
HUGE = "9" * 5000

NO_JSON = [
    b"",
    b"{",
    b'{"id": "A-1"',
    b"\xff\xfe",
    '{"id": "A-1"}'.encode("utf-16"),
    b"{'id': 'A-1'}",
    b'{"id": "A-1",}',
    b'{"id": "a\x01b"}',
    b'{"id": "\\ud800"}',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"note": "a", "note": "b", "credited": "yes", "name": "a", "name": "b", "scopes": ["read"]}',
    b'{"overlap_seconds": 1, "overlap_seconds": 2}',
]
NO_OBJECT = [b"null", b"[]", b"1", b'"text"', b"true", b"NaN", b"Infinity", HUGE.encode()]


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
async def test_what_is_no_json_of_the_right_shape_is_refused_everywhere(api: Service, method: str, path: str) -> None:
    for body in (*NO_JSON, *NO_OBJECT):
        answered = await api.ask(method, path, data=body, headers={"Content-Type": "application/json"})
        assert answered.status in (400, 422), (body[:40], answered)
        assert answered.problem["type"] in ("malformed", "invalid")
        if body in NO_JSON[:11]:
            assert answered.status == 400, (body[:40], answered)


OTHER_TYPES = [
    {"Content-Type": "text/plain"},
    {"Content-Type": "application/x-www-form-urlencoded"},
    {"Content-Type": "application/jsonx"},
    {"Content-Type": "application/json; charset=latin-1"},
    {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    {"Content-Type": "x" * 300},
]


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
async def test_another_media_type_is_refused_everywhere(api: Service, method: str, path: str) -> None:
    for headers in OTHER_TYPES:
        answered = await api.ask(method, path, data=gzip.compress(b"{}"), headers=headers)
        assert (answered.status, answered.problem["type"]) == (415, "unsupported-media-type"), (headers, answered)


WRONG_ORDERS: list[tuple[Any, str]] = [
    ({"id": 5}, "id"),
    ({"id": ""}, "id"),
    ({"id": "a b"}, "id"),
    ({"id": "a/b"}, "id"),
    ({"id": "ä"}, "id"),
    ({"id": "a\n"}, "id"),
    ({"id": "a" * 101}, "id"),
    ({"id": None}, "id"),
    ({"meter": "a\u0000b"}, "meter"),
    ({"meter": ["M-1"]}, "meter"),
    ({"meter": "m" * 65}, "meter"),
    ({"tokens": []}, "tokens"),
    ({"tokens": credit(1)}, "tokens"),
    ({"tokens": [credit(n) for n in range(21)]}, "tokens"),
    ({"tokens": [12345678901234567890]}, "tokens[0]"),
    ({"tokens": ["1234567890123456789"]}, "tokens[0]"),
    ({"tokens": ["99999999999999999999"]}, "tokens[0]"),
    ({"tokens": ["١٢٣٤٥٦٧٨٩٠١٢٣٤٥٦٧٨٩٠"]}, "tokens[0]"),
    ({"tokens": ["1" * 10_000]}, "tokens[0]"),
    ({"tokens": [None]}, "tokens[0]"),
    ({"tokens": [[credit(1)]]}, "tokens[0]"),
    ({"tokens": [{}]}, "tokens[0].token"),
    ({"tokens": [{"token": "1"}]}, "tokens[0].token"),
    ({"tokens": [{"token": credit(1), "kind": "CREDIT"}]}, "tokens[0].kind"),
    ({"tokens": [{"token": credit(1), "digits": "1"}]}, "tokens[0]"),
    ({"tokens": [{"token": credit(1), "amount": 5}]}, "tokens[0].amount"),
    ({"kind": "gift"}, "kind"),
    ({"kind": ["credit"]}, "kind"),
    ({"priority": 1}, "priority"),
    ({"priority": "urgent"}, "priority"),
    ({"amount": {"value": "25,6", "unit": "kWh"}}, "amount.value"),
    ({"amount": {"value": "0.00", "unit": "kWh"}}, "amount.value"),
    ({"amount": {"value": "NaN", "unit": "kWh"}}, "amount.value"),
    ({"amount": {"value": "1e5", "unit": "kWh"}}, "amount.value"),
    ({"amount": {"value": 1e300, "unit": "kWh"}}, "amount.value"),
    ({"amount": {"value": float("nan"), "unit": "kWh"}}, "amount.value"),
    ({"amount": {"value": float("inf"), "unit": "kWh"}}, "amount.value"),
    ({"amount": {"value": True, "unit": "kWh"}}, "amount.value"),
    ({"amount": {"value": int(HUGE[:4000]), "unit": "kWh"}}, "amount.value"),
    ({"amount": {"value": 123456789012.123456, "unit": "kWh"}}, "amount.value"),
    ({"amount": {"value": "1" * 16, "unit": "kWh"}}, "amount.value"),
    ({"amount": {"value": "1.1234567891", "unit": "kWh"}}, "amount.value"),
    ({"amount": {"value": "١", "unit": "kWh"}}, "amount.value"),
    ({"amount": {"value": "1", "unit": "Wh"}}, "amount.unit"),
    ({"amount": {"value": "1", "unit": "ZÄR"}}, "amount.unit"),
    ({"amount": {"value": "1", "unit": 710}}, "amount.unit"),
    ({"amount": {"value": "1"}}, "amount.unit"),
    ({"amount": {"value": "1", "unit": "kWh", "currency": "x"}}, "amount"),
    ({"key": {"sgc": "12345"}}, "key.sgc"),
    ({"key": {"krn": 0}}, "key.krn"),
    ({"key": {"vending_key": "00"}}, "key"),
    ({"new_key": []}, "new_key"),
    ({"not_before": "2026-11-21T15:00:00"}, "not_before"),
    ({"not_before": "2026-11-21"}, "not_before"),
    ({"not_before": "tomorrow"}, "not_before"),
    ({"not_before": "1764000000"}, "not_before"),
    ({"not_before": 1764000000}, "not_before"),
    ({"not_before": "2026-13-21T15:00:00Z"}, "not_before"),
    ({"not_before": "0001-01-01T00:00:00+14:00"}, "not_before"),
    ({"not_before": "9999-12-31T23:59:59-14:00"}, "not_before"),
    ({"expires_at": "2026-11-21T15:00:00+25:00"}, "expires_at"),
    ({"expiresAt": "x"}, ""),
    ({"": 1}, ""),
]


async def test_a_wrong_order_is_refused_by_its_field(api: Service) -> None:
    for changes, field in WRONG_ORDERS:
        body = json.dumps({**order_body("A-1"), **changes})
        answered = await api.ask(*ORDER, data=body, headers={"Content-Type": "application/json"})
        assert answered.status == 422, (changes, answered)
        assert field in [error["field"] for error in answered.problem["errors"]], (changes, answered)
    assert (await api.ask("GET", "/v1/orders")).json["orders"] == []


WRONG_OTHERS: list[tuple[tuple[str, str], Any, str]] = [
    (METER_PUT, {}, "endpoint"),
    (METER_PUT, {"endpoint": 1}, "endpoint"),
    (METER_PUT, {"endpoint": ""}, "endpoint"),
    (METER_PUT, {"endpoint": "tcp://h"}, "endpoint"),
    (METER_PUT, {"endpoint": "tcp://h:0"}, "endpoint"),
    (METER_PUT, {"endpoint": "tcp://h:99999"}, "endpoint"),
    (METER_PUT, {"endpoint": "tcp://user:pw@h:1"}, "endpoint"),
    (METER_PUT, {"endpoint": "serial:///dev/ttyS0?baud=9"}, "endpoint"),
    (METER_PUT, {"endpoint": "tcp://h:1/\u0007"}, "endpoint"),
    (METER_PUT, {"endpoint": "tcp://" + "h" * 300 + ":1"}, "endpoint"),
    (METER_PUT, {"profile": "../../etc/passwd"}, "profile"),
    (METER_PUT, {"profile": "none-such"}, "profile"),
    (METER_PUT, {"link": ""}, "link"),
    (METER_PUT, {"link": "a b"}, "link"),
    (METER_PUT, {"client_sap": 0}, "client_sap"),
    (METER_PUT, {"client_sap": "1"}, "client_sap"),
    (METER_PUT, {"client_sap": 1.5}, "client_sap"),
    (METER_PUT, {"client_sap": 2**70}, "client_sap"),
    (METER_PUT, {"endpoint": "hdlc+tcp://h:1", "client_sap": 200}, "client_sap"),
    (METER_PUT, {"server_sap": -1}, "server_sap"),
    (METER_PUT, {"physical": 17}, "physical"),
    (METER_PUT, {"address_bytes": "3"}, "address_bytes"),
    (METER_PUT, {"hdlc_window": 8}, "hdlc_window"),
    (METER_PUT, {"behind": "zz"}, "behind"),
    (METER_PUT, {"gateway_obis": "1.2.3"}, "gateway_obis"),
    (METER_PUT, {"token_encoding": "ascii"}, "token_encoding"),
    (METER_PUT, {"serial": "a\tb"}, "serial"),
    (METER_PUT, {"windows": ["25:00-26:00"]}, "windows"),
    (METER_PUT, {"windows": ["22:00-06:00"] * 11}, "windows"),
    (METER_PUT, {"windows": "22:00-06:00"}, "windows"),
    (METER_PUT, {"time_zone": "Mars/Olympus"}, "time_zone"),
    (METER_PUT, {"time_zone": "/etc/passwd"}, "time_zone"),
    (METER_PUT, {"time_zone": ""}, "time_zone"),
    (METER_PUT, {"description": "x" * 201}, "description"),
    (METER_PUT, {"colour": "red"}, ""),
    (METER_PUT, {"security": None}, "security"),
    (METER_PUT, {"security": {"mechanism": "hls-md5"}}, "security.mechanism"),
    (METER_PUT, {"security": {"mechanism": "lls"}}, "security.mechanism"),
    (METER_PUT, {"security": {"mechanism": "hls-gmac"}}, "security.mechanism"),
    (METER_PUT, {"security": {"suite": 1}}, "security.suite"),
    (METER_PUT, {"security": {"suite": True}}, "security.suite"),
    (METER_PUT, {"security": {"ciphering": "rot13"}}, "security.ciphering"),
    (METER_PUT, {"security": {"protection": "none"}}, "security.protection"),
    (METER_PUT, {"security": {"ek": "00"}}, "security.ek"),
    (METER_PUT, {"security": {"ek": "0" * 65}}, "security.ek"),
    (METER_PUT, {"security": {"ak": "g" * 32}}, "security.ak"),
    (METER_PUT, {"security": {"password": 12345678}}, "security.password"),
    (METER_PUT, {"security": {"client_system_title": "00"}}, "security.client_system_title"),
    (METER_PUT, {"security": {"meter_system_title": "0011223344556677"}}, "security.meter_system_title"),
    (METER_PUT, {"security": {"invocation_counter": 2**32}}, "security.invocation_counter"),
    (METER_PUT, {"security": {"passwort": "x"}}, "security"),
    (METER_PUT, {"sts": {"pan": "1"}}, "sts.pan"),
    (METER_PUT, {"sts": {"krn": 10}}, "sts.krn"),
    (LINK_PUT, {"concurrency": 0}, "concurrency"),
    (LINK_PUT, {"concurrency": "5"}, "concurrency"),
    (LINK_PUT, {"rate_per_second": 0}, "rate_per_second"),
    (LINK_PUT, {"rate_per_second": float("nan")}, "rate_per_second"),
    (LINK_PUT, {"rate_per_second": float("inf")}, "rate_per_second"),
    (LINK_PUT, {"burst": 0}, "burst"),
    (LINK_PUT, {"burst": 10**400}, "burst"),
    (LINK_PUT, {"paused": "yes"}, "paused"),
    (LINK_PUT, {"limit": 1}, ""),
    (WEBHOOK_PUT, {"secret": "short"}, "secret"),
    (WEBHOOK_PUT, {"secret": "s" * 201}, "secret"),
    (WEBHOOK_PUT, {"url": "ftp://h/"}, "url"),
    (WEBHOOK_PUT, {"url": "https://user:pw@example.com/"}, "url"),
    (WEBHOOK_PUT, {"url": "http://example.com/"}, "url"),
    (WEBHOOK_PUT, {"url": "https://10.0.0.1/"}, "url"),
    (WEBHOOK_PUT, {"url": "https://h/" + "x" * 3000}, "url"),
    (WEBHOOK_PUT, {"url": 5}, "url"),
    (WEBHOOK_PUT, {"events": ["everything"]}, "events[0]"),
    (WEBHOOK_PUT, {"events": ["order.accepted"] * 51}, "events"),
    (WEBHOOK_PUT, {"active": 1}, "active"),
    (RESOLVE, {"credited": "maybe"}, "credited"),
    (RESOLVE, {"note": ""}, "note"),
    (RESOLVE, {"note": "x" * 1001}, "note"),
    (RESOLVE, {"note": "a\u0000b"}, "note"),
    (KEY, {"name": ""}, "name"),
    (KEY, {"name": "a\nb"}, "name"),
    (KEY, {"scopes": []}, "scopes"),
    (KEY, {"scopes": ["root"]}, "scopes[0]"),
    (KEY, {"scopes": "read"}, "scopes"),
    (KEY, {"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
    (KEY, {"expires_at": "2030-01-01"}, "expires_at"),
    (ROTATE, {"overlap_seconds": -1}, "overlap_seconds"),
    (ROTATE, {"overlap_seconds": 10**9}, "overlap_seconds"),
    (ROTATE, {"overlap_seconds": 1.5}, "overlap_seconds"),
]
GOOD: dict[tuple[str, str], dict[str, Any]] = {
    METER_PUT: {"endpoint": ENDPOINT},
    LINK_PUT: {"concurrency": 1},
    WEBHOOK_PUT: {"url": "https://example.com/hook", "secret": "s" * 16},
    RESOLVE: {"credited": "yes", "note": "n"},
    KEY: {"name": "n", "scopes": ["read"]},
    ROTATE: {},
}


@pytest.mark.parametrize("call", GOOD, ids=str)
async def test_a_wrong_body_is_refused_by_its_field(api: Service, call: tuple[str, str]) -> None:
    cases = [(changes, field) for about, changes, field in WRONG_OTHERS if about == call]
    assert cases
    for changes, field in cases:
        body = {**GOOD[call], **changes} if changes else {}
        answered = await api.ask(*call, data=json.dumps(body), headers={"Content-Type": "application/json"})
        assert answered.status == 422, (changes, answered)
        assert field in [error["field"] for error in answered.problem["errors"]], (changes, answered)


BAD_QUERIES = [
    "/v1/orders?limit=0",
    "/v1/orders?limit=1001",
    "/v1/orders?limit=ten",
    "/v1/orders?limit=1&limit=2",
    "/v1/orders?limit=",
    "/v1/orders?state=lost",
    "/v1/orders?state=",
    "/v1/orders?state=held,,held",
    "/v1/orders?meter=%00",
    "/v1/orders?reason=%27%20OR%201",
    "/v1/orders?cursor=abc",
    "/v1/orders?cursor=-1",
    "/v1/orders?cursor=99999999999999999999",
    "/v1/orders?colour=red",
    "/v1/meters?cursor=a%20b",
    "/v1/meters?link=",
    "/v1/links?limit=-5",
    "/v1/audit?cursor=1.5",
    "/v1/events?after=-1",
    "/v1/events?after=x",
    "/v1/events?order=a%2Fb",
    "/v1/webhooks/w-1/dead?limit=0",
]


async def test_a_wrong_parameter_is_refused(api: Service) -> None:
    for path in BAD_QUERIES:
        answered = await api.ask("GET", path)
        assert (answered.status, answered.problem["type"]) == (400, "invalid-parameter"), (path, answered)


STRANGE_IDS = [
    ("/v1/meters/a%20b", METER_PUT),
    ("/v1/meters/" + "m" * 65, METER_PUT),
    ("/v1/meters/%00", METER_PUT),
    ("/v1/meters/%FF", METER_PUT),
    ("/v1/links/a%20b", LINK_PUT),
    ("/v1/links/" + "l" * 201, LINK_PUT),
    ("/v1/webhooks/Upper", WEBHOOK_PUT),
]


async def test_an_id_of_another_form_is_refused_where_it_would_be_new(api: Service) -> None:
    for path, call in STRANGE_IDS:
        answered = await api.ask("PUT", path, json=GOOD[call])
        assert (answered.status, answered.problem["type"]) == (400, "invalid-parameter"), (path, answered)


STRANGERS = ("none", "%2F", "%00", "..%2f..", "a" * 3000, "%F0%9F%98%80", "%22%27")
ABOUT_ONE = [route for route in all_routes(metrics_open=False) if "{id}" in route.path and route.method != "PUT"]


async def test_what_is_not_there_is_404_whatever_its_id(api: Service) -> None:
    for route in ABOUT_ONE:
        body = {"json": GOOD[RESOLVE] if route.path.endswith("resolve") else {}} if route.body else {}
        for strange in STRANGERS:
            answered = await api.ask(route.method, route.path.replace("{id}", strange), **body)
            assert (answered.status, answered.problem["type"]) == (404, "not-found"), (route, answered)


@pytest.mark.parametrize("call", [METER_PUT, LINK_PUT, WEBHOOK_PUT], ids=str)
async def test_what_is_put_is_new_once(api: Service, call: tuple[str, str]) -> None:
    path = call[1].rpartition("/")[0] + "/n-1"
    first = await api.ask("PUT", path, json=GOOD[call])
    assert (first.status, first.headers["Location"]) == (201, path)
    assert (await api.ask("PUT", path, json=GOOD[call])).status == 200


async def test_unknown_paths_and_methods_are_problems_too(api: Service) -> None:
    answered = await api.ask("GET", "/v1/nothing")
    assert (answered.status, answered.problem["type"]) == (404, "not-found")
    answered = await api.ask("DELETE", "/v1/orders")
    assert (answered.status, answered.problem["type"], answered.headers["Allow"]) == (
        405,
        "method-not-allowed",
        "GET, POST",
    )
    for method in ("HEAD", "OPTIONS", "PATCH", "TRACE"):
        assert (await api.ask(method, "/v1/orders")).status == 405


async def test_every_problem_says_its_own_status_and_title(api: Service) -> None:
    for path in ("/v1/nothing", "/v1/orders?limit=0", "/v1/orders/none"):
        problem = (await api.ask("GET", path)).problem
        kind = PROBLEMS[problem["type"]]
        assert (problem["status"], problem["title"]) == (kind.status, kind.title)
        assert problem["detail"]


# Bytes.


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[Service]:
    limits = ApiLimits(body_octets_max=2000, request_timeout_seconds=1.0)
    async with service(tmp_path, limits=limits) as running:
        yield running


async def test_a_body_that_says_it_is_too_large_is_refused_unread(strict: Service) -> None:
    answered = await strict.ask(*ORDER, data=b"x" * 2001, headers={"Content-Type": "application/json"})
    assert (answered.status, answered.problem["type"]) == (413, "too-large")


async def test_a_chunked_body_is_refused_where_it_becomes_too_large(strict: Service) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 100

    answered = await strict.ask(*ORDER, data=chunks(), headers={"Content-Type": "application/json"})
    assert (answered.status, answered.problem["type"]) == (413, "too-large")


def _head(service: Service, *lines: str) -> bytes:
    key = service.keys["admin"]
    head = ["POST /v1/orders HTTP/1.1", "Host: h", f"Authorization: Bearer {key}", "Content-Type: application/json"]
    return "\r\n".join([*head, *lines, "", ""]).encode()


async def test_a_body_that_does_not_come_is_408(strict: Service) -> None:
    answered = await strict.raw(_head(strict, "Content-Length: 100") + b'{"id": ')
    assert answered.startswith(b"HTTP/1.1 408 ")
    assert b'"type":"request-timeout"' in answered


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"12345678901234567890\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/1.1\r\nAuthorization 12345678901234567890\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: " + b"1" * 9000 + b"\r\n\r\n", 431),
        (b"GET /" + b"1" * 9000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"POST /v1/orders HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /v1/orders HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ],
)
async def test_what_is_no_http_is_answered_without_an_echo(
    strict: Service, octets: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    answered = await strict.raw(octets)
    head, _, body = answered.partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == str(status).encode(), answered
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == status
    assert b"1234567" not in answered
    assert "1234567" not in caplog.text


async def test_a_chunked_body_that_is_coded_wrongly_is_400(strict: Service) -> None:
    answered = await strict.raw(_head(strict, "Transfer-Encoding: chunked") + b'5\r\n{"id"\r\nnonsense\r\n\r\n')
    assert answered.split(b" ")[1] == b"400"


async def test_a_caller_that_hangs_up_in_its_body_leaves_the_others_alone(strict: Service) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", strict.port)
    writer.write(_head(strict, "Content-Length: 100") + b'{"id": ')
    await writer.drain()
    writer.close()
    assert (await strict.order("A-1")).status == 202


# Nothing is echoed.

TOKEN, EK, PASSWORD = credit(123456), "0F1E2D3C4B5A69788796A5B4C3D2E1F0", "corr3ct-h0rse"
SPELLINGS = (TOKEN, EK, PASSWORD, f"{TOKEN[:4]} {TOKEN[4:8]} {TOKEN[8:12]} {TOKEN[12:16]} {TOKEN[16:]}")
BODIES: dict[tuple[str, str], list[str]] = {
    # Not its id: that is a name, and shown wherever the order is. An order whose id holds its own token is refused.
    ORDER: ["meter", "tokens", "kind", "amount", "priority", "key", "new_key", "not_before", "expires_at"],
    METER_PUT: [
        *("endpoint", "profile", "link", "client_sap", "physical", "address_bytes", "behind", "gateway_obis"),
        *("token_encoding", "serial", "windows", "time_zone", "description", "security", "sts"),
    ],
    LINK_PUT: ["concurrency", "rate_per_second", "burst", "paused"],
    WEBHOOK_PUT: ["url", "secret", "events", "active"],
    RESOLVE: ["credited", "note"],
    KEY: ["name", "scopes", "expires_at"],
    ROTATE: ["overlap_seconds"],
}
INNER = ("value", "unit", "sgc", "krn", "mechanism", "ciphering", "suite", "protection", "ek", "ak", "pan", "token")


@pytest.mark.parametrize("call", BODIES, ids=str)
async def test_a_secret_in_the_wrong_field_is_never_answered(
    api: Service, call: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    asked = 0
    for secret in SPELLINGS:
        shapes: list[Any] = [secret, [secret], {secret: secret}, *({name: secret} for name in INNER)]
        shapes += [f"tcp://{secret.replace(' ', '')}:1", f"tcp://h:1?{secret.replace(' ', '')}=1", f"{secret}\u0001"]
        bodies = [{**GOOD.get(call, order_body("A-1")), field: shape} for field in BODIES[call] for shape in shapes]
        bodies.append({**GOOD.get(call, order_body("A-1")), secret: 1})
        for body in bodies:
            answered = await api.ask(*call, json=body)
            if answered.status >= 400:
                asked += 1
                for spelling in SPELLINGS:
                    assert spelling.encode() not in answered.octets, body
                assert TOKEN[:16].encode() not in answered.octets, body
    assert asked > len(BODIES[call]) * len(SPELLINGS)
    assert not [spelling for spelling in SPELLINGS if spelling in caplog.text]


async def test_a_secret_in_a_path_parameter_or_header_is_never_answered(api: Service) -> None:
    for secret in (TOKEN, EK, PASSWORD):
        for path in (f"/v1/orders/{secret}", f"/{secret}", f"/v1/orders?cursor=x{secret}", f"/v1/orders?{secret}=1"):
            answered = await api.ask("GET", path)
            assert answered.status in (400, 404)
            assert secret.encode() not in answered.octets
        for header in (f"Bearer {secret}", f"Basic {secret}", secret):
            answered = await api.ask("GET", "/v1/orders", scope=None, headers={"Authorization": header})
            assert answered.status == 401
            assert secret.encode() not in answered.octets
