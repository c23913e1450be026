"""``simmeters run`` on the wires beyond TCP: one line with many meters, a broker, meters that call in; and a fleet."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from cosem_objects.dlms.apdu import DataNotification
from gateway.delivery import Delivery
from gateway.events import Event
from gateway.meters import Meter
from gateway.verdict import Outcome
from sim_meters.__main__ import main
from sim_meters.meter_config import lab_config
from tests.certificates import lab_tls
from tests.mosquitto import Mosquitto
from tests.sim_meters.meter_client import TIMEOUT_SECONDS, associate, credit, free_ports, running
from transports.calling_in.called_in import InboundSettings
from transports.calling_in.first_words import FirstWords
from transports.calling_in.listener import listen_inbound
from transports.endpoint import Endpoint
from transports.hdlc.connection import HDLC_DEFAULTS
from transports.mqtt.watch import MqttWatch
from transports.registry import open_link
from transports.wire_settings import WIRE_DEFAULTS, WireSettings


async def check(url: str, number: int, physical: int | None = None, wires: WireSettings = WIRE_DEFAULTS) -> None:
    """The meter at a URL is the ``number``-th after the lab meter, and takes a token."""
    async with await open_link(Endpoint.parse(url), wires=wires) as link:
        client = await associate(link.channel(1, 1, physical))
        config = lab_config(number)
        assert (await client.value(1, "0-0:42.0.0.255", 2)).octets.decode() == config.device_name
        assert await client.enter(credit(config)) == 0
        assert await client.balance() == 256
        await client.channel.close()


async def test_many_meters_on_one_line(tmp_path: Path) -> None:
    line = tmp_path / "line"
    async with running("--listen", f"pty://{line}", "--meters", "3", "--physical", "17") as meters:
        assert meters.urls == [f"serial://{line}"]
        assert [line for line in meters.lines if line.startswith("meter ")][2].endswith(", physical 19")
        for number in range(3):
            await check(meters.urls[0], number, 17 + number)
        assert (await meters.stop())[0] == 0
    assert not line.is_symlink()


async def test_meters_at_a_broker(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        options = ("--listen", f"{broker.url}/site/house-09", "--meters", "3")
        async with running(*options, meters=3) as meters:
            assert meters.urls == [f"{broker.url}/site/house-{number}" for number in ("09", "10", "11")]
            for number, url in enumerate(meters.urls):
                await check(url, number)
            assert (await meters.stop())[0] == 0


async def test_a_meter_at_a_broker_pushes_what_became_of_a_token(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        endpoint = Endpoint.parse(f"{broker.url}/site/house")
        async with (
            MqttWatch(endpoint, lambda _site, _meter, apdu: heard.put_nowait(apdu), lambda *_presence: None),
            running("--listen", str(endpoint), "--push-to", "wire") as meters,
        ):
            meter = Meter(endpoint=Endpoint.parse(meters.urls[0]))
            (judged,) = await Delivery(meter, forget).run([credit(lab_config(0))])
            assert judged.verdict.outcome is Outcome.ACCEPTED
            assert (await asyncio.wait_for(heard.get(), TIMEOUT_SECONDS))[:1] == bytes((DataNotification.TAG,))


async def forget(_event: Event) -> None:
    """Nobody reads the story."""


async def test_meters_under_tls() -> None:
    tls = lab_tls()
    options = ("--tls-certificate", str(tls.certificate_file), "--tls-key", str(tls.key_file))
    async with running("--listen", "tcps://127.0.0.1:0", "--meters", "2", *options, meters=2) as meters:
        for number, url in enumerate(meters.urls):
            await check(url, number, wires=WireSettings(tls=tls))


@pytest.mark.parametrize("login", ["I am {title}", "{title}"])
async def test_meters_that_call_in(login: str) -> None:
    words = FirstWords(lambda _apdu: None, re.compile("(I am )?(?P<title>[0-9A-F]{16})"))
    endpoint = Endpoint("tcp", "127.0.0.1", free_ports())
    async with await listen_inbound(endpoint, InboundSettings(words=words)) as listener:
        options = ("--call-in", listener.url, "--meters", "2", *(("--login", login) if "I am" in login else ()))
        async with running(*options, meters=0) as meters:
            assert meters.process.stdout is not None
            for number in range(2):
                title = lab_config(number).security.meter_system_title
                await listener.meters.wait(title, TIMEOUT_SECONDS)
                shared = listener.meters.shared_link(Endpoint("inbound", system_title=title))
                async with shared.lease(Endpoint("inbound", system_title=title), HDLC_DEFAULTS, None) as link:
                    client = await associate(link.channel(1, 1))
                    assert await client.enter(credit(lab_config(number))) == 0
            out = [(await meters.process.stdout.readline()).decode() for _ in range(5)]
            assert [line for line in out if line.startswith("calling ")] == [f"calling {listener.url}\n"] * 2
            assert (await meters.stop())[0] == 0


FLEET = '[[group]]\nname = "a"\nlisten = "tcp://{host}:0"\n'
SECRET = "00112233445566778899aabbccddeeff"
BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "listen and call": (("--listen", "tcp://127.0.0.1:0", "--call-in", "tcp://127.0.0.1:1"), "--call-in: expected"),
    "call nobody": (("--call-in", "tcp://127.0.0.1:0"), "--call-in: expected tcp://host:port"),
    "call somebody else": (("--call-in", "tcp://example.org:1"), "--call-in: expected a loopback address"),
    "login without a call": (("--login", "x"), "--login: expected together with --call-in"),
    "two login lines": (("--call-in", "tcp://127.0.0.1:1", "--login", "a\nb"), "--login: expected a line"),
    "no associations": (("--associations-max", "0"), "--associations-max: expected a whole number"),
    "push to all": (("--push-to", "all"), "--push-to: expected one of nobody, client, wire"),
    "no such fleet": (("--fleet", "nowhere"), "fleet: expected key_change, small, town, twenty_thousand or a file"),
    "no such file": (("--fleet", "./nowhere.toml"), "fleet: cannot read nowhere.toml"),
    "a meter beside the fleet": (("--fleet", "small", "--meters", "2"), "--meters: expected none with --fleet"),
    "a key beside the fleet": (("--fleet", "small", "--ek", SECRET), "--ek: expected none with --fleet"),
    "a fleet for others": (("--fleet", "FILES/remote.toml"), "group a: listen: expected a loopback address"),
    "a wrong fleet": (("--fleet", "FILES/wrong.toml"), "wrong.toml: group a: 'cuont' is no member of it; did you mean"),
    "no place": (("--listen", ""), "--listen: expected an endpoint"),
    "no directory": (("--state-dir", ""), "--state-dir: expected a directory"),
    "no certificate": (("--listen", "tcps://127.0.0.1:0"), "--tls-certificate and --tls-key: expected both"),
    "HDLC addresses without HDLC": (("--address-bytes", "4"), "--address-bytes: expected none with tcp"),
    "HDLC frames without HDLC": (("--hdlc-info-max", "64"), "--hdlc-info-max: expected none with tcp"),
    "HDLC windows without HDLC": (("--hdlc-window", "2"), "--hdlc-window: expected none with tcp"),
    "HDLC pushes without HDLC": (("--hdlc-push",), "--hdlc-push: expected none with tcp"),
    "a clock before all": (("--clock-start", "0001-01-01T00:00:00+10:00"), "--clock-start: expected a time"),
    "a clock after all": (("--clock-start", "9999-12-31T23:59:59Z"), "--clock-start: expected a time"),
    "seed": (("--fleet", "small", "--seed", "x"), "--seed: expected a whole number"),
    "half of TLS": (("--fleet", "small", "--tls-key", "x"), "tls-certificate and tls-key go together"),
    "a list of no kind": (("--list", "meters.txt"), "--list: expected a name that ends in .csv"),
    "secrets of no list": (("--list-secrets",), "--list-secrets: expected together with --list"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_run_is_refused_in_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "remote.toml").write_text(FLEET.format(host="0.0.0.0"))  # noqa: S104 - it is refused
    (tmp_path / "wrong.toml").write_text(FLEET.format(host="127.0.0.1") + "cuont = 3")
    monkeypatch.setattr("sim_meters.__main__._run_to_its_end", lambda command: command.close() or 0)
    options, message = BAD[name]
    code = main(["run", *(option.replace("FILES", str(tmp_path)) for option in options)])
    out, errors = capsys.readouterr()
    assert (code in {1, 2}, out) == (True, "")
    assert errors.startswith("simmeters run: ")
    assert message in errors
    assert errors.count("\n") == 1
    assert SECRET not in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_stops_while_it_waits_for_a_broker_that_says_nothing(number: signal.Signals) -> None:
    called = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.set()
        with suppress(OSError):
            while await reader.read(1000):
                pass
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", port := free_ports()):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sim_meters", "run", "--listen", f"mqtt://127.0.0.1:{port}/site/meter"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await called.wait()
            process.send_signal(number)
            out, errors = await process.communicate()
    assert (process.returncode, out) == (0, b"")
    assert [line.rpartition(b" ")[2] for line in errors.splitlines()] == [b"stopping"]


def test_a_process_that_goes_on_after_it_can_be_stopped_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    """uvloop leaves handlers behind that do nothing."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["run", "--listen", f"tcp://127.0.0.1:{taken.getsockname()[1]}"]) == 1
    assert "in use" in capsys.readouterr().err
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


async def test_a_fleet_that_does_not_find_its_place_says_so(tmp_path: Path) -> None:
    port = free_ports()
    (tmp_path / "fleet.toml").write_text(FLEET.format(host="127.0.0.1").replace(":0", f":{port}"))
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", port):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sim_meters", "run", "--fleet", str(tmp_path / "fleet.toml")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        async with asyncio.timeout(TIMEOUT_SECONDS):
            out, errors = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert errors.decode().startswith(f"simmeters run: cannot listen on 127.0.0.1:{port}")


async def test_more_listeners_than_files_that_a_process_has_at_first(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text(FLEET.format(host="127.0.0.1") + "count = 100")
    command = f"ulimit -Sn 64; exec {sys.executable} -m sim_meters run --fleet {file}"
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", command), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            lines = [(await process.stdout.readline()).decode() for _ in range(103)]
    finally:
        process.kill()
        await process.wait()
    assert sum(line.startswith("listening ") for line in lines) == 100
