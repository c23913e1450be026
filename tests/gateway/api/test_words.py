"""What a caller got wrong is told in words of ours: what was expected, for whom it is meant, and not twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from gateway.api.expected import PATTERN_WORDS
from gateway.api.fields import looks_like_token
from gateway.api.openapi import document
from gateway.api.problems import encode
from gateway.api.routes import all_routes
from gateway.api.webhooks import EVENT_NAMES
from gateway.orders import Change, IllegalChange, OrderState
from tests.gateway.api.service import ENDPOINT, METER, Answered, Service, credit, order_body
from tests.gateway.api.test_bad_requests import GOOD, WRONG_ORDERS, WRONG_OTHERS

HOOK = {"url": "https://example.com/hook", "secret": "s" * 16}
FOREIGN = ("should", "after validation", "input", "pattern", "is not possible", "valid ", "Field ", "extra ")
"""Words that pydantic and our own table of transitions use, and callers do not."""


def _errors(answered: Answered) -> dict[str, str]:
    assert answered.status == 422, answered
    return {error["field"]: error["message"] for error in answered.problem["errors"]}


async def test_no_words_of_a_library_are_told(api: Service) -> None:
    cases = [(("POST", "/v1/orders"), {**order_body("A-1"), **changes}) for changes, _ in WRONG_ORDERS]
    cases += [(call, {**GOOD[call], **changes}) for call, changes, _ in WRONG_OTHERS]
    told = 0
    for call, body in cases:
        answered = await api.ask(*call, data=json.dumps(body), headers={"Content-Type": "application/json"})
        for message in _errors(answered).values() if answered.status == 422 else ():
            told += 1
            assert not [word for word in FOREIGN if word in message], (call, body, message)
    assert told > 100


WORDS: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"tokens": []}, {"tokens": "at least 1 item is expected"}),
    ({"tokens": ["1"]}, {"tokens[0]": "a token is 20 decimal digits; 1 were given"}),
    ({"tokens": [credit(1), "x"]}, {"tokens[1]": "a token is 20 decimal digits; other characters were given"}),
    ({"priority": "urgent"}, {"priority": "credit, operator or campaign is expected"}),
    (
        {"id": "a b"},
        {"id": "letters, digits and . _ : @ + = - are expected, a letter or digit first, at most 100"},
    ),
    ({"colour": "red"}, {"": "there is no field colour"}),
    ({"tokenz": "red"}, {"": "there is no field tokenz; did you mean tokens?"}),
    ({"expiresAt": "x"}, {"": "there is no field of this name (not shown); did you mean expires_at?"}),
    ({"ABCDEF0123": "x"}, {"": "there is no field of this name (not shown)"}),
    ({"abcdef" * 5: "x"}, {"": "there is no field of this name (not shown)"}),
    ({"amount": {"value": 1, "unit": "kWh", "vat": 1}}, {"amount": "there is no field vat"}),
    ({"amount": {"value": 1, "unit": "kWh", "unitz": 1}}, {"amount": "there is no field unitz; did you mean unit?"}),
    ({"tokens": [{"token": credit(1), "tokenz": 1}]}, {"tokens[0]": "there is no field tokenz; did you mean token?"}),
]


@pytest.mark.parametrize(("changes", "errors"), WORDS, ids=str)
async def test_what_is_wrong_with_an_order_is_told_once_and_in_words(
    api: Service, changes: dict[str, Any], errors: dict[str, str]
) -> None:
    assert _errors(await api.order("A-1", **changes)) == errors


def _patterns(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("pattern"), str):
            yield value["pattern"]
        for inner in value.values():
            yield from _patterns(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _patterns(inner)


def test_every_pattern_of_the_document_has_words() -> None:
    explained_elsewhere = {
        "^-?[0-9]{1,15}(\\.[0-9]{1,9})?$",
        "^([kK][wW][hH]|[mM]3|[A-Za-z]{3})$",
        "^[0-9]{4}([ -]?[0-9]{4}){4}$",
    }
    patterns = set(_patterns(document(all_routes(metrics_open=False), "0")))
    assert patterns - explained_elsewhere == set(PATTERN_WORDS)


@pytest.mark.parametrize("profile", ["config/meter_profiles/default.toml", "/etc/passwd", "a b"])
async def test_a_profile_is_a_name(api: Service, profile: str) -> None:
    answered = await api.ask("PUT", f"/v1/meters/{METER}", json={"endpoint": ENDPOINT, "profile": profile})
    words = "the name of a meter profile is expected, not a path: letters, digits and . _ -, at most 64"
    assert _errors(answered) == {"profile": words}


async def test_a_meter_id_of_another_form_is_told_what_it_may_hold(api: Service) -> None:
    problem = (await api.ask("PUT", "/v1/meters/a%20b", json={"endpoint": ENDPOINT})).problem
    words = "the id in the path: letters, digits and . _ : - are expected, a letter or digit first, at most 64"
    assert problem["detail"] == words


# An order that cannot be changed.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("resolve", "the order is cancelled; only a held order can be resolved"),
        ("reconcile", "the order is cancelled; only an order that is in doubt or held can be reconciled"),
    ],
)
async def test_a_change_that_is_refused_is_called_as_it_was_asked_for(api: Service, change: str, words: str) -> None:
    await api.order("A-1")
    await api.ask("POST", "/v1/orders/A-1/cancel")
    for credited in ("yes", "no", "retry"):
        body = {"json": {"credited": credited, "note": "seen"}} if change == "resolve" else {}
        assert (await api.ask("POST", f"/v1/orders/A-1/{change}", **body)).problem["detail"] == words


async def test_an_order_that_may_have_been_delivered_says_so_when_it_is_cancelled(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: str, *, who: str) -> None:
        raise IllegalChange(OrderState.HELD, Change.CANCEL, maybe_delivered=True)

    monkeypatch.setattr(api.store.orders, "cancel", refuse)
    problem = (await api.ask("POST", "/v1/orders/A-1/cancel")).problem
    assert problem["detail"] == "the order is held, but may have been delivered: it can no longer be cancelled"


async def test_an_order_in_doubt_is_not_said_to_be_in_underscore_doubt(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, who: str) -> None:
        raise IllegalChange(OrderState.IN_DOUBT, Change.REJECT, maybe_delivered=True)

    monkeypatch.setattr(api.store.orders, "resolve", refuse)
    problem = (await api.ask("POST", "/v1/orders/A-1/resolve", json={"credited": "no", "note": "n"})).problem
    assert problem["detail"] == "the order is in doubt; only a held order can be resolved"


# Tokens in ids.

TOKEN = credit(123456)
LIKE_TOKENS = [
    TOKEN,
    f"r-{TOKEN}",
    f"{TOKEN}.1",
    "-".join(TOKEN[place : place + 4] for place in range(0, 20, 4)),
    "0" * 25,
]
NO_TOKENS = [
    "600727000000000009",
    "20261121T120000.123456",
    "2026-11-21-0000000001",
    "83104a1e-7216-4096-9127-012345678901",
    "831041e7721640969127012345678901".replace("e", "c"),
    "order-83104016-7216-4096-9127-01234567890a",
]


@pytest.mark.parametrize("given", LIKE_TOKENS)
async def test_an_id_that_looks_like_a_token_is_refused(api: Service, given: str) -> None:
    words = "20 digits in a row look like a token; an id stands in logs and URLs, where a token must not be"
    order = await api.order("A-1", id=given)
    meter = await api.ask("PUT", f"/v1/meters/{given}", json={"endpoint": ENDPOINT})
    for answered in (order, meter):
        assert _errors(answered) == {"id": words}
        assert TOKEN[4:16].encode() not in answered.octets
    assert (await api.ask("GET", "/v1/orders")).json["orders"] == []


@pytest.mark.parametrize("given", NO_TOKENS)
async def test_an_id_with_many_digits_is_taken_where_no_token_looks_like_it(api: Service, given: str) -> None:
    assert not looks_like_token(given)
    assert (await api.order("A-1", id=given)).status == 202


async def test_a_token_that_is_dressed_up_as_a_uuid_is_refused_in_its_order(api: Service) -> None:
    given = "57696296-6459-8441-8885-a00000000000"
    assert not looks_like_token(given)
    assert list(_errors(await api.order("A-1", id=given, tokens=["57696296645984418885"]))) == ["id"]


# Webhooks.


async def test_an_event_that_does_not_exist_is_refused_with_those_that_do(api: Service) -> None:
    answered = await api.ask("PUT", "/v1/webhooks/w-1", json={**HOOK, "events": ["order.held", "order.settled"]})
    errors = _errors(answered)
    assert list(errors) == ["events[1]"]
    for name in EVENT_NAMES:
        assert name in errors["events[1]"]
    assert (await api.ask("PUT", "/v1/webhooks/w-1", json={**HOOK, "events": [*EVENT_NAMES]})).status == 201


@pytest.mark.parametrize("secret", [f"{'a' * 200} {'b' * 200}", "a" * 16, f"{'a' * 16} {'b' * 16}"])
async def test_a_secret_can_be_two_for_a_rotation(api: Service, secret: str) -> None:
    assert (await api.ask("PUT", "/v1/webhooks/w-1", json={**HOOK, "secret": secret})).status == 201


SECRETS = [
    ("short", "at least 16 characters are expected"),
    ("a" * 402, "at most 401 characters are expected"),
    *(
        (secret, "expected 16 to 200 printable ASCII characters, or two of these with one blank between them")
        for secret in ("a" * 201, "ä" * 16, "a" * 16 + " short", "a" * 16 + "  " + "b" * 16, "a" * 16 + "\n")
    ),
]


@pytest.mark.parametrize(("secret", "words"), SECRETS)
async def test_a_secret_that_cannot_sign_is_refused(api: Service, secret: str, words: str) -> None:
    answered = await api.ask("PUT", "/v1/webhooks/w-1", json={**HOOK, "secret": secret})
    assert _errors(answered) == {"secret": words}
    assert secret.encode() not in answered.octets


# One JSON.


async def test_all_json_is_utf_8_and_says_so(api: Service) -> None:
    await api.order("A-1")
    conflict = await api.order("A-2", tokens=order_body("A-1")["tokens"])
    assert "token …".encode() in conflict.octets
    taken, shown = await api.order("A-3"), await api.ask("GET", "/v1/orders/A-1")
    row = json.dumps(order_body("A-4", tokens=order_body("A-1")["tokens"]))
    batch = await api.ask("POST", "/v1/orders:batch", data=row, headers={"Content-Type": "application/x-ndjson"})
    for answered in (conflict, taken, shown, batch):
        assert "…".encode() in answered.octets
        assert b"\\u" not in answered.octets
        assert answered.headers["Content-Type"].endswith("json; charset=utf-8")
    document_ = await api.ask("GET", "/openapi.json")
    assert "…".encode() in document_.octets
    assert document_.headers["Content-Type"] == "application/json; charset=utf-8"


def test_half_a_character_is_no_reason_to_fail() -> None:
    assert encode({"path": "/data/\udcff", "text": "…"}) == '{"path":"/data/?","text":"…"}'.encode()
