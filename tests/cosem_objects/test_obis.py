"""OBIS codes."""

from __future__ import annotations

import pytest
from hypothesis import given

from cosem_objects import association_ln, disconnect_control, payment, token_gateway
from cosem_objects.errors import RemoteProtocolError, SettingError
from cosem_objects.obis import ObisCode
from tests.cosem_objects.strategies import obis_codes


@pytest.mark.parametrize("text", ["0-0:19.40.0.255", " 0-0:19.40.0.255 ", "0-0:19.40.0*255", "00-000:019.40.0.255"])
def test_an_obis_code_is_read_however_people_write_it(text: str) -> None:
    assert ObisCode.parse(text).octets == bytes((0, 0, 19, 40, 0, 255))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0-0:19.40.0",
        "0.0.19.40.0.255",
        "0-0:19.40.0.256",
        "0-0:19.40.0.1000",
        "0-0:19.40.0.-1",
        "0-0:19.40.0.255.1",
        "0-0:19.40.0.٢",
        "a-b:c.d.e.f",
        "0-0:19.40.0.255\n0",
    ],
)
def test_what_is_no_obis_code_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingError, match=r"0-0:19\.40\.0\.255"):
        ObisCode.parse(text)


@given(obis_codes)
def test_an_obis_code_survives_being_written_and_read(obis: ObisCode) -> None:
    assert ObisCode.parse(str(obis)) == obis
    assert ObisCode.from_octets(obis.octets) == obis
    assert str(obis) in repr(obis)


@pytest.mark.parametrize("size", [0, 5, 7, 1000])
def test_a_logical_name_of_another_size_is_the_meters_fault(size: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"6 octets; {size}"):
        ObisCode.from_octets(bytes(size))


@pytest.mark.parametrize(
    ("obis", "class_id", "text"),
    [  # fact sheet 1.4, 2.5 and 4.4
        (token_gateway.DEFAULT_OBIS, token_gateway.CLASS_ID, "115 0-0:19.40.0.255"),
        (payment.DEFAULT_ACCOUNT_OBIS, payment.ACCOUNT_CLASS_ID, "111 0-0:19.0.0.255"),
        (payment.DEFAULT_CREDIT_OBIS, payment.CREDIT_CLASS_ID, "112 0-0:19.10.0.255"),
        (payment.DEFAULT_STS_OBIS, payment.STS_CLASS_ID, "116 0-0:19.60.0.255"),
        (disconnect_control.DEFAULT_OBIS, disconnect_control.CLASS_ID, "70 0-0:96.3.10.255"),
        (association_ln.CURRENT_OBIS, association_ln.CLASS_ID, "15 0-0:40.0.0.255"),
    ],
)
def test_every_object_has_the_name_and_class_of_the_standard(obis: ObisCode, class_id: int, text: str) -> None:
    assert f"{class_id} {obis}" == text
