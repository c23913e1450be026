"""Other people's stacks on sockets that are shared or encrypted.

Who is who: `adapter.py` is a serial device server with several meters of Gurux' server classes behind one socket, or
ends TLS with Python's `ssl` before one; `stsgate` is the head-end. Then `simmeters run` is the meter, and Gurux' client
reaches it through a TLS client of the same make, and dlms-cosem's with nothing of it worked around.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.gateway.served import TIMEOUT_SECONDS, served
from tests.peers.conftest import Peers, free_port, run_own, serve_own
from tests.peers.test_foreign_clients import by_name
from tests.peers.test_peers import (
    AK,
    CLIENT_TITLE,
    EK,
    GOOD,
    IDENTITY,
    METER_TITLE,
    OWN,
    PEER,
    Delivery,
    credit_tokens,
    endpoint,
    simulated,
)

SECURITY = {"mechanism": "hls-gmac", "ek": EK, "ak": AK, "client_system_title": CLIENT_TITLE}


async def test_several_foreign_meters_behind_one_socket_get_their_tokens(peers: Peers, tmp_path: Path) -> None:
    """The device server takes one connection at a time, and lets a second one wait for ever."""
    places = {17: METER_TITLE, 18: "4758580000000002"}
    socket = free_port()
    with ExitStack() as stack:
        meters, ports = [], []
        for physical, title in places.items():
            options = {"framing": "hdlc", "physical": physical, "system_title": title, "accepted": {GOOD: 256}}
            meter, port = stack.enter_context(peers.gurux_meter(**PEER["hls-gmac"], **options))
            meters.append(meter)
            ports.append(port)
        stack.enter_context(peers.serving("adapter", front="tcp", place=socket, meters=ports))
        async with served(tmp_path / "data") as service:
            for physical, title in places.items():
                body = {
                    "endpoint": endpoint("hdlc", socket),
                    "profile": "sim",
                    "physical": physical,
                    "security": {**SECURITY, "meter_system_title": title},
                }
                status, answer = await service.ask("PUT", f"/v1/meters/m{physical}", body)
                assert status == 201, answer
            for physical in places:
                body = {"id": f"o{physical}", "meter": f"m{physical}", "tokens": [GOOD]}
                status, answer = await service.ask("POST", "/v1/orders", body)
                assert status == 202, answer
            async with asyncio.timeout(TIMEOUT_SECONDS):
                for physical in places:
                    while (await service.ask("GET", f"/v1/orders/o{physical}"))[1]["state"] != "accepted":
                        pass
            await service.stop()
        entered = [[event["digits"] for event in meter.ended_with("enter")] for meter in meters]
    assert entered == [[GOOD], [GOOD]]


@pytest.mark.parametrize("trusted", [True, False])
def test_a_token_reaches_a_foreign_meter_behind_foreign_tls(peers: Peers, trusted: bool, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    ca_file = authority.file if trusted else Authority(tmp_path, "another-ca").file
    place = free_port()
    with peers.gurux_meter(**PEER["hls-gmac"], accepted={GOOD: 256}) as (meter, port):
        front = {"front": "tls", "place": place, "certificate": [pair.certificate, pair.key]}
        with peers.serving("adapter", meters=[port], **front):
            command = ["deliver", "--endpoint", f"tcps://localhost:{place}", "--tls-ca", ca_file]
            done = run_own("gateway", *command, *OWN["hls-gmac"], "--json", "--token", GOOD)
            delivery = Delivery(done, meter)
    delivery.check_the_ledger([GOOD])
    assert delivery.verdicts[0]["verdict"] == ("accepted" if trusted else "unreached"), delivery.text
    assert len(delivery.entered) == trusted


def test_a_foreign_client_with_foreign_tls_enters_a_token_into_our_meter(peers: Peers, tmp_path: Path) -> None:
    token, _ = credit_tokens()[0]
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    place, near = free_port(), free_port()
    command = ["run", "--listen", f"tcps://127.0.0.1:{place}", *OWN["hls-gmac"], "--system-title", METER_TITLE]
    command += ["--tls-certificate", pair.certificate, "--tls-key", pair.key]
    with serve_own("sim_meters", *command, *IDENTITY) as server:
        server.wait_for_line("listening ")
        with peers.serving("adapter", front="tcp", place=near, meters=[place], meters_tls=authority.file):
            done = peers.client("gurux_client", port=near, tokens=[token], **PEER["hls-gmac"])[-1]
    assert done["entered"][0]["status_code"] == 3


def test_dlms_cosem_enters_a_token_as_its_own_documentation_does(peers: Peers) -> None:
    token, _ = credit_tokens()[0]
    serving, port = simulated("hdlc", "lls")
    with serving as server:
        server.wait_for_line("listening ")
        events = by_name(peers.client("dlms_cosem_plain", port=port, framing="hdlc", tokens=[token], **PEER["lls"]))
    assert events["done"]["tokens"] == ["", token.encode().hex()]
