"""Meter profiles: what each field takes, and what it says when it does not."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from cosem_objects.errors import SettingError
from cosem_objects.obis import ObisCode
from cosem_objects.profile import HiddenTokenProof, KeyChangeProof, MeterProfile, TokenReadback
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import DataValueMap, StatusCode, TokenEncoding

NAN, INFINITY = float("nan"), float("inf")
OBIS_BAD: tuple[Any, ...] = (5, None, True, "1-2", "0-0:19.40.0.256", ["0-0:19.40.0.255"], b"0-0:19.40.0.255")
OBIS = ({"1-0:19.41.0.255": ObisCode(bytes((1, 0, 19, 41, 0, 255)))}, (*OBIS_BAD, ""))
OPTIONAL_OBIS = ({"1-0:19.41.0.255": ObisCode(bytes((1, 0, 19, 41, 0, 255))), "": None}, OBIS_BAD)
BOOLEAN: tuple[dict[Any, Any], tuple[Any, ...]] = ({True: True, False: False}, (0, 1, "true", None, NAN))
TEXT = ({"": "", "Acme 3": "Acme 3"}, (5, None, True, ["x"]))


def seconds(low: float, high: float) -> tuple[dict[Any, Any], tuple[Any, ...]]:
    bad = (low - 0.001, high + 1, NAN, INFINITY, -INFINITY, "5", None, True, [low])
    return {low: float(low), high: float(high), int(high): float(high)}, bad


def whole(low: int, high: int) -> tuple[dict[Any, Any], tuple[Any, ...]]:
    return {low: low, high: high}, (low - 1, high + 1, float(low), NAN, INFINITY, str(low), None, True, [low])


def choice(kind: Any) -> tuple[dict[Any, Any], tuple[Any, ...]]:
    return {member.value: member for member in kind}, ("", "other", kind.__members__.copy().popitem()[0], 5, None, [])


FIELDS: dict[str, tuple[dict[Any, Any], tuple[Any, ...]]] = {
    "name": TEXT,
    "gateway_obis": OBIS,
    "account_obis": OPTIONAL_OBIS,
    "sts_obis": OPTIONAL_OBIS,
    "disconnect_control_obis": OPTIONAL_OBIS,
    "device_name_obis": OPTIONAL_OBIS,
    "counter_obis": OBIS,
    "association_obis": OBIS,
    "token_log_obis": OPTIONAL_OBIS,
    "token_encoding": choice(TokenEncoding),
    "token_readback": choice(TokenReadback),
    "hidden_token_proof": choice(HiddenTokenProof),
    "key_change_proof": choice(KeyChangeProof),
    "data_value_map": choice(DataValueMap),
    "currency_name": TEXT,
    "deviation_sign": ({1: 1, -1: -1}, (0, 2, "1", None, NAN, True, 1.0, [1])),
    "poll_first_seconds": seconds(0.01, 3600),
    "poll_timeout_seconds": seconds(0, 86_400),
    "key_change_timeout_seconds": seconds(0, 86_400),
    "inactivity_seconds": seconds(1, 86_400),
    "response_timeout_seconds": seconds(0.1, 600),
    "doubt_rounds_max": whole(1, 100),
    "wait_between_associations_seconds": seconds(0, 3600),
    "pdu_size_max": whole(64, 0xFFFF),
    "counter_jump_max": whole(0, 0xFFFF_FFFF),
    "counter_read_max": whole(0, 0xFFFF_FFFE),
    "use_rlrq": BOOLEAN,
    "use_get_list": BOOLEAN,
    "restart_dedicated_counter": BOOLEAN,
    "dedicated_key_in_hls": BOOLEAN,
    "hdlc_info_max": whole(32, 2030),
    "hdlc_window_max": whole(1, 7),
}
TABLES: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    # Fields whose values are lists or tables: what is accepted as it stands, and what is not.
    "status_map": (
        ({}, {"9": 3}, {"0": 0, "255": 8}),
        (
            {"9": 9},
            {"9": -1},
            {"x": 3},
            {"9": "x"},
            {"9": None},
            {"9": NAN},
            {"9": INFINITY},
            {"9": 3.7},
            {"9": True},
            {"9": [3]},
            [9, 3],
            "9=3",
            5,
            None,
        ),
    ),
    "unit_aliases": (({}, {"Wh": "kWh"}), ({"Wh": 5}, {"Wh": None}, ["Wh"], "Wh", 5, None, {"Wh": ["kWh"]})),
    "conformance": (
        (["get"], ["get", "set", "action"], ["block-transfer-with-get", "get"], ["general-block-transfer"]),
        ([], ["read"], ["GET"], ["get", "general-protection"], ["x"], [1], [None], [["get"]], "get", 24, None, {}),
    ),
    "remote_delivery_methods": (([0], [0, 1], [2]), ([], [3], [-1], ["0"], [None], [NAN], [True], "0", 0, None, {})),
}


def test_every_field_is_tried() -> None:
    assert {known.name for known in fields(MeterProfile)} == {*FIELDS, *TABLES}


@pytest.mark.parametrize(
    ("key", "value", "meaning"),
    [(key, value, meaning) for key, (good, _) in FIELDS.items() for value, meaning in good.items()],
)
def test_a_good_value_is_taken(key: str, value: Any, meaning: Any) -> None:
    taken = getattr(MeterProfile.parse({key: value}), key)
    assert taken == meaning
    assert type(taken) is type(meaning)


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, (good, _) in TABLES.items() for value in good])
def test_a_good_table_is_taken(key: str, value: Any) -> None:
    taken = getattr(MeterProfile.parse({key: value}), key)
    if key == "status_map":
        assert taken == {int(code): standard for code, standard in value.items()}
    elif key == "conformance":
        assert {name.name.lower().replace("_", "-") for name in taken} == set(value)
    else:
        assert type(value)(taken) == value


@pytest.mark.parametrize(
    ("key", "value"),
    [(key, value) for key, (_, bad) in (FIELDS | TABLES).items() for value in bad],
)
def test_a_bad_value_is_refused_and_the_field_named(key: str, value: Any) -> None:
    with pytest.raises(SettingError, match=f"^profile field {key}: .*(expected|got)"):
        MeterProfile.parse({key: value})


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("gateway_obbis", "; did you mean gateway_obis?"),
        ("poll_timeout", "; did you mean poll_timeout_seconds?"),
        ("Token_Encoding", "; did you mean token_encoding?"),
        ("xyzzy", ""),
        ("", ""),
    ],
)
def test_an_unknown_field_is_refused_with_a_hint(key: str, hint: str) -> None:
    with pytest.raises(SettingError) as caught:
        MeterProfile.parse({"name": "x", key: 1})
    assert str(caught.value) == f"profile field {key!r} does not exist{hint}"


def test_an_empty_profile_is_the_standard_meter() -> None:
    profile = MeterProfile.parse({})
    assert profile == MeterProfile()
    assert (str(profile.gateway_obis), profile.token_encoding) == ("0-0:19.40.0.255", TokenEncoding.ASCII20)


@pytest.mark.parametrize(
    ("code", "standard"),
    [(3, StatusCode.EXECUTION_OK), (8, StatusCode.RECEIVED), (0x83, StatusCode.EXECUTION_OK), (9, None), (-1, None)],
)
def test_the_meters_own_codes_become_the_standards(code: int, standard: StatusCode | None) -> None:
    assert MeterProfile.parse({"status_map": {"131": 3}}).status_code(code) == standard


def test_a_mapped_code_no_longer_has_its_standard_meaning() -> None:
    assert MeterProfile.parse({"status_map": {"3": 7}}).status_code(3) is StatusCode.EXECUTION_FAILURE


# Whether attribute 2 shows our token.

TOKEN = Token.parse("48643202781314010686")
OTHER = Token.parse("48643202781314010687")


@pytest.mark.parametrize("sent_as", TokenEncoding)
@pytest.mark.parametrize("shown_as", TokenReadback)
def test_attribute_2_is_compared_in_the_form_in_which_the_meter_shows_it(
    sent_as: TokenEncoding, shown_as: TokenReadback
) -> None:
    profile = MeterProfile.parse({"token_encoding": sent_as.value, "token_readback": shown_as.value})
    sent = sent_as.to_octets(TOKEN)
    if shown_as is TokenReadback.HIDDEN:
        assert not profile.readback_octets_match(sent, sent)
        assert not profile.readback_octets_match(b"", sent)
        return
    form = sent_as if shown_as is TokenReadback.SAME else TokenEncoding(shown_as.value)
    assert profile.readback_octets_match(form.to_octets(TOKEN), sent)
    assert not profile.readback_octets_match(form.to_octets(OTHER), sent)
    assert not profile.readback_octets_match(b"", sent)
    assert not profile.readback_octets_match(form.to_octets(TOKEN) + b"\0", sent)
