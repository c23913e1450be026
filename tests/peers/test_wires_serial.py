"""Other people's stacks on serial lines: pseudo-terminals that either side opens as a device.

Who is who: first `simmeters run --listen pty://` is the meter, and the clients of Gurux and dlms-cosem, by pyserial
or the bare device, the head-end. Then `stsgate deliver --endpoint serial://` is the head-end, and Gurux' server classes
are the meters, behind `adapter.py`: a line, or an optical head written from IEC 62056-21 without ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.peers.conftest import Peers, Server, run_own, serve_own
from tests.peers.test_foreign_clients import by_name
from tests.peers.test_peers import GOOD, GOOD_TOO, IDENTITY, METER_TITLE, OWN, PEER, Delivery, credit_tokens

# --- simmeters on a line, and foreign clients ---


@contextmanager
def simulated_line(place: Path, url_options: str, *arguments: str, security: str = "hls-gmac") -> Iterator[Server]:
    command = ["run", "--listen", f"pty://{place}{url_options}", *OWN[security], "--system-title", METER_TITLE]
    with serve_own("sim_meters", *command, *IDENTITY, *arguments) as server:
        server.wait_for_line("listening ")
        try:
            yield server
        except AssertionError as error:
            server.stop()
            error.add_note(server.report())
            raise


def on_line(place: Path, security: str = "hls-gmac", **options: Any) -> dict[str, Any]:
    return {"device": str(place), "framing": "hdlc", **PEER[security], **options}


def test_foreign_clients_find_each_meter_of_a_line_by_its_address(peers: Peers, tmp_path: Path) -> None:
    """One after the other, as they open and close the device."""
    place, [token, other] = tmp_path / "line", [token for token, _ in credit_tokens()[:2]]
    with simulated_line(place, "", "--meters", "3", "--physical", "17"):
        told = [
            by_name(peers.client(client, **on_line(place, physical=physical, **options)))
            for client, physical, options in (
                ("gurux_client", 17, {"tokens": [token]}),
                ("dlms_cosem_client", 19, {"tokens": [token], "port_kind": "bare"}),
                ("gurux_client", 18, {"address_bytes": 4, "port_kind": "bare", "baud": 115200}),
                ("dlms_cosem_client", 17, {"tokens": [other]}),
            )
        ]
        silent = peers.try_client("gurux_client", **on_line(place, physical=20, timeout_seconds=1))
    assert [[entry["status_code"] for entry in events["done"]["entered"]] for events in told] == [[3], [5], [], [3]]
    titles = [events["associated"]["meter_system_title"] for events in told]
    first = int(METER_TITLE, 16)
    assert [int(title, 16) - first for title in titles] == [0, 2, 1, 0]
    assert told[3]["done"]["before"]["token"] == token.encode().hex()
    assert silent[0] == 1
    assert "no reply" in silent[1][-1]["reason"]


def test_a_foreign_client_enters_a_token_over_a_slow_line(peers: Peers, tmp_path: Path) -> None:
    """At the pace of 115,200 baud, in small groups of octets."""
    token, _ = credit_tokens()[0]
    with simulated_line(tmp_path / "line", "?baud=115200", security="lls"):
        asked = on_line(tmp_path / "line", "lls", tokens=[token], baud=115200)
        done = peers.client("dlms_cosem_client", **asked)[-1]
    assert done["entered"][0]["status_code"] == 3


def test_dlms_cosem_enters_a_token_with_its_own_serial_port(peers: Peers, tmp_path: Path) -> None:
    """Nothing of dlms-cosem is worked around here: DlmsClient, HdlcTransport and SerialIO as they are."""
    token, _ = credit_tokens()[0]
    with simulated_line(tmp_path / "line", "", "--physical", "17", security="lls"):
        asked = on_line(tmp_path / "line", "lls", physical=17, tokens=[token])
        events = by_name(peers.client("dlms_cosem_plain", **asked))
    assert events["done"]["tokens"] == ["", token.encode().hex()]


SIGN_ONS: dict[str, dict[str, Any]] = {
    "with-parity-bits-after-a-wake-up": {"parity": True, "wake_up": "00" * 30},
    "slower-than-the-meter-can": {"speed": "3"},
    "closed-and-opened-for-the-speed": {"reopens": True},
}
"""How the hand-written client agrees on HDLC."""


@pytest.mark.parametrize("how", SIGN_ONS)
def test_a_foreign_client_signs_on_at_our_optical_head(peers: Peers, how: str, tmp_path: Path) -> None:
    token, _ = credit_tokens()[0]
    with simulated_line(tmp_path / "head", "?mode=e"):
        # The counter is given: else all of this would be done twice.
        asked = on_line(tmp_path / "head", tokens=[token], mode_e=SIGN_ONS[how], invocation_counter=500)
        events = by_name(peers.client("gurux_client", **asked))
    assert events["done"]["entered"][0]["status_code"] == 3
    assert events["identified"]["identification"] == r"/SIM5\2SIMULATED"
    assert events["acknowledged"]["repeated"] is True


def test_a_foreign_client_signs_on_for_each_association_and_names_the_meter(peers: Peers, tmp_path: Path) -> None:
    with simulated_line(tmp_path / "head", "?mode=e&address=00477"):
        asked = on_line(tmp_path / "head", mode_e={"address": "477"})
        events = peers.client("dlms_cosem_client", **asked)
    assert events[-1]["before"]["status_code"] == 0
    assert [event["event"] for event in events].count("identified") == 2


# --- stsgate and foreign meters on a line ---


@contextmanager
def foreign_line(
    peers: Peers, place: Path, *meters: dict[str, Any], **adapter: Any
) -> Iterator[tuple[list[Server], Server]]:
    """Gurux meters on one line: their servers, and the adapter's."""
    with ExitStack() as stack:
        options = {"framing": "hdlc", "accepted": {GOOD: 256, GOOD_TOO: 1}, **PEER["hls-gmac"]}
        behind = [stack.enter_context(peers.gurux_meter(**{**options, **meter})) for meter in meters]
        ports = [port for _, port in behind]
        line = stack.enter_context(peers.serving("adapter", front="pty", place=str(place), meters=ports, **adapter))
        yield [server for server, _ in behind], line


def deliver_to(url: str, *arguments: str, token: str = GOOD) -> Any:
    return run_own("gateway", "deliver", "--endpoint", url, *OWN["hls-gmac"], "--json", "--token", token, *arguments)


LINES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "octet-by-octet": ({"chunk": 1}, ()),
    "octet-by-octet-with-an-echo": ({"echo": True, "chunk": 1}, ("--serial-echo",)),
    "with-noise-and-an-echo-that-is-not-there": ({"noise": "00ff7e55a00a"}, ("--serial-echo",)),
}


@pytest.mark.parametrize("how", LINES)
def test_a_token_reaches_a_foreign_meter_over_a_line(peers: Peers, how: str, tmp_path: Path) -> None:
    adapter, arguments = LINES[how]
    with foreign_line(peers, tmp_path / "line", {"physical": 17}, **adapter) as ([meter], _):
        delivery = Delivery(deliver_to(f"serial://{tmp_path / 'line'}", "--physical", "17", *arguments), meter)
    delivery.check_the_ledger([GOOD])
    assert delivery.code == 0, delivery.text
    assert delivery.verdicts[0]["verdict"] == "accepted"
    assert delivery.refused == [], delivery.text


def test_tokens_reach_each_of_several_foreign_meters_on_one_line(peers: Peers, tmp_path: Path) -> None:
    titles = [METER_TITLE, f"{int(METER_TITLE, 16) + 1:016X}"]
    meters = [{"physical": 17 + number, "system_title": title} for number, title in enumerate(titles)]
    with foreign_line(peers, tmp_path / "line", *meters) as (servers, _):
        url = f"serial://{tmp_path / 'line'}"
        for physical, token, title in ((18, GOOD, titles[1]), (17, GOOD_TOO, titles[0])):
            named = ["--physical", str(physical), "--meter-system-title", title]
            done = deliver_to(url, *named, token=token)
            assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        booked = [[event["digits"] for event in server.ended_with("enter")] for server in servers]
    assert booked == [[GOOD_TOO], [GOOD]]


HEADS: dict[str, tuple[dict[str, Any], str, int]] = {
    "with-parity-bits-and-noise": ({"noise": "ff00807f", "parity": True}, "", 9600),
    "silent-on-agreement-and-fast": ({"identification": "/ABC6\\2MTR 1.0-b", "repeats": False}, "&baud=4800", 4800),
    "slow-and-with-more-to-say": ({"identification": "/ISk4\\@\\2MTR"}, "&baud=19200", 4800),
}
"""What the foreign head does, what we ask for, and what speed comes of it."""


@pytest.mark.parametrize("how", HEADS)
def test_a_token_reaches_a_foreign_meter_through_its_optical_head(peers: Peers, how: str, tmp_path: Path) -> None:
    head, wanted, speed = HEADS[how]
    with foreign_line(peers, tmp_path / "head", {}, mode_e=head) as ([meter], line):
        done = deliver_to(f"serial://{tmp_path / 'head'}?mode=e{wanted}", "--invocation-counter", "500")
        delivery = Delivery(done, meter)
        signed_on = line.ended_with("signed_on")
    assert delivery.code == 0, delivery.text
    assert [event["speed"] for event in signed_on] == [speed]
    assert [event for event in line.events if event["event"] in {"deaf", "wrong_speed", "refused"}] == []


def test_each_association_signs_on_anew_at_a_foreign_head(peers: Peers, tmp_path: Path) -> None:
    with foreign_line(peers, tmp_path / "head", {}, mode_e={}) as ([meter], line):
        delivery = Delivery(deliver_to(f"serial://{tmp_path / 'head'}?mode=e"), meter)
        signed_on = line.ended_with("signed_on")
    assert delivery.code == 0, delivery.text
    assert [event["speed"] for event in signed_on] == [9600, 9600]


def test_a_foreign_head_that_offers_mode_c_only_is_said_and_nothing_is_sent(peers: Peers, tmp_path: Path) -> None:
    with foreign_line(peers, tmp_path / "head", {}, mode_e={"identification": "/XYZ5MTR"}) as ([meter], _):
        delivery = Delivery(deliver_to(f"serial://{tmp_path / 'head'}?mode=e", "--invocation-counter", "500"), meter)
    assert delivery.verdicts[0]["verdict"] == "unreached", delivery.text
    assert "offers mode C only" in delivery.text
    assert (delivery.associated, delivery.entered) == ([], [])
