"""What the attributes of a meter say, in words and in JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import DataAccessResult
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.payment import Currency, CurrencyUnit
from cosem_objects.profile import MeterProfile, TokenReadback
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import DataValueMap, TokenEncoding, TokenStatus
from gateway.reading import report_sections
from gateway.reading.last_token import last_token
from gateway.reading.report_sections import SectionKind
from gateway.reading.report_values import Said, Surroundings, said_moment
from tests.cosem_objects.strategies import data_objects

KWH = Surroundings(MeterProfile(), Currency("kWh", -1, CurrencyUnit.CONSUMPTION))
ZAR = Surroundings(MeterProfile(), Currency("ZAR", -2, CurrencyUnit.MONETARY))
UNKNOWN = Surroundings(MeterProfile())
KINDS = {kind.name: kind for kind in vars(report_sections).values() if isinstance(kind, SectionKind)}
CREDIT_REF, CHARGE_REF = (axdr.octet_string(bytes.fromhex(name)) for name in ("0000130A00FF", "0000131400FF"))
PARIS = "07EA0B15060E030700FFC400"


def said(section: str, attribute: int, data: Data, around: Surroundings = KWH) -> Said:
    (row,) = [row for row in KINDS[section].rows if row.attribute == attribute]
    return row.meaning(data, around)


CASES: list[tuple[str, int, Data, str, object]] = [
    ("clock", 2, axdr.octet_string(bytes.fromhex(PARIS)), "2026-11-21 14:03:07 +01:00", "2026-11-21T14:03:07+01:00"),
    ("account", 4, axdr.bit_string("10100000"), "in credit, next credit enabled", ["in_credit", "next_credit_enabled"]),
    ("account", 4, axdr.bit_string("00000000"), "none", []),
    ("account", 4, axdr.bit_string("0000000001"), "bit 9", ["bit 9"]),
    ("account", 5, axdr.double_long(256), "25.6 kWh", "25.6"),
    ("account", 5, axdr.double_long(-5), "-0.5 kWh", "-0.5"),
    ("account", 10, axdr.array(CHARGE_REF), "0-0:19.20.0.255", ["0-0:19.20.0.255"]),
    (
        "account",
        11,
        axdr.array(axdr.structure(CREDIT_REF, CHARGE_REF, axdr.bit_string("101"))),
        "0-0:19.20.0.255 is paid from 0-0:19.10.0.255 (collect when disconnected, collect in friendly credit)",
        [
            {
                "credit_reference": "0-0:19.10.0.255",
                "charge_reference": "0-0:19.20.0.255",
                "collection_configuration": ["collect_when_disconnected", "collect_in_friendly_credit"],
            }
        ],
    ),
    ("sts", 5, axdr.unsigned(7), "07", "07"),
    ("sts", 6, axdr.double_long_unsigned(1457), "001457", "001457"),
    ("sts", 9, axdr.unsigned(0), "0 (initialisation)", 0),
    ("sts", 9, axdr.unsigned(4), "4 (unknown)", 4),
    ("credits", 8, axdr.enum(3), "in use", "in-use"),
    ("credits", 8, axdr.enum(9), "unknown (9)", "unknown (9)"),
    (
        "credits",
        7,
        axdr.bit_string("00101"),
        "to be paid back, may receive token amounts",
        ["to_be_paid_back", "may_receive_token_amounts"],
    ),
    ("charges", 3, axdr.enum(2), "payment event based", "payment-event-based"),
    ("charges", 13, axdr.long_unsigned(2500), "25 % of each payment", 2500),
    ("charges", 13, axdr.long_unsigned(1250), "12.5 % of each payment", 1250),
    ("charges", 13, axdr.long_unsigned(10_000), "100 % of each payment", 10_000),
    (
        "charges",
        5,
        axdr.structure(
            axdr.structure(axdr.integer(3), axdr.integer(-2)),
            axdr.structure(axdr.long_unsigned(3), axdr.octet_string(bytes.fromhex("0100010800FF")), axdr.integer(2)),
            axdr.array(axdr.structure(axdr.octet_string(b"\1"), axdr.long(125))),
        ),
        "1.25 kWh (index 01) for 10^3 of class 3 1-0:1.8.0.255 attribute 2",
        {
            "commodity_scale": 3,
            "price_scale": -2,
            "commodity": {"class_id": 3, "obis": "1-0:1.8.0.255", "attribute": 2},
            "charge_table": [{"index": "01", "charge_per_unit": 125}],
        },
    ),
    ("disconnect_control", 2, axdr.boolean(False), "disconnected", False),
    ("disconnect_control", 3, axdr.enum(2), "ready for reconnection", "ready-for-reconnection"),
    (
        "association",
        4,
        axdr.octet_string(bytes.fromhex("60857405080103")),
        "logical name ciphered",
        "logical-name-ciphered",
    ),
    ("association", 6, axdr.octet_string(bytes.fromhex("60857405080205")), "hls-gmac", "hls-gmac"),
    ("association", 6, axdr.structure(*map(axdr.unsigned, (2, 16, 5, 8, 2, 1))), "lls", "lls"),
    ("association", 6, axdr.octet_string(bytes.fromhex("60857405080105")), "unknown (-1)", "unknown (-1)"),
    ("association", 9, axdr.octet_string(bytes(6)), "none", None),
    ("security_setup", 2, axdr.enum(0), "none", []),
    (
        "security_setup",
        2,
        axdr.enum(2),
        "encrypted request, encrypted response",
        ["encrypted_request", "encrypted_response"],
    ),
    (
        "security_setup",
        2,
        axdr.enum(0x24),
        "authenticated request, authenticated response",
        ["authenticated_request", "authenticated_response"],
    ),
    ("security_setup", 3, axdr.enum(2), "2 (aes-gcm-256-ecdsa-p-384)", 2),
    (
        "push_setup",
        3,
        axdr.structure(axdr.enum(0), axdr.octet_string(b"10.0.0.1:4059"), axdr.enum(0)),
        "tcp, to 10.0.0.1:4059, as a-xdr-encoded-xdlms-apdu",
        {"transport_service": "tcp", "destination": "10.0.0.1:4059", "message": "a-xdr-encoded-xdlms-apdu"},
    ),
]


@pytest.mark.parametrize(("section", "attribute", "data", "words", "for_programs"), CASES)
def test_an_attribute_says(section: str, attribute: int, data: Data, words: str, for_programs: object) -> None:
    assert said(section, attribute, data) == Said(words, for_programs)  # type: ignore[arg-type]


def test_an_amount_is_in_the_accounts_currency_and_raw_without_one() -> None:
    assert said("account", 5, axdr.double_long(256), ZAR) == Said("2.56 ZAR", "2.56")
    assert said("account", 5, axdr.double_long(256), UNKNOWN) == Said("256 (raw, the currency is not known)", "256")


def test_the_context_info_never_shows_its_dedicated_key() -> None:
    key = bytes(range(16))
    numbers = (axdr.long_unsigned(500), axdr.long_unsigned(0), axdr.unsigned(6), axdr.integer(0))
    info = said("association", 5, axdr.structure(axdr.bit_string("0" * 19 + "10001"), *numbers, axdr.octet_string(key)))
    assert info.words == "PDU up to 500 octets in, 0 out; get, action"
    assert key.hex() not in f"{info}".lower()
    assert repr(key) not in f"{info}"


@pytest.mark.parametrize(
    ("octets", "sign", "words", "for_programs"),
    [
        (PARIS, -1, "2026-11-21 14:03:07 -01:00", "2026-11-21T14:03:07-01:00"),
        ("07EA0B15060E030700800000", 1, "2026-11-21 14:03:07", "2026-11-21T14:03:07"),
        ("07EA0B15060E030700014A00", 1, "2026-11-21 14:03:07 -05:30", "2026-11-21T14:03:07-05:30"),
        ("FFFFFFFFFFFFFFFFFF8000FF", 1, "not set", None),
        ("", 1, "not set", None),
        ("FFFF0B15FF0EFFFFFF8000FF", 1, "****-11-21 14:**:**", "****-11-21T14:**:**"),
    ],
)
def test_a_time_is_shown_with_the_zone_it_has(octets: str, sign: int, words: str, for_programs: str | None) -> None:
    assert said_moment(bytes.fromhex(octets), sign) == Said(words, for_programs)


@given(data_objects)
def test_whatever_a_meter_sends_is_said_or_refused(data: Data) -> None:
    for kind in KINDS.values():
        for row in kind.rows:
            for around in (KWH, UNKNOWN):
                try:
                    shown = row.meaning(data, around)
                except RemoteProtocolError:
                    continue
                assert json.loads(json.dumps(shown.json)) == shown.json


# The last token.

TOKEN = Token.parse("48643202781314010686")


def line(profile: MeterProfile, octets: bytes, status: TokenStatus, time: str = PARIS, method: int = 0) -> str:
    return facts(profile, octets, status, time, method)[0][2].words


def facts(
    profile: MeterProfile, octets: bytes, status: TokenStatus, time: str = PARIS, method: int = 0
) -> list[tuple[str, str, Said]]:
    results: dict[int, Data | int] = {
        2: axdr.octet_string(octets),
        3: axdr.octet_string(bytes.fromhex(time)),
        4: axdr.array(axdr.octet_string(b"25.6 kWh")),
        5: axdr.enum(method),
        6: status.to_data(),
    }
    found = list(last_token(results, profile))
    return [(name, label, said) for name, label, said in found if isinstance(said, Said)]


AT = "2026-11-21 14:03:07 +01:00"
ONEHOT = MeterProfile(data_value_map=DataValueMap.ONEHOT16)
USED = TokenStatus(6, "0001000000000000")


@pytest.mark.parametrize(
    ("profile", "status", "method", "words"),
    [
        (MeterProfile(), TokenStatus(3), 0, f"…0686, remote, executed: accepted, {AT}"),
        (MeterProfile(), TokenStatus(8), 2, f"…0686, manual, received, not yet processed, {AT}"),
        (MeterProfile(), USED, 1, f"…0686, local, validation failure, {AT}"),
        (ONEHOT, USED, 0, f"…0686, remote, validation failure: used, {AT}"),
        (MeterProfile(), TokenStatus(42), 7, f"…0686, unknown (7), unknown status 42, {AT}"),
        (MeterProfile(status_map={42: 3}), TokenStatus(42), 0, f"…0686, remote, executed: accepted, {AT}"),
    ],
)
def test_the_last_token_is_one_line(profile: MeterProfile, status: TokenStatus, method: int, words: str) -> None:
    assert line(profile, TOKEN.digits.encode(), status, method=method) == words


@pytest.mark.parametrize("encoding", TokenEncoding)
def test_the_last_token_is_masked_in_every_encoding(encoding: TokenEncoding) -> None:
    octets = encoding.to_octets(TOKEN)
    sent = MeterProfile(token_encoding=encoding)
    shown = MeterProfile(token_readback=TokenReadback(encoding.value), token_encoding=TokenEncoding.BCD10)
    for profile in (sent, shown):
        assert line(profile, octets, TokenStatus(3)).startswith("…0686, ")
    other = MeterProfile(token_encoding=next(one for one in TokenEncoding if one is not encoding))
    told = str(facts(other, octets, TokenStatus(3)))
    assert "octets)" in told or "…" in told
    assert TOKEN.digits not in told


def test_a_gateway_that_never_saw_a_token_says_so() -> None:
    open_time = "FF" * 9 + "8000FF"
    hidden = MeterProfile(token_readback=TokenReadback.HIDDEN)
    for profile in (MeterProfile(), hidden):
        assert line(profile, b"", TokenStatus(0), open_time) == "none yet"
    assert line(hidden, b"", TokenStatus(3)) == f"(hidden), remote, executed: accepted, {AT}"
    assert line(MeterProfile(), TOKEN.digits.encode(), TokenStatus(3), open_time).endswith("accepted, time not set")


def test_what_the_gateway_refuses_is_said() -> None:
    denied = int(DataAccessResult.READ_WRITE_DENIED)
    results: dict[int, Data | int] = {
        2: denied,
        3: axdr.octet_string(bytes.fromhex(PARIS)),
        4: axdr.unsigned(1),
        5: denied,
        6: TokenStatus(3).to_data(),
    }
    found = {name: said for name, _, said in last_token(results, MeterProfile())}
    assert found["has_token"] == Said(
        f"token unreadable, token_delivery_method unreadable, executed: accepted, {AT}", True
    )
    assert found["token"] == "read-write-denied (3)"
    assert str(found["token_description"]).startswith("not understood: ")
