"""Other people's stacks on a broker: mosquitto, and at one of its sides a program made of paho-mqtt alone.

Who is who: first `stsgate deliver --endpoint mqtt://` is the head-end, and `mqtt_peer.py` the bridge before a meter of
Gurux' server classes. Then `simmeters run --listen mqtt://` is the meter, and `mqtt_peer.py` the head-end, for which the
clients of Gurux and dlms-cosem make the APDUs. What the meter says of itself is heard by mosquitto_sub.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.mosquitto import Mosquitto
from tests.peers.conftest import HERE, LIMIT_SECONDS, Peers, Server, free_port, run_own, serve_own, serving
from tests.peers.test_peers import GOOD, IDENTITY, METER_TITLE, OWN, PEER, Delivery, credit_tokens

PLACE = "site-7/meter-1"
STATE = f"dlms/v1/{PLACE}/state"
PROTOCOLS = ["5", "3.1.1"]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@contextmanager
def paho(role: str, broker: Mosquitto, port: int, place: str = PLACE, **options: Any) -> Iterator[Server]:
    """paho-mqtt is no DLMS stack: it lives with our own development tools."""
    asked = {"role": role, "broker": broker.port, "port": port, "place": place, **options}
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
    "that-says-everything-three-times": {"times": 3},
    "without-a-state": {"state": False},
    "that-repeats-the-last-answer-before-the-next": {"late_answer_first": True},
}


def deliver_by(broker: Mosquitto, meter: Server, protocol: str = "5", *arguments: str) -> Delivery:
    url = f"{broker.url}/{PLACE}"
    command = ["deliver", "--endpoint", url, *OWN["hls-gmac"], "--json", "--token", GOOD]
    done = run_own("gateway", *command, "--mqtt-protocol", protocol, *arguments)
    delivery = Delivery(done, meter)
    delivery.check_the_ledger([GOOD])
    return delivery


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("how", BRIDGES)
def test_a_token_reaches_a_foreign_meter_behind_a_foreign_bridge(
    peers: Peers, broker: Mosquitto, how: str, protocol: str
) -> None:
    with (
        peers.gurux_meter(**PEER["hls-gmac"], accepted={GOOD: 256}) as (meter, port),
        paho("bridge", broker, port, protocol=protocol, **BRIDGES[how]) as bridge,
    ):
        delivery = deliver_by(broker, meter, protocol)
        dropped = bridge.ended_with("dropped")
    assert delivery.code == 0, delivery.text
    assert delivery.verdicts[0]["verdict"] == "accepted"
    assert delivery.refused == [], delivery.text
    assert dropped == []


def test_a_foreign_bridge_that_says_it_is_offline_is_not_asked(peers: Peers, broker: Mosquitto) -> None:
    """The bridge is killed: what stands at the broker then is its last will."""
    with peers.gurux_meter(**PEER["hls-gmac"], accepted={GOOD: 256}) as (meter, port):
        with paho("bridge", broker, port) as bridge:
            bridge.kill()
            assert next(hear(broker, STATE, until=lambda state: not state["online"])) == {"online": False}
        delivery = deliver_by(broker, meter)
    assert (delivery.verdicts[0]["verdict"], delivery.verdicts[0]["credited"]) == ("unreached", "no"), delivery.text
    assert delivery.entered == []


def test_a_credit_that_a_foreign_bridge_kept_to_itself_is_found(peers: Peers, broker: Mosquitto) -> None:
    """The meter books the token and hangs up on the bridge, which cannot answer."""
    impatient = ["--profile", str(HERE / "impatient.toml")]
    with (
        peers.gurux_meter(**PEER["hls-gmac"], accepted={GOOD: 256}, hang_up_after_enter=1) as (meter, port),
        paho("bridge", broker, port) as bridge,
    ):
        delivery = deliver_by(broker, meter, "5", *impatient)
        dropped = bridge.ended_with("dropped")
    assert (delivery.verdicts[0]["verdict"], delivery.verdicts[0]["credited"]) == ("accepted", "yes"), delivery.text
    assert [event["why"] for event in dropped] == ["meter hung up"]
    assert len(delivery.entered) == 1


# --- simmeters, and a foreign head-end with the APDUs of foreign clients ---


@contextmanager
def simulated_on(broker: Mosquitto, *arguments: str) -> Iterator[Server]:
    command = ["run", "--listen", f"{broker.url}/{PLACE}", *OWN["hls-gmac"], "--system-title", METER_TITLE]
    with serve_own("sim_meters", *command, *IDENTITY, *arguments) as server:
        server.wait_for_line("listening ")
        try:
            yield server
        except AssertionError as failure:
            server.stop()
            failure.add_note(server.report())
            raise


HEAD_ENDS: dict[str, dict[str, Any]] = {
    "as-it-stands": {},
    "that-says-everything-twice": {"times": 2},
    "whose-requests-come-late-as-well": {"asks_late": True},
}
"""A second or a late request that is executed would move the meter's invocation counter, and the rest would fail."""


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("how", HEAD_ENDS)
def test_a_foreign_head_end_enters_a_token_into_our_meter(
    peers: Peers, broker: Mosquitto, how: str, protocol: str
) -> None:
    token, _ = credit_tokens()[0]
    client = "gurux_client" if protocol == "5" else "dlms_cosem_client"
    port = free_port()
    with simulated_on(broker), paho("head-end", broker, port, protocol=protocol, **HEAD_ENDS[how]) as head_end:
        done = peers.client(client, port=port, tokens=[token], **PEER["hls-gmac"])[-1]
        answered = head_end.ended_with("answered")
    [entered] = done["entered"]
    assert (entered["result"], entered["status_code"]) == (0, 3)
    assert len(answered) > 10
    assert Counter(tuple(event.values()) for event in answered) == {("answered", True, False, 1): len(answered)}


def hear(broker: Mosquitto, topic: str, until: Any) -> Iterator[Any]:
    """What mosquitto_sub hears from now on, and what was retained, from the first that fits."""
    command = ["mosquitto_sub", "-p", str(broker.port), "-t", topic, "-V", "5", "-W", str(LIMIT_SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as heard:
        assert heard.stdout
        try:
            for line in heard.stdout:
                if until(said := json.loads(line)):
                    yield said
        finally:
            heard.terminate()


def test_mosquitto_sub_hears_when_our_meter_comes_leaves_and_dies(broker: Mosquitto) -> None:
    with simulated_on(broker) as meter:
        online = next(hear(broker, STATE, until=lambda state: state["online"]))
        assert {"online", "since", "fw", "profile"} >= set(online) >= {"online", "since"}
        meter.kill()
        assert next(hear(broker, STATE, until=lambda state: not state["online"])) == {"online": False}
    with simulated_on(broker) as meter:
        assert next(hear(broker, STATE, until=lambda state: state["online"]))["online"] is True
        meter.stop()
        assert next(hear(broker, STATE, until=lambda state: not state["online"])) == {"online": False}
