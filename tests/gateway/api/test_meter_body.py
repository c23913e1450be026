"""What is wrong with a meter is told by its field and what was expected, and without anything that was given."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from cosem_objects.errors import SettingError
from gateway.meter_body import MeterBody
from gateway.meter_fields import MeterFieldError, without_quotations
from gateway.store.records import MeterRecord

EK, AK = "0F1E2D3C4B5A69788796A5B4C3D2E1F0", "00112233445566778899AABBCCDDEEFF"
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"endpoint": "tcp://h"}, "endpoint"),
    ({"endpoint": "tcp://h:0"}, "endpoint"),
    ({"endpoint": "mqtt://h:1/a"}, "endpoint"),
    ({"profile": "other"}, "profile"),
    ({"gateway_obis": "x"}, "gateway_obis"),
    ({"token_encoding": "x"}, "token_encoding"),
    ({"behind": "x"}, "behind"),
    ({"windows": ["x"]}, "windows"),
    ({"time_zone": "x"}, "time_zone"),
    ({"time_zone": ""}, "time_zone"),
    ({"physical": 17}, "physical"),
    ({"endpoint": "hdlc+tcp://h:1", "client_sap": 128}, "client_sap"),
    ({"endpoint": "hdlc+tcp://h:1", "server_sap": 0x4000}, "server_sap"),
    ({"security": {"mechanism": "x"}}, "security.mechanism"),
    ({"security": {"suite": 2}}, "security.suite"),
    ({"security": {"ciphering": "x"}}, "security.ciphering"),
    ({"security": {"ciphering": "service-glo"}}, "security.ciphering"),
    ({"security": {"protection": "x"}}, "security.protection"),
    ({"security": {"ek": "x"}}, "security.ek"),
    ({"security": {"ek": EK, "ak": "00"}}, "security.ak"),
    ({"security": {"client_system_title": "x"}}, "security.client_system_title"),
    ({"security": {"meter_system_title": "x"}}, "security.meter_system_title"),
]


@pytest.mark.parametrize(("changes", "field"), WRONG)
def test_what_is_wrong_is_named_by_its_field(changes: dict[str, Any], field: str) -> None:
    body = MeterBody.model_validate({"endpoint": "tcp://h:1", **changes})
    with pytest.raises(MeterFieldError) as caught:
        body.meter()
    assert caught.value.field == field
    assert isinstance(caught.value, SettingError)


@pytest.mark.parametrize("secret", ["12345678901234567890", EK, "corr3ct-h0rse", "it's", "a \"b\" 'c'"])
@pytest.mark.parametrize(
    "field", ["endpoint", "profile", "gateway_obis", "token_encoding", "behind", "windows", "time_zone", "security"]
)
def test_no_message_holds_what_was_given(field: str, secret: str) -> None:
    value: Any = {"windows": [secret], "security": {"mechanism": secret}}.get(field, secret)
    try:
        body = MeterBody.model_validate({"endpoint": "tcp://h:1", field: value})
    except ValidationError as error:
        message = str(error)
    else:
        with pytest.raises(MeterFieldError) as caught:
            body.meter()
        message = str(caught.value)
    assert secret not in message


@pytest.mark.parametrize("secret", ["x" + "1" * 30, "corr3ct-h0rse"])
def test_no_message_holds_the_parts_of_an_endpoint(secret: str) -> None:
    for endpoint in (f"tcp://{secret}:0", f"tcp://h:1?{secret}=1", f"{secret}://h:1", f"mqtt://h:1/{secret}"):
        with pytest.raises(MeterFieldError) as caught:
            MeterBody(endpoint=endpoint).meter()
        assert secret not in str(caught.value)


def test_a_stored_meter_is_read_with_its_secrets() -> None:
    body = MeterBody.model_validate(
        {"endpoint": "tcp://h:1", "security": {"mechanism": "hls-gmac", "ek": EK, "ak": AK}, "windows": ["01:00-02:00"]}
    )
    record = body.record("M-1")
    assert set(record.secrets) == {"ek", "ak"}
    assert EK not in str(record.settings)
    assert EK not in repr(record)
    assert MeterBody.of_record(record) == body
    assert MeterBody.of_record(record).meter().security.ek == bytes.fromhex(EK)
    unlocked = MeterRecord(id="M-1", link=record.link, settings=record.settings)
    assert MeterBody.of_record(unlocked).security.ek is None


def test_given_secrets_go_before_kept_ones_and_empty_ones_count() -> None:
    body = MeterBody.model_validate({"endpoint": "tcp://h:1", "security": {"ek": "", "password": "new"}})
    merged = body.with_secrets({"ek": EK, "ak": AK, "password": "old"})
    assert merged.security.given_secrets() == {"ek": "", "ak": AK, "password": "new"}


def test_quotations_are_cut_out_and_forms_stay() -> None:
    assert without_quotations("window 'x': expected two times of day") == "window: expected two times of day"
    assert without_quotations("the port is missing: tcp://host:port") == "the port is missing: tcp://host:port"
    assert without_quotations("tcp://10.0.0.1:0: port 0 is for listening") == "it: port 0 is for listening"
