"""Whole conversations of foreign clients with `simmeters run`: long answers, lists, logs, dedicated keys, new keys.

test_peers.py delivers tokens; here is what else a head-end does with a meter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.peers.conftest import Event, Peers, Server
from tests.peers.test_peers import AK, CLIENTS, EK, PASSWORD, PEER, credit_tokens, simulated

SMALL_PDU = 128
LOG_OBIS = "1.0.99.15.0.255"
FRAMINGS = ["wrapper", "hdlc"]


@contextmanager
def our_meter(framing: str, *arguments: str, security: str = "hls-gmac") -> Iterator[tuple[Server, int]]:
    """`simmeters run`; its words beside any failure."""
    serving, port = simulated(framing, security, *arguments)
    with serving as server:
        server.wait_for_line("listening ")
        try:
            yield server, port
        except AssertionError as error:
            server.stop()
            error.add_note(server.report())
            raise


def by_name(events: list[Event]) -> dict[str, Event]:
    return {event["event"]: event for event in events}


def talk(peers: Peers, client: str, framing: str, *arguments: str, **options: Any) -> dict[str, Event]:
    """One conversation; its events by name."""
    with our_meter(framing, *arguments) as (_server, port):
        asked = {"port": port, "framing": framing, **PEER["hls-gmac"], **options}
        return by_name(peers.client(client, **asked))


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_foreign_client_reads_a_long_object_list_in_blocks(peers: Peers, client: str, framing: str) -> None:
    short = talk(peers, client, framing, read_objects=True, max_pdu=SMALL_PDU)
    whole = talk(peers, client, framing, read_objects=True)
    assert len(whole["objects"]["objects"]) > 5
    assert short["objects"]["objects"] == whole["objects"]["objects"]
    assert short["done"]["blocks"] > 5
    assert whole["done"]["blocks"] == 0


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_foreign_client_reads_with_list_what_it_reads_alone(peers: Peers, client: str, framing: str) -> None:
    token, _ = credit_tokens()[0]
    events = talk(peers, client, framing, read_list=True, tokens=[token])
    after = events["done"]["after"]
    status = [after["status_code"], after["data_value"]]
    wanted = [after["token"], after["token_time"], after["delivery_method"], status]
    listed = events["list"]["values"]
    if client == "dlms_cosem_client":  # cannot read attribute 6, whose bit-string it does not know
        assert listed == wanted[:3]
    else:
        assert [*listed[:3], listed[3][0]] == [*wanted[:3], status[0]]


PARTS: dict[str, tuple[list[Any], slice]] = {
    "gurux_client": ([LOG_OBIS, 2, 7], slice(1, 7)),
    "dlms_cosem_client": ([LOG_OBIS, "2000-01-01T00:00:00+00:00", "2090-01-01T00:00:00+00:00"], slice(0, 8)),
}
"""What each asks for by selective access, by number or by time, and which entries these are."""


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("max_pdu", [SMALL_PDU, 65535])
def test_a_foreign_client_reads_a_part_of_the_token_log(peers: Peers, client: str, max_pdu: int) -> None:
    tokens = [token for token, _ in credit_tokens()[:6]]
    wrong = tokens[0][:-1] + str((int(tokens[0][-1]) + 1) % 10)
    asked, part = PARTS[client]
    tokens += [wrong, tokens[5]]
    events = talk(peers, client, "wrapper", "--profile", "sim", tokens=tokens, read_log=asked, max_pdu=max_pdu)
    entered = events["done"]["entered"]
    assert [entry["status_code"] for entry in entered] == [3] * 6 + [5, 6]
    assert [entry[1:] for entry in events["log"]["entries"]] == [
        [0, entry["status_code"], entry["available_credit"]] for entry in entered[part]
    ]
    times = [entry[0] for entry in events["log"]["entries"]]
    assert times == sorted(times)
    assert (events["done"]["blocks"] > 0) == (max_pdu == SMALL_PDU)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_foreign_client_finds_nothing_where_nothing_was_logged(peers: Peers, client: str) -> None:
    none: dict[str, list[Any]] = {
        "gurux_client": [5, 6],
        "dlms_cosem_client": ["2000-01-01T00:00:00+00:00", "2001-01-01T00:00:00+00:00"],
    }
    token, _ = credit_tokens()[0]
    events = talk(peers, client, "wrapper", "--profile", "sim", tokens=[token], read_log=[LOG_OBIS, *none[client]])
    assert events["log"]["entries"] == []


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("form", ["service-ded", "general-ded"])
def test_gurux_enters_a_token_under_a_dedicated_key(peers: Peers, framing: str, form: str) -> None:
    token, _ = credit_tokens()[0]
    reading = {"read_objects": True, "max_pdu": SMALL_PDU}
    events = talk(peers, "gurux_client", framing, tokens=[token], ciphering=form, **reading)
    [entered] = events["done"]["entered"]
    assert (entered["result"], entered["status_code"]) == (0, 3)
    assert events["done"]["blocks"] > 5


@pytest.mark.parametrize("form", ["service-ded", "general-ded"])
def test_gurux_enters_a_token_into_a_meter_that_answers_under_dedicated_keys_only(peers: Peers, form: str) -> None:
    token, _ = credit_tokens()[0]
    with our_meter("wrapper", "--ciphering", form, security="hls-gmac") as (_server, port):
        asked = {"port": port, **PEER["hls-gmac"], "tokens": [token], "ciphering": form}
        events = by_name(peers.client("gurux_client", **asked))
    assert events["done"]["entered"][0]["status_code"] == 3


@pytest.mark.parametrize(
    ("framing", "form"),
    [
        ("wrapper", None),
        ("hdlc", None),
        ("wrapper", "general-glo"),
        ("hdlc", "service-glo"),
        ("wrapper", "general-ded"),
        ("hdlc", "service-ded"),
    ],
)
def test_gurux_enters_a_token_after_hls_sha256(peers: Peers, framing: str, form: str | None) -> None:
    token, _ = credit_tokens()[0]
    arguments = ["--security", "hls-sha256", "--password", PASSWORD]
    security = {"security": "hls-sha256", "password": PASSWORD, "ek": None, "ak": None}
    if form:
        security |= {"ek": EK, "ak": AK, "ciphering": form}
    with our_meter(framing, *arguments, security="lls-ciphered" if form else "lls") as (_server, port):
        events = peers.client("gurux_client", port=port, framing=framing, tokens=[token], **security)
    assert events[-1]["entered"][0]["status_code"] == 3


@pytest.mark.parametrize(("ours", "theirs"), [(7, 7), (3, 7), (7, 2), (7, 1)])
def test_gurux_takes_several_frames_in_a_row(peers: Peers, ours: int, theirs: int) -> None:
    token, _ = credit_tokens()[0]
    window = ["--hdlc-window", str(ours), "--hdlc-info-max", "40"]
    events = talk(
        peers, "gurux_client", "hdlc", *window, tokens=[token], read_objects=True, hdlc_window=theirs, hdlc_info_max=40
    )
    alone = talk(peers, "gurux_client", "hdlc", read_objects=True, hdlc_info_max=40)
    assert events["done"]["entered"][0]["status_code"] == 3
    assert events["objects"]["objects"] == alone["objects"]["objects"]
    assert (events["done"]["in_a_row"], alone["done"]["in_a_row"]) == (min(ours, theirs), 1)


@pytest.mark.parametrize(("pdu_max", "form"), [(64, "service-glo"), (65535, "service-glo"), (65535, "general-glo")])
def test_gurux_gives_our_meter_new_keys(peers: Peers, pdu_max: int, form: str) -> None:
    """Class 64 with Gurux' own key wrap; with the small PDU as an ACTION in blocks.

    Not in blocks under general-glo: row gurux-no-room-for-the-system-title.
    """
    new = {"ek": "A0A1A2A3A4A5A6A7A8A9AAABACADAEAF", "ak": "B0B1B2B3B4B5B6B7B8B9BABBBCBDBEBF"}
    master = "00112233445566778899AABBCCDDEEFF"
    arguments = ["--master-key", master, "--pdu-max", str(pdu_max)]
    with our_meter("wrapper", *arguments) as (_server, port):
        keys = {"transfer_keys": [[0, new["ek"]], [2, new["ak"]]], "master_key": master, "ciphering": form}
        transferred = by_name(peers.client("gurux_client", port=port, **PEER["hls-gmac"], **keys))["transferred"]
        assert transferred["result"] == 0
        assert (transferred["messages"] > 1) == (pdu_max == 64)
        peers.client("gurux_client", port=port, **{**PEER["hls-gmac"], **new})
        code, events, _errors = peers.try_client("gurux_client", port=port, **PEER["hls-gmac"])
    assert (code, "associated" in by_name(events)) == (1, False), json.dumps(events[-1])


def test_blocks_of_gurux_under_general_glo_are_too_long_for_a_small_meter(peers: Peers) -> None:
    """Row gurux-no-room-for-the-system-title: our meter says that the APDU is too long, and keeps its keys."""
    master, new = "00112233445566778899AABBCCDDEEFF", "A0A1A2A3A4A5A6A7A8A9AAABACADAEAF"
    with our_meter("wrapper", "--master-key", master, "--pdu-max", "64") as (_server, port):
        keys = {"transfer_keys": [[0, new], [2, new]], "master_key": master, "ciphering": "general-glo"}
        code, events, _errors = peers.try_client("gurux_client", port=port, **PEER["hls-gmac"], **keys)
        assert (code, events[-1]["event"]) == (1, "failed")
        assert "PDU is too long" in events[-1]["reason"]
        peers.client("gurux_client", port=port, **PEER["hls-gmac"])
