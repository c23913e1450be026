"""The message to a webhook, its signature, where it may go, and what follows from an answer."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as some

from cosem_objects.errors import SettingError
from gateway.orders import Amount, OrderKind, OrderState, Priority
from gateway.store.records import EventRecord, OrderRecord, TokenRecord
from gateway.verdict import Credited, Outcome
from gateway.webhooks.message import SIGNATURE, check_installation, encode, envelope, headers, secrets_of, verify
from gateway.webhooks.retry import Answer, Fate, RetryRule, decide
from gateway.webhooks.target import TargetRule, check_url, names_this_machine, refusal

NOW = datetime(2026, 11, 21, 14, 3, 7, 123456, tzinfo=UTC)
SECRET, OTHER = "correct-horse-battery", "staple-of-another-kind"
EVENT = EventRecord(
    number=42,
    order="A-1",
    meter="M-1",
    at=NOW,
    name="order.rejected",
    position=0,
    details={"text": "…0686 REJECTED; used"},
)
ORDER = OrderRecord(
    number=7,
    id="A-1",
    meter="M-1",
    priority=Priority.CREDIT,
    state=OrderState.REJECTED,
    reason="used",
    maybe_delivered=True,
    created_at=NOW,
    changed_at=NOW,
    due_at=None,
    not_before=None,
    expires_at=None,
    attempts=0,
    doubts=0,
    key=None,
    new_key=None,
    tokens=(
        TokenRecord(
            position=0,
            masked="…0686",
            kind=OrderKind.CREDIT,
            amount=Amount(Decimal("25.60"), "kWh"),
            tries=1,
            verdict=Outcome.REJECTED,
            credited=Credited.UNKNOWN,
            status_code=6,
            reason="used",
            evidence=None,
            details={"balance_before": "0.0"},
        ),
        TokenRecord(position=1, masked="…1234", kind=OrderKind.CREDIT),
    ),
)


# The message.


def test_the_message_is_a_cloud_event_with_what_a_vending_system_needs() -> None:
    assert json.loads(encode(envelope(EVENT, ORDER, "north"))) == {
        "specversion": "1.0",
        "id": "north/42",
        "source": "urn:stsgate:north",
        "type": "stsgate.order.rejected",
        "subject": "A-1",
        "time": "2026-11-21T14:03:07.123Z",
        "datacontenttype": "application/json",
        "sequence": "00000000000000000042",
        "data": {
            "id": "A-1",
            "meter": "M-1",
            "state": "rejected",
            "reason": "used",
            "maybe_delivered": True,
            "text": "…0686 REJECTED; used",
            "tokens": [
                {
                    "token": "…0686",
                    "kind": "credit",
                    "amount": {"value": "25.60", "unit": "kWh"},
                    "verdict": "rejected",
                    "credited": "unknown",
                    "status_code": 6,
                    "reason": "used",
                    "evidence": None,
                },
                {
                    "token": "…1234",
                    "kind": "credit",
                    "amount": None,
                    "verdict": None,
                    "credited": None,
                    "status_code": None,
                    "reason": None,
                    "evidence": None,
                },
            ],
        },
    }


def test_the_same_message_is_always_the_same_octets() -> None:
    message = envelope(EVENT, ORDER, "north")
    assert encode(message) == encode({name: message[name] for name in reversed(list(message))})


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 65, "-a", "a/b", "a\n"])
def test_an_installation_needs_a_name_that_can_stand_in_a_message(name: str) -> None:
    with pytest.raises(SettingError, match="installation: expected"):
        check_installation(name)


# The signature.


@pytest.mark.parametrize("body", [b"", b"{}", b'{"data":"\xe2\x80\xa60686"}', bytes(range(256))])
def test_openssl_finds_the_same_signature(body: bytes) -> None:
    signed = headers(body, SECRET, 1, NOW)[SIGNATURE]
    seconds = str(int(NOW.timestamp()))
    told = subprocess.run(
        ["openssl", "dgst", "-sha256", "-hmac", SECRET, "-r"],  # noqa: S607 - wherever the system has it
        input=f"{seconds}.".encode() + body,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert signed == f"t={seconds},v1={told.stdout.split()[0].decode()}"


def test_what_was_signed_is_verified_under_any_spelling_of_the_header() -> None:
    signed = headers(b"{}", SECRET, 1, NOW)
    assert verify(signed, b"{}", SECRET, NOW)
    assert verify({SIGNATURE.upper(): signed[SIGNATURE]}, b"{}", SECRET, NOW)
    assert verify({SIGNATURE: signed[SIGNATURE].replace(",", ", ")}, b"{}", SECRET, NOW)


@pytest.mark.parametrize(
    ("header", "body", "secret", "late"),
    [
        pytest.param(None, b'{"a":2}', SECRET, 0, id="another body"),
        pytest.param(None, b'{"a":1} ', SECRET, 0, id="one blank more"),
        pytest.param(None, b'{"a":1}', OTHER, 0, id="another secret"),
        pytest.param(None, b'{"a":1}', SECRET, 302, id="too old"),
        pytest.param(None, b'{"a":1}', SECRET, -301, id="from the future"),
        pytest.param("", b'{"a":1}', SECRET, 0, id="no header"),
        pytest.param("t={later},v1={hex}", b'{"a":1}', SECRET, 0, id="another time"),
        pytest.param("t={now},t={now},v1={hex}", b'{"a":1}', SECRET, 0, id="two times"),
        pytest.param("v1={hex}", b'{"a":1}', SECRET, 0, id="no time"),
        pytest.param("t={now},v0={hex}", b'{"a":1}', SECRET, 0, id="another scheme"),
        pytest.param("t={now},v1=", b'{"a":1}', SECRET, 0, id="an empty signature"),
        pytest.param("t={now},v1={half}", b'{"a":1}', SECRET, 0, id="half a signature"),
        pytest.param("t=-{now},v1={hex}", b'{"a":1}', SECRET, 0, id="a negative time"),
    ],
)
def test_what_was_tampered_with_is_not_verified(header: str | None, body: bytes, secret: str, late: int) -> None:
    signed = headers(b'{"a":1}', SECRET, 1, NOW)
    if header is not None:
        signature, seconds = signed[SIGNATURE].partition("v1=")[2], int(NOW.timestamp())
        text = header.format(now=seconds, later=seconds + 1, hex=signature, half=signature[:32])
        signed = {SIGNATURE: text}
    assert not verify(signed, body, secret, NOW + timedelta(seconds=late))


def test_while_secrets_change_both_are_good() -> None:
    signed = headers(b"{}", f"{SECRET} {OTHER}", 1, NOW)
    assert signed[SIGNATURE].count("v1=") == 2
    assert verify(signed, b"{}", SECRET, NOW)
    assert verify(signed, b"{}", OTHER, NOW)
    assert not verify(signed, b"{}", f"{SECRET} {OTHER}", NOW)


@pytest.mark.parametrize(
    "text",
    ["", "short", "x" * 201, f"{SECRET} ", f"{SECRET}  {OTHER}", f"{SECRET} {OTHER} {SECRET}", "é" * 16, "\t" * 16],
)
def test_a_secret_that_is_none_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(SettingError, match="secret: expected 16 to 200") as refused:
        secrets_of(text)
    assert not text.strip() or text not in str(refused.value)


@given(some.dictionaries(some.sampled_from([SIGNATURE, "X"]), some.text()), some.binary())
def test_no_header_disturbs_the_receiver(received: dict[str, str], body: bytes) -> None:
    assert not verify(received, body, SECRET, NOW)


# Where it may go.

STRICT, OPEN = TargetRule(), TargetRule(allow_http=True, allow_private_addresses=True)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "expected https"),
        ("hooks.example", "expected https"),
        ("ftp://hooks.example/", "expected https"),
        ("file:///etc/passwd", "expected https"),
        ("https:///path", "expected https"),
        ("https://hooks.example:0/", "expected https"),
        ("https://hooks.example:65536/", "expected https"),
        ("https://[::1/", "expected https"),
        ("https://hooks.example/a b", "without blanks"),
        ("https://hooks.example/ä", "printable ASCII"),
        ("https://hooks.example/\r\nX: y", "printable ASCII"),
        ("https://hooks.example/" + "x" * 2000, "at most 2000"),
        ("https://user:hunter2@hooks.example/", "no user and password"),
        ("https://@hooks.example/", "no user and password"),
        ("https://hooks.example/#here", "no fragment"),
        ("http://hooks.example/", "https is needed"),
        ("http://8.8.8.8/", "https is needed"),
        ("http://localhost.example/", "https is needed"),
        ("https://10.0.0.1/", "not public"),
        ("https://169.254.169.254/latest", "not public"),
        ("https://[fe80::1]/", "not public"),
        ("https://[::ffff:10.0.0.1]/", "not public"),
        ("https://0.0.0.0/", "not public"),
        ("https://224.0.0.1/", "multicast"),
        ("https://2130706433/", "cannot be read"),
        ("https://127.1/", "cannot be read"),
    ],
)
def test_a_url_that_leads_astray_is_refused_and_not_repeated(url: str, words: str) -> None:
    with pytest.raises(SettingError, match=words) as refused:
        check_url(url, STRICT)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example/a/b?key=1",
        "HTTPS://HOOKS.EXAMPLE:8443",
        "https://8.8.8.8/",
        "https://[2001:4860:4860::8888]/",
        "http://localhost:8080/hook",
        "http://127.0.0.1:8080/",
        "http://[::1]:8080/",
    ],
)
def test_a_public_url_or_this_machine_named_as_such_is_taken(url: str) -> None:
    assert check_url(url, STRICT).scheme in url.lower()


def test_what_the_settings_allow_is_taken() -> None:
    assert check_url("http://10.0.0.1/", OPEN).host == "10.0.0.1"
    with pytest.raises(SettingError, match="not public"):
        check_url("http://10.0.0.1/", TargetRule(allow_http=True))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),  # noqa: S104
        *("255.255.255.255", "198.18.0.1", "192.0.2.1", "240.0.0.1", "::", "::1", "fe80::1%eth0", "fd00::1"),
        *("::ffff:127.0.0.1", "::ffff:192.168.1.1", "::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::"),
        *("2001:db8::1", "2001:0:808:808:0:0:f5ff:fffe", "nonsense"),
    ],
)
def test_no_connection_goes_to_an_address_that_is_not_public(address: str) -> None:
    assert refusal(address, "hooks.example", STRICT) is not None


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_connections_go_to_public_addresses(address: str) -> None:
    assert refusal(address, "hooks.example", STRICT) is None


def test_loopback_is_reached_under_its_own_name_only() -> None:
    assert names_this_machine("localhost")
    assert refusal("127.0.0.1", "localhost", STRICT) is None
    assert refusal("127.0.0.1", "hooks.example", STRICT) is not None
    assert refusal("10.0.0.1", "localhost", STRICT) is not None


# What follows from an answer.


def _decide(answer: Answer, attempts: int = 0) -> tuple[Fate, float | None, float | None]:
    """The fate, and the seconds to the next try and of the pause."""
    decision = decide(answer, attempts, RetryRule(), NOW, 0.5)
    return decision.fate, _seconds_to(decision.due_at), _seconds_to(decision.pause_until)


def _seconds_to(moment: datetime | None) -> float | None:
    return None if moment is None else (moment - NOW).total_seconds()


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_delivered(status: int) -> None:
    assert _decide(Answer(status=status), attempts=99) == (Fate.DELIVERED, None, None)


@pytest.mark.parametrize(
    "status", [100, 199, 300, 301, 304, 307, 308, 400, 401, 403, 404, 408, 409, 429, 500, 502, 503]
)
def test_every_other_answer_is_tried_again_until_the_tries_are_used_up(status: int) -> None:
    fate, due, pause = _decide(Answer(status=status))
    assert (fate, pause) == (Fate.RETRY, None)
    assert due is not None
    assert 15 <= due <= 30
    assert _decide(Answer(status=status), attempts=13)[0] is Fate.RETRY
    assert _decide(Answer(status=status), attempts=14) == (Fate.DEAD, None, None)


def test_no_answer_is_tried_again_and_its_words_kept() -> None:
    decision = decide(Answer(error="no connection"), 0, RetryRule(), NOW, 0.5)
    assert (decision.fate, decision.error) == (Fate.RETRY, "no connection")


def test_gone_is_not_tried_again() -> None:
    assert _decide(Answer(status=410)) == (Fate.GONE, None, None)


def test_all_tries_together_take_one_to_two_days_and_a_bit() -> None:
    for seed in range(50):
        rng = Random(seed)
        waits = [decide(Answer(status=500), attempts, RetryRule(), NOW, rng.random()).due_at for attempts in range(14)]
        hours = sum((due - NOW).total_seconds() for due in waits if due) / 3600
        assert 26 < hours < 54, f"seed {seed}"


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (429, "120", 120),
        (503, "120", 120),
        (503, "5", 5),
        (429, "999999", 3600),
        (429, "Sat, 21 Nov 2026 14:13:07 GMT", 600 - 0.123456),
        (429, "Sat, 21 Nov 2026 14:13:07 -0000", 600 - 0.123456),
        (429, "Sat, 21 Nov 2026 16:13:07 +0200", 600 - 0.123456),
        (503, "Sun, 06 Nov 1994 08:49:37 GMT", None),
        (503, "0", None),
        (503, "-5", None),
        (503, "soon", None),
        (503, "1e9", None),
        (503, "9" * 5000, None),
        (500, "120", None),
        (400, "120", None),
    ],
)
def test_a_receiver_that_asks_for_quiet_gets_it_within_limits(status: int, header: str, seconds: float | None) -> None:
    fate, due, pause = _decide(Answer(status=status, retry_after=header))
    assert (fate, pause) == (Fate.RETRY, seconds)
    assert due is not None
    assert due >= (seconds or 0)


@given(some.text() | some.from_regex(r"\w{3}, \d\d? \w{3} \d{1,6} \d\d:\d\d:\d\d [+-]?\w{1,9}", fullmatch=True))
def test_no_retry_after_disturbs_the_sender(header: str) -> None:
    fate, due, _ = _decide(Answer(status=503, retry_after=header))
    assert fate is Fate.RETRY
    assert due is not None
    assert 15 <= due <= 3600
