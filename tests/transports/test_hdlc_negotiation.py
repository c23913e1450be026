from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transports.vectors import vectors
from transports.channel import ChannelGarbled
from transports.hdlc.connection import HdlcSettings, Parameters
from transports.hdlc.receiver import FrameReceiver


def test_ua_vector() -> None:
    vector = vectors("hdlc")["hdlc-02"]
    (frame,) = FrameReceiver().receive(vector.wire)
    parameters = Parameters.decode(frame.information)
    assert parameters == Parameters(
        info_max_tx=vector.expect["max_info_tx"],
        info_max_rx=vector.expect["max_info_rx"],
        window_tx=vector.expect["window_tx"],
        window_rx=vector.expect["window_rx"],
    ), vector.source


def test_the_standards_example_of_default_parameters() -> None:
    # IEC 62056-46, HDLC parameter negotiation: sizes in one byte, windows in four.
    wire = bytes.fromhex("8180 12 050180 060180 070400000001 080400000001")
    assert Parameters().encode() == wire
    assert Parameters.decode(wire) == Parameters()


def test_what_is_not_said_has_its_default() -> None:
    assert Parameters.decode(b"") == Parameters(128, 128, 1, 1)
    assert Parameters.decode(bytes.fromhex("818003 050128")) == Parameters(40, 128, 1, 1)
    assert Parameters.decode(bytes.fromhex("818004 06020800")) == Parameters(128, 2048, 1, 1)
    assert Parameters.decode(bytes.fromhex("818000")) == Parameters()
    # Unknown parameters, and a second group (user data), are not for us.
    assert Parameters.decode(bytes.fromhex("818006 050128 090107 F0021234")) == Parameters(40)


@pytest.mark.parametrize(
    "wire",
    [
        "81",
        "8180",
        "8280 00",
        "8180 12 0501",
        "8180 01 05",
        "8180 02 0500",
        "8180 03 050280",
        "8180 03 050100",
        "8180 03 070100",
        "8180 07 05050000000001",
    ],
)
def test_parameters_that_nobody_can_read_are_garbled(wire: str) -> None:
    with pytest.raises(ChannelGarbled):
        Parameters.decode(bytes.fromhex(wire))


sizes, windows = st.integers(1, 0xFFFF), st.integers(1, 7)
offers = st.builds(Parameters, sizes, sizes, windows, windows)


@given(offers)
def test_parameters_survive_the_wire(parameters: Parameters) -> None:
    assert Parameters.decode(parameters.encode()) == parameters


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda tail: b"\x81\x80" + tail))
def test_any_bytes_are_parameters_or_garbled(wire: bytes) -> None:
    try:
        Parameters.decode(wire)
    except ChannelGarbled:
        return


@given(offers, offers)
def test_both_sides_agree_on_the_smaller_value_and_ones_tx_is_the_others_rx(
    client: Parameters, server: Parameters
) -> None:
    said_by_server = server.agreed_with(client)
    kept_by_client = client.agreed_with(said_by_server)
    assert kept_by_client.info_max_tx == said_by_server.info_max_rx == min(client.info_max_tx, server.info_max_rx)
    assert kept_by_client.info_max_rx == said_by_server.info_max_tx == min(client.info_max_rx, server.info_max_tx)
    assert kept_by_client.window_tx == said_by_server.window_rx
    assert kept_by_client.window_rx == said_by_server.window_tx


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"address_bytes": 3}, "auto, 1, 2 or 4"),
        ({"info_max": 7}, "8 to 2030, not 7"),
        ({"info_max": 2031}, "8 to 2030, not 2031"),
        ({"retries": -1}, "0 or more"),
        ({"response_timeout_seconds": 0.0}, "longer than 0 s"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        HdlcSettings(**settings)
