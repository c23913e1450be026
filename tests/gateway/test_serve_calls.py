"""``stsgate serve`` where meters call in, and where they push over a broker: real processes, TLS and mosquitto."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from sim_meters.behaviour import Behaviour
from sim_meters.fault_order import FaultOrder
from sim_meters.faults import Fault
from sim_meters.meter import SimMeter
from tests.certificates import Authority
from tests.gateway.served import TIMEOUT_SECONDS, Served, refused, served
from tests.gateway.test_delivery import HLS, KEYS, ONE, secured
from tests.mosquitto import Mosquitto
from tests.transports.wires import free_port
from transports.calling_in.meter import CallIn, call_in, login_line
from transports.endpoint import Endpoint
from transports.registry import listen
from transports.wire_settings import WireSettings
from transports.wrapper import wrap

CONFIG = secured(HLS)
TITLE = KEYS["meter_system_title"]
ORDER = {"id": "o1", "meter": "m1", "tokens": [ONE.digits]}


def config_file(folder: Path, text: str) -> tuple[str, str]:
    path = folder / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    return "--config", str(path)


async def order_at(service: Served, endpoint: str) -> None:
    body = {"endpoint": endpoint, "profile": "sim", "security": KEYS}
    status, answer = await service.ask("PUT", "/v1/meters/m1", body)
    assert status == 201, answer
    status, answer = await service.ask("POST", "/v1/orders", ORDER)
    assert status == 202, answer


async def until(service: Served, *states: str) -> dict[str, object]:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            _, order = await service.ask("GET", "/v1/orders/o1")
            if order["state"] in states:
                assert isinstance(order, dict)
                return order


async def test_a_meter_calls_in_over_tls_and_its_order_is_delivered_at_once(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    (tmp_path / "names.csv").write_text(f"modem-7,{TITLE}\n")
    port = free_port()
    options = config_file(
        tmp_path,
        f"""
        [inbound]
        listen = "tcps://127.0.0.1:{port}"
        login_pattern = "HELLO (?P<name>[a-z0-9-]+)"
        login_answer = "OK\\r\\n"
        names_file = "{tmp_path / "names.csv"}"
        certificate_file = "{pair.certificate}"
        key_file = "{pair.key}"
        ca_file = "{authority.file}"
        require_client = true
        certificate_names_meter = true
        """,
    )
    own = WireSettings(authority.client(authority.issue("modem-7", ["modem-7"])))
    how = CallIn(first=lambda: login_line("HELLO modem-7"), answer=b"OK\r\n")
    meter = SimMeter(CONFIG)
    async with served(tmp_path / "data", *options) as service:
        assert f"tcps://127.0.0.1:{port}" in await service.line("meters call in at")
        await order_at(service, f"inbound:{TITLE}")
        waiting = await until(service, "waiting")
        assert waiting["tokens"][0]["reason"] == "offline"  # type: ignore[index]
        async with call_in(Endpoint("tcps", "127.0.0.1", port), meter.serve, how, wires=own):
            order = await until(service, "accepted")
            assert order["tokens"][0]["credited"] == "yes"  # type: ignore[index]
            _, metrics = await service.ask("GET", "/metrics", key="")
            for line in (
                "stsgate_meters_called_in 1.0",
                "stsgate_callers_unidentified 0.0",
                'stsgate_callers_total{outcome="identified"} 1.0',
                'stsgate_hints_total{outcome="woken"} 1.0',
            ):
                assert line in metrics
            ended = await service.stop()
    assert ended.code == 0
    assert "a meter called in from 127.0.0.1" in ended.err
    assert f"(link=inbound:{TITLE})" in ended.err
    assert meter.ledger.times_credited(ONE) == 1
    meter.close()


async def test_a_push_over_a_broker_has_a_token_in_doubt_read_at_once(tmp_path: Path) -> None:
    """After ``enter`` the meter hangs up, and refuses the next association. It is looked for again in an hour, or when
    it says something."""
    orders = [FaultOrder(Fault.HANG_UP_AFTER_ENTER, 1), FaultOrder(Fault.REFUSE_ASSOCIATION, 1, skip=1)]
    meter = SimMeter(CONFIG, behaviour=Behaviour(orders))
    with Mosquitto(tmp_path / "broker") as broker:
        endpoint = Endpoint.parse(f"{broker.url}/site/{TITLE}")
        settings = f'[hints]\nbrokers = "{broker.url}"\n[delivery]\ndoubt_first_wait_seconds = 3600.0\n'
        async with (
            served(tmp_path / "data", *config_file(tmp_path, settings)) as service,
            await listen(endpoint, meter.serve, accept=CONFIG.is_for_us),
        ):
            await order_at(service, str(endpoint))
            await until(service, "in_doubt")
            push = ("mosquitto_pub", "-p", str(broker.port), "-t", f"dlms/v1/site/{TITLE}/push", "-s")
            await asyncio.to_thread(subprocess.run, push, input=wrap(1, 1, meter.message()), check=True)
            order = await until(service, "accepted")
            assert order["tokens"][0]["credited"] == "yes"  # type: ignore[index]
            assert meter.ledger.times_credited(ONE) == 1
            await service.stop()
    meter.close()


async def test_a_place_that_is_taken_is_said(tmp_path: Path) -> None:
    port = free_port()
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", port)
    async with server:
        options = config_file(tmp_path, f'[inbound]\nlisten = "tcp://127.0.0.1:{port}"\n')
        ended = await refused(tmp_path / "data", *options)
    assert ended.code != 0
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in ended.err
