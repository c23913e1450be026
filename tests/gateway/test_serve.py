"""``stsgate serve`` as its operators meet it: how it starts, what it refuses, how it changes, and how it ends."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sqlite3
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from gateway.key_source import FILE_NAME as KEK_FILE
from gateway.serving.first_start import KEY_FILE
from gateway.store.sqlite.store import FILE_NAME as STORE_FILE
from tests.gateway.certificates import make_certificate
from tests.gateway.served import TIMEOUT_SECONDS, Served, refused, served
from tests.gateway.test_cli import CONFIG, ONE, meter_at
from tests.transports.wires import free_port

BOOTSTRAP_KEY = "a-bootstrap-key-of-some-length"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    return path


async def put_meter(service: Served, url: str) -> None:
    status, _ = await service.ask("PUT", "/v1/meters/m1", {"endpoint": url, "profile": "sim"})
    assert status == 201


async def order_in_state(service: Served, wanted: Callable[[str], bool]) -> dict[str, Any]:
    """The order ``o1``, as soon as its state is one of those wanted."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            _, order = await service.ask("GET", "/v1/orders/o1")
            if wanted(order["state"]):
                assert isinstance(order, dict)
                return order


async def send(service: Served, url: str) -> None:
    await put_meter(service, url)
    status, _ = await service.ask("POST", "/v1/orders", {"id": "o1", "meter": "m1", "tokens": [ONE.digits]})
    assert status == 202


@asynccontextmanager
async def mute_meter() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Takes connections, and says nothing; the event tells that somebody is there."""
    called, ended = asyncio.Event(), asyncio.Event()

    async def listen(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.set()
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", free_port())
    async with server:
        yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}", called
        ended.set()


# Starting.


def modes_in(directory: Path) -> dict[str, int]:
    modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}
    return {**modes, ".": directory.stat().st_mode & 0o777}


async def test_the_first_start_makes_all_that_is_needed_and_nobody_else_can_read_it(data_dir: Path) -> None:
    async with served(data_dir) as service:
        status, orders = await service.ask("GET", "/v1/orders")
        assert (status, orders["orders"]) == (200, [])
        status, ready = await service.ask("GET", "/readyz", key="")
        assert (status, ready["ok"]) == (200, True)
        assert set(ready["checks"]) == {"store", "dispatcher", "disk", "clock", "event_loop"}
        status, metrics = await service.ask("GET", "/metrics", key="")
        assert 'stsgate_orders{reason="",state="held"} 0.0' in metrics
        said = await service.line("first start")
        assert str(data_dir / KEY_FILE) in said
        ended = await service.stop()
    assert ended.code == 0
    assert service.api_key not in ended.out + ended.err
    modes = modes_in(data_dir)
    assert {KEY_FILE, KEK_FILE, STORE_FILE} <= set(modes)
    assert modes.pop(".") == 0o700
    assert set(modes.values()) == {0o600}


async def test_the_second_start_makes_no_other_key(data_dir: Path) -> None:
    async with served(data_dir) as service:
        key = service.api_key
        await service.stop()
    async with served(data_dir) as service:
        assert (await service.ask("GET", "/v1/orders"))[0] == 200
        ended = await service.stop()
    assert "first start" not in ended.err
    assert service.api_key == key


async def test_the_first_key_can_be_chosen(data_dir: Path) -> None:
    async with served(data_dir, STSGATE_BOOTSTRAP_API_KEY=BOOTSTRAP_KEY) as service:
        assert (await service.ask("GET", "/v1/orders"))[0] == 200
        ended = await service.stop()
    assert not (data_dir / KEY_FILE).exists()
    assert BOOTSTRAP_KEY not in ended.err
    async with served(data_dir, STSGATE_BOOTSTRAP_API_KEY="another-key-of-the-same-length") as service:
        assert (await service.ask("GET", "/v1/orders"))[0] == 401
        assert (await service.ask("GET", "/v1/orders", key=BOOTSTRAP_KEY))[0] == 200


async def test_a_first_key_that_was_revoked_is_refused(data_dir: Path) -> None:
    async with served(data_dir, STSGATE_BOOTSTRAP_API_KEY=BOOTSTRAP_KEY) as service:
        await service.stop()
    with closing(sqlite3.connect(data_dir / STORE_FILE)) as store:
        store.execute("UPDATE api_key SET revoked_at = 1")
        store.commit()
    ended = await refused(data_dir, STSGATE_BOOTSTRAP_API_KEY=BOOTSTRAP_KEY)
    assert ended.code == 1
    assert "STSGATE_BOOTSTRAP_API_KEY: this key was revoked" in only_line(ended.err)


async def test_metrics_can_be_closed(data_dir: Path) -> None:
    async with served(data_dir, STSGATE_METRICS_OPEN="false") as service:
        assert (await service.ask("GET", "/metrics", key=""))[0] == 401
        assert (await service.ask("GET", "/metrics"))[0] == 200


async def test_the_api_speaks_tls_where_it_has_a_certificate(data_dir: Path, tmp_path: Path) -> None:
    make_certificate(str(tmp_path / "one"))
    files = {
        "STSGATE_SERVICE_TLS_CERTIFICATE": str(tmp_path / "one.pem"),
        "STSGATE_SERVICE_TLS_KEY": str(tmp_path / "one.key"),
    }
    async with served(data_dir, "--http", f"0.0.0.0:{free_port()}", **files) as service:
        assert service.url.startswith("https://0.0.0.0:")
        url = URL(service.url).with_host("localhost") / "readyz"
        trust = ssl.create_default_context(cafile=files["STSGATE_SERVICE_TLS_CERTIFICATE"])
        async with aiohttp.ClientSession() as session, session.get(url, ssl=trust) as response:
            assert (await response.json())["ok"] is True
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(url.with_scheme("http").with_port(url.port))
        assert (await service.stop()).code == 0


# What cannot be started: one clear line, and the right code.


def only_line(err: str) -> str:
    (line,) = err.splitlines()
    assert line.startswith("stsgate serve: ")
    assert "Traceback" not in line
    return line


async def test_wrong_settings_are_listed_all_at_once(data_dir: Path, tmp_path: Path) -> None:
    path = config(tmp_path, '[delivery]\nin_flight_max = 0\n[log]\nlevl = "x"\n')
    ended = await refused(data_dir, "--config", str(path), "--http", "0.0.0.0:1", STSGATE_BOOTSTRAP_API_KEY="short")
    assert ended.code == 2
    assert ended.err.splitlines() == [
        "stsgate serve: log.levl: no such setting; did you mean level?",
        "stsgate serve: delivery.in_flight_max: expected a whole number from 1 to 20000",
        "stsgate serve: --http: 0.0.0.0 can be reached from outside: expected tls_certificate and tls_key, or insecure",
        "stsgate serve: STSGATE_BOOTSTRAP_API_KEY: expected 24 to 200 printable ASCII characters without blanks",
    ]
    assert modes_in(tmp_path).keys() == {".", "gateway.toml"}


async def test_another_database_is_not_supported_yet(data_dir: Path) -> None:
    ended = await refused(data_dir, "--database", "postgresql://stsgate:secret@db/stsgate")
    assert ended.code == 2
    assert "--database: PostgreSQL is not supported yet" in only_line(ended.err)
    assert "secret" not in ended.err


async def test_two_services_never_work_in_one_data_directory(data_dir: Path) -> None:
    async with served(data_dir) as service:
        ended = await refused(data_dir)
        assert ended.code == 1
        assert "another process works in this data directory" in only_line(ended.err)
        assert (await service.ask("GET", "/readyz"))[0] == 200


async def test_a_port_that_is_in_use_stops_it_before_anything_is_sent(data_dir: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", free_port()))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        ended = await refused(data_dir, "--http", address, STSGATE_BOOTSTRAP_API_KEY=BOOTSTRAP_KEY)
    assert ended.code == 1
    assert f"{address}: cannot listen there (" in only_line(ended.err)


async def test_an_address_of_another_machine_is_refused(data_dir: Path) -> None:
    options = ("--http", "192.0.2.1:8321", "--insecure")
    ended = await refused(data_dir, *options, STSGATE_BOOTSTRAP_API_KEY=BOOTSTRAP_KEY)
    assert ended.code == 1
    assert "192.0.2.1:8321: cannot listen there" in only_line(ended.err)


async def test_a_data_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    ended = await refused(tmp_path / "data", "--data-dir", "/proc/stsgate")
    assert ended.code == 2
    assert "--data-dir: /proc/stsgate cannot be made: /proc is not writable" in only_line(ended.err)


async def test_another_key_encryption_key_is_refused_and_changes_nothing(data_dir: Path) -> None:
    async with served(data_dir) as service:
        await service.stop()
    kek = data_dir / KEK_FILE
    right = kek.read_text()
    kek.write_text("00" * 32)
    ended = await refused(data_dir)
    assert ended.code == 1
    assert "is not this database's" in only_line(ended.err)
    kek.unlink()
    ended = await refused(data_dir)
    assert ended.code == 1
    assert "key-encryption key is missing" in only_line(ended.err)
    assert not kek.exists()
    kek.write_text(right)
    kek.chmod(0o644)
    ended = await refused(data_dir)
    assert ended.code == 2
    assert "chmod 600" in only_line(ended.err)
    kek.chmod(0o600)
    async with served(data_dir) as service:
        assert (await service.ask("GET", "/v1/orders"))[0] == 200


async def test_a_file_that_is_no_store_of_ours_is_refused(tmp_path: Path) -> None:
    data_dir = tmp_path
    with closing(sqlite3.connect(data_dir / STORE_FILE)) as other:
        other.execute("CREATE TABLE somebody_elses (number INTEGER)")
    ended = await refused(data_dir)
    assert ended.code == 1
    assert "belongs to another program" in only_line(ended.err)


# Ending.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_lets_the_meter_that_is_spoken_to_come_to_a_point(data_dir: Path, number: signal.Signals) -> None:
    async with meter_at(config=replace(CONFIG, status_delay_seconds=2.0)) as (url, meter), served(data_dir) as service:
        await send(service, url)
        await order_in_state(service, lambda state: state == "pending")
        service.signal(number)
        await service.line("stopping: 1 meters")
        status, ready = await service.ask("GET", "/readyz")
        assert (status, ready["checks"]["dispatcher"]["ok"]) == (503, False)
        ended = await service.end()
        assert ended.code == 0
        assert ended.err.splitlines()[-1].endswith("stopped")
        async with served(data_dir) as again:
            order = await order_in_state(again, lambda _: True)
            assert (order["state"], order["tokens"][0]["credited"]) == ("accepted", "yes")
        assert meter.ledger.times_credited(ONE) == 1


async def test_who_does_not_come_to_a_point_in_time_is_cut_off(data_dir: Path) -> None:
    async with mute_meter() as (url, called), served(data_dir, STSGATE_SERVICE_DRAIN_SECONDS="0.1") as service:
        await send(service, url)
        await called.wait()
        ended = await service.stop()
    assert ended.code == 0
    assert "1 meters were cut off" in ended.err.splitlines()[-1]


async def test_a_second_signal_ends_it_at_once(data_dir: Path) -> None:
    async with mute_meter() as (url, called), served(data_dir, STSGATE_SERVICE_DRAIN_SECONDS="3600") as service:
        await send(service, url)
        await called.wait()
        service.signal(signal.SIGTERM)
        await service.line("stopping: 1 meters")
        service.signal(signal.SIGTERM)
        ended = await service.end()
    assert ended.code == 0
    assert "1 meters were cut off" in ended.err.splitlines()[-1]


def damage(data_dir: Path) -> None:
    """As a disk might, in the place that is read first."""
    with closing(sqlite3.connect(data_dir / STORE_FILE, timeout=TIMEOUT_SECONDS)) as other:
        (version,) = other.execute("PRAGMA schema_version").fetchone()
        other.execute("PRAGMA writable_schema = ON")
        other.execute("UPDATE sqlite_schema SET sql = 'no SQL' WHERE name = 'orders'")
        other.execute(f"PRAGMA schema_version = {version + 1}")
        other.commit()


async def test_a_store_that_breaks_ends_the_process_with_one_line(data_dir: Path) -> None:
    async with served(data_dir, STSGATE_BOOTSTRAP_API_KEY=BOOTSTRAP_KEY) as service:
        damage(data_dir)
        ended = await service.end()
    assert ended.code == 3
    assert "the file is damaged" in only_line(ended.err.splitlines()[-1])
    assert "Traceback" not in ended.err


# Changing.


async def test_a_reload_changes_what_can_change_and_says_what_cannot(data_dir: Path, tmp_path: Path) -> None:
    path = config(tmp_path, "[delivery]\nin_flight_max = 10\n")
    async with served(data_dir, "--config", str(path)) as service:
        config(tmp_path, '[delivery]\nin_flight_max = 20\n[log]\nformat = "json"\n[api]\nrequests_burst = 5\n')
        service.signal(signal.SIGHUP)
        assert "changed: delivery.in_flight_max 10 -> 20" in await service.line("in_flight_max")
        assert "WARNING" in await service.line("needs a restart: api.requests_burst 10000 -> 5")
        assert "changed: log.format 'text' -> 'json'" in await service.line("log.format")
        await until_metric(service, "stsgate_meters_in_flight_max 20.0")
        service.signal(signal.SIGHUP)
        again = await service.line("needs a restart")
        assert '"message": "needs a restart: api.requests_burst 10000 -> 5"' in again
        ended = await service.stop()
    assert ended.code == 0
    assert ended.err.count("changed: ") == 2


async def until_metric(service: Served, line: str) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while line not in (await service.ask("GET", "/metrics"))[1]:
            pass


async def test_a_reload_of_a_broken_file_changes_nothing_and_says_so(data_dir: Path, tmp_path: Path) -> None:
    path = config(tmp_path, "[delivery]\nin_flight_max = 10\n")
    async with served(data_dir, "--config", str(path), STSGATE_METRICS_REFRESH_SECONDS="0.1") as service:
        config(tmp_path, '[delivery]\nin_flight_max = 20\ncampaign_share = 7\n[log]\nlevel = "loud"\n')
        service.signal(signal.SIGHUP)
        said = await service.line("settings stay as they are: delivery.campaign_share")
        assert "ERROR" in said
        await service.line("settings stay as they are: log.level: expected one of")
        config(tmp_path, "[delivery\n")
        service.signal(signal.SIGHUP)
        await service.line("is no TOML")
        assert "stsgate_meters_in_flight_max 10.0" in (await service.ask("GET", "/metrics"))[1]
        assert (await service.ask("GET", "/readyz"))[0] == 200


async def test_what_happens_to_orders_is_seen_in_the_metrics(data_dir: Path) -> None:
    async with meter_at() as (url, _meter), served(data_dir, STSGATE_METRICS_REFRESH_SECONDS="0.1") as service:
        await send(service, url)
        await order_in_state(service, lambda state: state == "accepted")
        await until_metric(service, 'stsgate_orders{reason="",state="accepted"} 1.0')
        await until_metric(service, 'stsgate_order_seconds_count{state="accepted"} 1.0')
        await until_metric(service, 'stsgate_deliveries_total{reason="",verdict="accepted"} 1.0')
        await until_metric(service, 'stsgate_http_requests_total{method="POST",route="/v1/orders",status="202"} 1.0')
        _, text = await service.ask("GET", "/metrics")
        rows = re.search(r"^stsgate_store_batch_rows_sum (\S+)$", text, re.MULTILINE)
        assert rows is not None
        assert float(rows[1]) > 3
        assert ONE.digits not in text


async def test_links_are_seen_in_the_metrics_with_their_limits(data_dir: Path) -> None:
    async with served(data_dir, STSGATE_METRICS_REFRESH_SECONDS="0.1") as service:
        for number in (1, 2):
            meter = {"endpoint": "tcp://127.0.0.1:4059", "server_sap": number, "profile": "sim"}
            assert (await service.ask("PUT", f"/v1/meters/alone-{number}", meter))[0] == 201
        assert (await service.ask("PUT", "/v1/links/street", {"concurrency": 3, "paused": True}))[0] == 201
        await until_metric(service, 'stsgate_link_limit{link="street"} 3.0')
        await until_metric(service, 'stsgate_link_paused{link="street"} 1.0')
        await until_metric(service, 'stsgate_link_limit{link="tcp://127.0.0.1:4059"} 8.0')
        await until_metric(service, 'stsgate_link_in_flight{link="tcp://127.0.0.1:4059"} 0.0')


async def test_a_supervisor_is_told_when_it_is_ready_when_it_lives_and_when_it_stops(
    data_dir: Path, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(TIMEOUT_SECONDS)
        notify = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
        async with served(data_dir, **notify) as service:
            said = {await asyncio.to_thread(listener.recv, 100) for _ in range(4)}
            assert said == {b"READY=1", b"WATCHDOG=1"}
            ended = await service.stop()
        listener.setblocking(False)
        rest = []
        while True:
            try:
                rest.append(listener.recv(100))
            except BlockingIOError:
                break
    assert ended.code == 0
    assert b"STOPPING=1" in rest
