"""Foreign meters that call in: a meter of Gurux' server classes behind `adapter.py`, a modem that opens the connection.

Who is who: `stsgate serve` with [inbound], or `stsgate deliver --inbound-listen`, is called and is then the head-end;
the modem says a login line, an empty wrapper message or a notification that Gurux' notify classes made.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.served import TIMEOUT_SECONDS, Served, served
from tests.peers.conftest import Peers, Server, free_port, run_to_end
from tests.peers.test_peers import AK, CLIENT_TITLE, EK, GOOD, METER_TITLE, OWN, PEER, Delivery, endpoint

SECURITY = {"mechanism": "hls-gmac", "ek": EK, "ak": AK, "client_system_title": CLIENT_TITLE}
OTHER_TITLE, THIRD_TITLE = "4758580000000002", "4758580000000003"
EMPTY_FROM_WPORT_99 = "0001006300010000"


def notification(peers: Peers, *, ciphered: bool = True, **options: Any) -> str:
    """In hex, for the wire."""
    keys = {"ek": EK, "ak": AK} if ciphered else {}
    [made] = peers.client("gurux_notify", **{**keys, **options})
    return str(made["octets"])


def line(text: str) -> str:
    return text.encode("ascii").hex()


@contextmanager
def meter_that_calls(
    peers: Peers, place: int, first: str, *, answer: str = "", title: str = METER_TITLE, **meter: Any
) -> Iterator[tuple[Server, Server]]:
    """The Gurux meter, and its modem."""
    options = {"accepted": {GOOD: 256}, "system_title": title, **PEER["hls-gmac"], **meter}
    with peers.gurux_meter(**options) as (server, port):
        modem = {"front": "call", "place": place, "meters": [port], "first": first, "answer": line(answer)}
        with peers.serving("adapter", **modem) as adapter:
            yield server, adapter


# --- stsgate deliver ---

CALLS: dict[str, tuple[str, list[str]]] = {
    "login-line-of-its-own": (
        line(f"*99# imei=356938035643809 id={METER_TITLE.lower()}\n"),
        ["--inbound-login", r"\*99# imei=\d+ id=(?P<title>[0-9a-f]{16})"],
    ),
    "ciphered-notification": ("ciphered", []),
    "plain-notification": ("plain", []),
}


@pytest.mark.parametrize("how", CALLS)
def test_a_foreign_meter_calls_in_and_gets_its_token(peers: Peers, how: str) -> None:
    first, arguments = CALLS[how]
    if "notification" in how:
        first = notification(peers, ciphered=first == "ciphered", time="2026-01-31T12:00:00+00:00")
    place = free_port()
    command = ["deliver", "--endpoint", f"inbound:{METER_TITLE}", "--inbound-listen", f"tcp://127.0.0.1:{place}"]
    command += [*OWN["hls-gmac"], "--json", "--token", GOOD, "--inbound-wait", "30", *arguments]
    with peers.gurux_meter(**PEER["hls-gmac"], system_title=METER_TITLE, accepted={GOOD: 256}) as (meter, port):
        modem = {"front": "call", "place": place, "meters": [port], "first": first}
        with peers.starting("adapter", **modem):
            done = run_to_end([sys.executable, "-m", "gateway", *command])
        delivery = Delivery(done, meter)
    delivery.check_the_ledger([GOOD])
    assert delivery.code == 0, delivery.text
    assert delivery.verdicts[0]["verdict"] == "accepted"
    assert delivery.refused == [], delivery.text


@pytest.mark.parametrize(("framing", "answer"), [("wrapper", 1), ("hdlc", 5)])
def test_a_foreign_meter_that_pushes_while_it_is_asked_gets_its_token(peers: Peers, framing: str, answer: int) -> None:
    """Under its keys in front of its AARE; in clear in front of a later answer."""
    place = free_port()
    between = {str(answer): notification(peers, framing=framing, ciphered=answer == 1)}
    options = {"framing": framing, "system_title": METER_TITLE, "accepted": {GOOD: 256}, **PEER["hls-gmac"]}
    with peers.gurux_meter(**options) as (meter, port):
        with peers.serving("adapter", front="tcp", place=place, meters=[port], between=between):
            command = ["deliver", "--endpoint", endpoint(framing, place), *OWN["hls-gmac"], "--json", "--token", GOOD]
            done = run_to_end([sys.executable, "-m", "gateway", *command, "--invocation-counter", "500"])
        delivery = Delivery(done, meter)
    assert delivery.code == 0, delivery.text
    assert delivery.verdicts[0]["verdict"] == "accepted"


# --- stsgate serve ---


def settings(folder: Path, port: int, *more: str) -> tuple[str, str]:
    path = folder / "gateway.toml"
    own = ["[inbound]", f'listen = "tcp://127.0.0.1:{port}"']
    path.write_text("\n".join([*own, *more]) + "\n", encoding="utf-8")
    return "--config", str(path)


async def order(service: Served, number: int, endpoint: str, title: str, token: str = GOOD) -> None:
    security = {**SECURITY, "meter_system_title": title}
    body = {"endpoint": endpoint, "profile": "sim", "security": security}
    status, answer = await service.ask("PUT", f"/v1/meters/m{number}", body)
    assert status == 201, answer
    body = {"id": f"o{number}", "meter": f"m{number}", "tokens": [token]}
    status, answer = await service.ask("POST", "/v1/orders", body)
    assert status == 202, answer


async def until(service: Served, number: int, state: str) -> dict[str, Any]:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            _, found = await service.ask("GET", f"/v1/orders/o{number}")
            if found["state"] == state:
                return dict(found)


async def hints(service: Served) -> dict[str, int]:
    _, metrics = await service.ask("GET", "/metrics", key="")
    counted = re.findall(r'stsgate_hints_total\{outcome="([a-z-]+)"\} (\d+)', metrics)
    return {outcome: int(number) for outcome, number in counted if int(number)}


async def until_hints(service: Served, **expected: int) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while (found := await hints(service)) != expected:
            assert sum(found.values()) <= sum(expected.values()), found
            await asyncio.sleep(0.02)


async def test_foreign_meters_call_a_service_each_in_its_way(peers: Peers, tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text(f"modem-7,{METER_TITLE}\n")
    (tmp_path / "wports.csv").write_text(f"99,{OTHER_TITLE}\n")
    place = free_port()
    options = settings(
        tmp_path,
        place,
        r'login_pattern = "LOGIN (?P<name>[a-z0-9-]+) pw=\\S*"',
        r'login_answer = "WELCOME\r\n"',
        f'names_file = "{tmp_path / "names.csv"}"',
        f'wports_file = "{tmp_path / "wports.csv"}"',
    )
    calls: list[tuple[str, str, dict[str, Any]]] = [
        (METER_TITLE, line("LOGIN modem-7 pw=geheim\r\n"), {"answer": "WELCOME\r\n"}),
        (OTHER_TITLE, EMPTY_FROM_WPORT_99, {}),
        (THIRD_TITLE, notification(peers, system_title=THIRD_TITLE), {"own_counter": 3000}),
    ]
    async with served(tmp_path / "data", *options) as service:
        await service.line("meters call in at")
        with ExitStack() as stack:
            meters = []
            for number, (title, first, meter) in enumerate(calls):
                await order(service, number, f"inbound:{title}", title)
                meters.append(stack.enter_context(meter_that_calls(peers, place, first, title=title, **meter))[0])
            ended = [await until(service, number, "accepted") for number in range(len(calls))]
            stopped = await service.stop()
            entered = [[event["digits"] for event in meter.ended_with("enter")] for meter in meters]
    assert [found["tokens"][0]["credited"] for found in ended] == ["yes"] * 3
    assert entered == [[GOOD]] * 3
    assert "geheim" not in stopped.err


async def test_a_foreign_meter_calls_in_on_hdlc(peers: Peers, tmp_path: Path) -> None:
    """Known by the UI frame in which Gurux puts its notification."""
    place = free_port()
    first = notification(peers, framing="hdlc")
    assert first.startswith("7ea0")
    async with served(tmp_path / "data", *settings(tmp_path, place, 'framing = "hdlc"')) as service:
        await service.line("meters call in at")
        await order(service, 1, f"inbound:{METER_TITLE}", METER_TITLE)
        with meter_that_calls(peers, place, first, framing="hdlc", own_counter=3000) as (meter, _):
            found = await until(service, 1, "accepted")
            await service.stop()
            assert [event["digits"] for event in meter.ended_with("enter")] == [GOOD]
    assert found["tokens"][0]["credited"] == "yes"


async def test_only_a_foreign_meters_own_push_wakes_its_order(peers: Peers, tmp_path: Path) -> None:
    """The meter is called at an address where nobody is yet; the next try would come in an hour."""
    place, at = free_port(), free_port()
    waits = ["[hints]", "push_interval_seconds = 3600.0", "presence_interval_seconds = 3600.0"]
    waits += ["[delivery]", "first_wait_seconds = 3600.0", "longest_wait_seconds = 3600.0"]
    forged = notification(peers, ak=EK, counter=9000)
    plain = notification(peers, ciphered=False)
    genuine = notification(peers, counter=2000)
    async with served(tmp_path / "data", *settings(tmp_path, place, *waits)) as service:
        await service.line("meters call in at")
        await order(service, 1, f"tcp://127.0.0.1:{at}", METER_TITLE)
        await until(service, 1, "waiting")
        modem = {"front": "call", "place": place, "first": line(f"{METER_TITLE}\r\n")}
        with peers.serving("adapter", **modem) as adapter:
            await until_hints(service, woken=1)  # it called, and that is all that is known
            await until_tried(service, times=2)
            adapter.tell(forged)
            await until_hints(service, woken=1, forged=1)
            adapter.tell(plain)
            await until_hints(service, woken=1, forged=1, plain=1)
            options = {**PEER["hls-gmac"], "system_title": METER_TITLE, "accepted": {GOOD: 256}, "port": at}
            with peers.gurux_meter(**options) as (meter, _):
                adapter.tell(genuine)
                found = await until(service, 1, "accepted")
                adapter.tell(genuine)
                await until_hints(service, woken=2, forged=1, plain=1, replayed=1)
                await service.stop()
                assert [event["digits"] for event in meter.ended_with("enter")] == [GOOD]
    assert found["tokens"][0]["credited"] == "yes"


async def until_tried(service: Served, times: int) -> None:
    """Until the order waits again after so many tries."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            _, found = await service.ask("GET", "/v1/orders/o1")
            if found["state"] == "waiting" and found["attempts"] >= times:
                return
