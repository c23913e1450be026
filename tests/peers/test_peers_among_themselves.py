"""The oracles against each other: a test that only our own code can fail needs peers that work.

Each cell is a whole delivery between two stacks that were not written here: connect, read the counter as client
16, associate, read, enter, read, release, disconnect.
"""

from typing import Any

import pytest

from tests.peers.conftest import Peers

TOKEN, OTHER = "48643202781314010686", "00000000000000000017"
EK, AK = "000102030405060708090A0B0C0D0E0F", "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"
METER_TITLE = "4758580000000001"

NONE = {"security": "none"}
LLS = {"security": "lls", "password": "12345678"}
HLS = {"security": "hls-gmac", "ek": EK, "ak": AK}
CIPHERED_LLS = {**LLS, "ek": EK, "ak": AK}
GENERAL, SERVICE = {"ciphering": "general-glo"}, {"ciphering": "service-glo"}

SECURITIES = {
    "none": (NONE, {}),
    "lls": (LLS, {}),
    "lls-ciphered-general": (CIPHERED_LLS, GENERAL),
    "lls-ciphered-service": (CIPHERED_LLS, SERVICE),
    "hls-general": (HLS, GENERAL),
    "hls-service": (HLS, SERVICE),
}
CLIENTS = ["gurux_client", "dlms_cosem_client"]


def deliver(peers: Peers, client: str, meter: dict[str, Any], **options: Any) -> dict[str, Any]:
    """One delivery of TOKEN; checks that both sides tell the same story and returns the client's."""
    accepted = {"accepted": {TOKEN: 256}, "available_credit": 1000, "system_title": METER_TITLE, **meter}
    with peers.gurux_meter(**accepted) as (server, port):
        events = peers.client(client, port=port, tokens=[TOKEN], **options)
        [entered] = server.ended_with("enter")
        assert server.ended_with("refused") == [], server.report()
    summary: dict[str, Any] = events[-1]
    assert summary["event"] == "done"
    assert entered["digits"] == TOKEN
    assert (entered["status"], summary["after"]["status_code"]) == (3, 3)
    assert summary["after"]["token"] == entered["octets"]
    assert summary["after"]["token_time"] != summary["before"]["token_time"]
    assert summary["after"]["delivery_method"] == 0
    return summary


def cells() -> list[Any]:
    found = []
    for client in CLIENTS:
        for framing in ("wrapper", "hdlc"):
            for name, (shared, form) in SECURITIES.items():
                if client == "dlms_cosem_client" and form == SERVICE:
                    continue  # it has no service-specific ciphering
                found.append(pytest.param(client, framing, shared, form, id=f"{client}-{framing}-{name}"))
    return found


@pytest.mark.parametrize(("client", "framing", "shared", "form"), cells())
def test_a_delivery_between_two_foreign_stacks(
    peers: Peers, client: str, framing: str, shared: dict[str, Any], form: dict[str, Any]
) -> None:
    summary = deliver(peers, client, {"framing": framing, **shared}, framing=framing, **shared, **form)
    assert (summary["before"]["available_credit"], summary["after"]["available_credit"]) == (1000, 1256)
    assert summary["currency"] == ["kWh", -1, 1]
    assert summary["sts"]["6"] == 123456


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("meter", "options"),
    [
        pytest.param({"chunk": 3}, {}, id="replies-in-3-octets"),
        pytest.param({"framing": "hdlc", "chunk": 3}, {"framing": "hdlc"}, id="hdlc-replies-in-3-octets"),
        pytest.param({"framing": "hdlc", "hdlc_info_max": 40}, {"framing": "hdlc"}, id="meter-takes-40"),
        pytest.param({"framing": "hdlc"}, {"framing": "hdlc", "hdlc_info_max": 40}, id="client-takes-40"),
        pytest.param({"framing": "hdlc", "client_sap": 17}, {"framing": "hdlc", "client_sap": 17}, id="client-17"),
        pytest.param({"server_sap": 23}, {"server_sap": 23}, id="wrapper-server-23"),
        pytest.param({"framing": "hdlc", "server_sap": 23}, {"framing": "hdlc", "server_sap": 23}, id="address-1"),
        pytest.param({"framing": "hdlc", "physical": 17}, {"framing": "hdlc", "physical": 17}, id="address-2"),
        pytest.param(
            {"framing": "hdlc", "physical": 17},
            {"framing": "hdlc", "physical": 17, "address_bytes": 4},
            id="address-4",
        ),
        pytest.param({"framing": "hdlc", "physical": 145}, {"framing": "hdlc", "physical": 145}, id="address-4-auto"),
        pytest.param(
            {"framing": "hdlc", "server_sap": 128, "physical": 128},
            {"framing": "hdlc", "server_sap": 128, "physical": 128},
            id="address-4-with-zero-octets",
        ),
        pytest.param({}, {"token_encoding": "bcd10"}, id="bcd10"),
        pytest.param({}, {"release": "none"}, id="no-release"),
        pytest.param({}, {"release": "ciphered"}, id="release-with-user-information"),
        pytest.param({"max_pdu": 128}, {"read_objects": True, "read_list": True}, id="blocks-and-lists"),
        pytest.param({"return_data": "00"}, {}, id="enter-returns-null-data"),
        pytest.param({"data_values": {"3": "010110011"}}, {}, id="nine-bits-of-data-value"),
        pytest.param({"own_counter": 0, "last_client_counter": 0}, {}, id="counters-from-0"),
    ],
)
def test_a_ciphered_delivery_with(peers: Peers, client: str, meter: dict[str, Any], options: dict[str, Any]) -> None:
    summary = deliver(peers, client, {**HLS, **meter}, **HLS, **options)
    assert summary["after"]["data_value"] == meter.get("data_values", {}).get("3", "")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
def test_a_meter_without_account_and_without_class_116(peers: Peers, client: str, framing: str) -> None:
    bare = {"account": False, "class_116": False, "framing": framing}
    summary = deliver(peers, client, {**LLS, **bare}, **LLS, framing=framing)
    assert summary["after"]["available_credit"] is None
    assert set(summary["sts"].values()) == {None}


@pytest.mark.parametrize("form", [GENERAL, SERVICE], ids=["general", "service"])
@pytest.mark.parametrize("protection", ["auth", "enc"])
def test_a_delivery_that_is_only_authenticated_or_only_encrypted(
    peers: Peers, protection: str, form: dict[str, Any]
) -> None:
    strength = {"protection": protection}
    deliver(peers, "gurux_client", {**HLS, **strength}, **HLS, **strength, **form)


def test_gurux_lets_its_hls_answer_go_service_specific_and_all_else_general(peers: Peers) -> None:
    deliver(peers, "gurux_client", {**HLS, "answers": "gurux"}, **HLS, **GENERAL)


@pytest.mark.parametrize("client", CLIENTS)
def test_the_meter_says_used_wrong_and_malformed(peers: Peers, client: str) -> None:
    with peers.gurux_meter(**NONE, accepted={TOKEN: 256}) as (meter, port):
        events = peers.client(client, port=port, tokens=[TOKEN, TOKEN, OTHER])
        peers.client(client, port=port, tokens=[TOKEN], token_encoding="digits20")
        assert [event["status"] for event in meter.ended_with("enter")] == [3, 6, 5, 4]
    entered = events[-1]["entered"]
    assert [entry["status_code"] for entry in entered] == [3, 6, 5]
    assert [entry["available_credit"] for entry in entered] == [256, 256, 256]
    assert entered[1]["data_value"] == "0001000000000000"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
@pytest.mark.parametrize(
    ("meter", "options"),
    [
        pytest.param(LLS, {**LLS, "password": "87654321"}, id="wrong-password"),
        pytest.param(LLS, NONE, id="no-password"),
        pytest.param(HLS, {**HLS, "ek": AK}, id="wrong-encryption-key"),
        pytest.param(HLS, {**HLS, "ak": EK}, id="wrong-authentication-key"),
        pytest.param(HLS, LLS, id="not-ciphered"),
        pytest.param(HLS, {**HLS, "invocation_counter": 100}, id="old-counter"),
        pytest.param(
            {**HLS, "system_title": "4758580000000002"}, {**HLS, "meter_system_title": METER_TITLE}, id="title"
        ),
    ],
)
def test_what_is_not_allowed_reaches_no_token_gateway(
    peers: Peers, client: str, framing: str, meter: dict[str, Any], options: dict[str, Any]
) -> None:
    with peers.gurux_meter(framing=framing, accepted={TOKEN: 1}, **meter) as (server, port):
        code, events, _errors = peers.try_client(client, framing=framing, port=port, tokens=[TOKEN], **options)
        assert (code, events[-1]["event"]) == (1, "failed")
        assert server.ended_with("enter") == []
