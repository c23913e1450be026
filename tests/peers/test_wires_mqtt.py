"""Other people's stacks on a broker: mosquitto, and at one of its sides a program made of paho-mqtt alone.

Who is who: first `stsgate deliver --endpoint mqtt://` is the head-end, and `mqtt_peer.py` the bridge before a meter of
Gurux' server classes. Then `simmeters run --listen mqtt://` is the meter, and `mqtt_peer.py` the head-end, for which
the clients of Gurux and dlms-cosem make the APDUs. What the meter says of itself is heard by mosquitto_sub.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.mosquitto import Mosquitto
from tests.peers.conftest import HERE, LIMIT_SECONDS, Peers, Server, free_port, run_own, serve_own, serving
from tests.peers.test_peers import GOOD, IDENTITY, METER_TITLE, OWN, PEER, Delivery, credit_tokens


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


_numbers = count(1)


@dataclass(frozen=True)
class Site:
    """A broker, and a name on it that nobody has used."""

    broker: Mosquitto
    place: str

    @property
    def url(self) -> str:
        return f"{self.broker.url}/{self.place}"

    def states(self, *, online: bool) -> Iterator[Any]:
        """What mosquitto_sub hears of these, kept by the broker or from now on."""
        topic = f"dlms/v1/{self.place}/state"
        command = ["mosquitto_sub", "-p", str(self.broker.port), "-t", topic, "-V", "5", "-W", str(LIMIT_SECONDS)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as heard:
            assert heard.stdout
            try:
                yield from (state for state in map(json.loads, heard.stdout) if state["online"] is online)
            finally:
                heard.terminate()


@pytest.fixture
def site(broker: Mosquitto) -> Site:
    return Site(broker, f"site-7/meter-{next(_numbers)}")


@contextmanager
def paho(role: str, site: Site, port: int, **options: Any) -> Iterator[Server]:
    """paho-mqtt is no DLMS stack: it lives with our own development tools."""
    asked = {"role": role, "broker": site.broker.port, "port": port, "place": site.place, **options}
    with serving([sys.executable, str(HERE / "mqtt_peer.py"), json.dumps(asked)]) as server:
        server.wait_for_line("listening ")
        try:
            yield server
        except AssertionError as failure:
            server.stop()
            failure.add_note(server.report())
            raise


# --- stsgate, and a foreign bridge before a foreign meter ---

BRIDGES: dict[str, dict[str, Any]] = {
    "as-it-stands": {},
    "that-says-everything-twice-and-the-last-answer-again": {"times": 2, "late_answer_first": True},
    "without-a-state": {"state": False},
    "that-is-a-transparent-modem": {"framing": "hdlc"},
}


def deliver_by(site: Site, meter: Server, protocol: str = "5", *arguments: str) -> Delivery:
    command = ["deliver", "--endpoint", site.url, *OWN["hls-gmac"], "--json", "--token", GOOD]
    done = run_own("gateway", *command, "--mqtt-protocol", protocol, *arguments)
    delivery = Delivery(done, meter)
    delivery.check_the_ledger([GOOD])
    return delivery


@pytest.mark.parametrize(
    ("how", "protocol"),
    [
        ("as-it-stands", "5"),
        ("that-says-everything-twice-and-the-last-answer-again", "5"),
        ("that-says-everything-twice-and-the-last-answer-again", "3.1.1"),
        ("without-a-state", "5"),
        ("that-is-a-transparent-modem", "5"),
    ],
)
def test_a_token_reaches_a_foreign_meter_behind_a_foreign_bridge(
    peers: Peers, site: Site, how: str, protocol: str
) -> None:
    bridge_options = BRIDGES[how]
    framing = bridge_options.get("framing", "wrapper")
    arguments = ["--mqtt-payload", "hdlc", "--physical", "17"] if framing == "hdlc" else []
    meter_options = {"framing": "hdlc", "physical": 17} if framing == "hdlc" else {}
    with (
        peers.gurux_meter(**PEER["hls-gmac"], accepted={GOOD: 256}, **meter_options) as (meter, port),
        paho("bridge", site, port, protocol=protocol, **bridge_options) as bridge,
    ):
        delivery = deliver_by(site, meter, protocol, *arguments)
        dropped = bridge.ended_with("dropped")
    assert delivery.code == 0, delivery.text
    assert delivery.verdicts[0]["verdict"] == "accepted"
    assert delivery.refused == [], delivery.text
    assert dropped == []


def test_a_foreign_bridge_that_says_it_is_offline_is_not_asked(peers: Peers, site: Site) -> None:
    """The bridge is killed: what stands at the broker then is its last will."""
    with peers.gurux_meter(**PEER["hls-gmac"], accepted={GOOD: 256}) as (meter, port):
        with paho("bridge", site, port) as bridge:
            bridge.kill()
            assert next(site.states(online=False)) == {"online": False}
        delivery = deliver_by(site, meter)
    assert (delivery.verdicts[0]["verdict"], delivery.verdicts[0]["credited"]) == ("unreached", "no"), delivery.text
    assert delivery.entered == []


def test_a_credit_that_a_foreign_bridge_kept_to_itself_is_found(peers: Peers, site: Site, tmp_path: Path) -> None:
    """The meter books the token and hangs up on the bridge, which cannot answer."""
    impatient = tmp_path / "impatient.toml"
    impatient.write_text('name = "impatient"\nresponse_timeout_seconds = 0.5\n')
    with (
        peers.gurux_meter(**PEER["hls-gmac"], accepted={GOOD: 256}, hang_up_after_enter=1) as (meter, port),
        paho("bridge", site, port) as bridge,
    ):
        delivery = deliver_by(site, meter, "5", "--profile", str(impatient))
        dropped = bridge.ended_with("dropped")
    assert (delivery.verdicts[0]["verdict"], delivery.verdicts[0]["credited"]) == ("accepted", "yes"), delivery.text
    assert [event["why"] for event in dropped] == ["meter hung up"]
    assert len(delivery.entered) == 1


# --- simmeters, and a foreign head-end with the APDUs of foreign clients ---


@contextmanager
def simulated_on(site: Site, *arguments: str) -> Iterator[Server]:
    command = ["run", "--listen", site.url, *OWN["hls-gmac"], "--system-title", METER_TITLE]
    with serve_own("sim_meters", *command, *IDENTITY, *arguments) as server:
        server.wait_for_line("listening ")
        try:
            yield server
        except AssertionError as failure:
            server.stop()
            failure.add_note(server.report())
            raise


HEAD_ENDS: dict[str, tuple[str, dict[str, Any]]] = {
    "of-5": ("5", {"times": 2, "asks_late": True}),
    "of-3.1.1": ("3.1.1", {"times": 2, "asks_late": True}),
    "of-5-that-says-only-what-it-must": ("5", {"minimal": True}),  # where the answer goes, and to what
}
"""A second or a late request that is executed would move the meter's invocation counter, and the rest would fail."""


@pytest.mark.parametrize("how", HEAD_ENDS)
def test_a_foreign_head_end_enters_a_token_into_our_meter(peers: Peers, site: Site, how: str) -> None:
    token, _ = credit_tokens()[0]
    protocol, options = HEAD_ENDS[how]
    client = "gurux_client" if protocol == "5" else "dlms_cosem_client"
    port = free_port()
    with simulated_on(site), paho("head-end", site, port, protocol=protocol, **options) as head_end:
        done = peers.client(client, port=port, tokens=[token], **PEER["hls-gmac"])[-1]
        answered = head_end.ended_with("answered")
    [entered] = done["entered"]
    assert (entered["result"], entered["status_code"]) == (0, 3)
    assert len(answered) > 10
    assert Counter(tuple(event.values()) for event in answered) == {("answered", True, False, 1): len(answered)}


def test_mosquitto_sub_hears_when_our_meter_comes_leaves_and_dies(site: Site) -> None:
    with simulated_on(site) as meter:
        online = next(site.states(online=True))
        assert {"online", "since", "fw", "profile"} >= set(online) >= {"online", "since"}
        meter.kill()
        assert next(site.states(online=False)) == {"online": False}
    with simulated_on(site) as meter:
        assert next(site.states(online=True))["online"] is True
        meter.stop()
        assert next(site.states(online=False)) == {"online": False}
