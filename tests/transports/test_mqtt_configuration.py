"""config/mosquitto: its files, with certificates made by its README's commands, against a real mosquitto."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.mosquitto import Mosquitto
from tests.transports.brokers import SECONDS
from tests.transports.wires import echo
from transports.channel import ChannelClosed, NotSentError
from transports.endpoint import Endpoint, EndpointError
from transports.mqtt.client import BrokerLogin, MqttClient, connect_broker
from transports.mqtt.message import Acknowledgement, Message, TopicFilter
from transports.mqtt.watch import MqttWatch
from transports.registry import listen, open_link
from transports.tls import client_context
from transports.wire_settings import MqttProtocol, MqttSettings, TlsSettings, WireSettings
from transports.wrapper import wrap

FOLDER = Path(__file__).resolve().parents[2] / "config" / "mosquitto"
NOT_AUTHORIZED = 0x87


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    directory = tmp_path_factory.mktemp("mosquitto")
    commands = re.search(r"```sh\n(mkdir.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert commands is not None
    subprocess.run(["/bin/sh", "-e", "-c", commands[1]], cwd=directory, check=True, capture_output=True)
    (directory / "acl.conf").write_bytes((FOLDER / "acl.conf").read_bytes())
    configuration = (FOLDER / "mosquitto.conf").read_text(encoding="utf-8")
    for folder in ("/etc/mosquitto", "/var/lib/mosquitto"):
        assert folder in configuration
        configuration = configuration.replace(folder, str(directory))
    with Mosquitto(directory, whole=configuration.replace("listener 8883", "listener PORT 127.0.0.1")) as started:
        yield started


def wires(broker: Mosquitto, name: str, protocol: MqttProtocol = MqttProtocol.MQTT_5) -> WireSettings:
    certs = broker.directory / "certs"
    tls = TlsSettings(str(certs / "ca.crt"), str(certs / f"{name}.crt"), str(certs / f"{name}.key"))
    return WireSettings(tls, MqttSettings(protocol=protocol))


def endpoint(broker: Mosquitto, meter: str, site: str = "site-1") -> Endpoint:
    return Endpoint.parse(f"mqtts://localhost:{broker.port}/{site}/{meter}")


@asynccontextmanager
async def logged_in(broker: Mosquitto, name: str) -> Any:
    heard: asyncio.Queue[Message] = asyncio.Queue()
    client = await connect_broker(
        endpoint(broker, name),
        BrokerLogin(f"{name}-again"),
        client_context(wires(broker, name).tls),
        SECONDS,
        on_message=heard.put_nowait,
        on_closed=lambda _error: None,
    )
    try:
        yield client, heard
    finally:
        await client.close()


async def said_to(client: MqttClient, topic: str) -> int:
    said: list[Acknowledgement] = []
    client.publish(Message(topic, b"x"), said.append)
    await client.acknowledged()
    return said[0].reason


@pytest.mark.parametrize("protocol", list(MqttProtocol))
async def test_head_end_and_meter_speak_over_the_example(broker: Mosquitto, protocol: MqttProtocol) -> None:
    place = endpoint(broker, "meter-1")
    async with (
        await listen(place, echo, wires=wires(broker, "meter-1", protocol)),
        await open_link(place, wires=wires(broker, "head-end", protocol)) as link,
        link.channel() as channel,
    ):
        await channel.open(SECONDS)
        await channel.send(b"abc")
        assert await channel.receive(SECONDS) == b"cba"


async def test_a_meter_publishes_nothing_but_its_own(broker: Mosquitto) -> None:
    async with logged_in(broker, "meter-1") as (client, _):
        own = ["rs/w", "rs/w/01", "push", "state"]
        assert [await said_to(client, f"dlms/v1/s/meter-1/{rest}") for rest in own] == [0x10] * len(own)
        others = [f"dlms/v1/s/meter-2/{rest}" for rest in own]
        forbidden = [*others, "dlms/v1/s/meter-1/rq", "dlms/v1/s/meter-1/rs/w/01/x", "dlms/v2/s/meter-1/push", "x"]
        assert [await said_to(client, topic) for topic in forbidden] == [NOT_AUTHORIZED] * len(forbidden)


async def test_a_meter_hears_nothing_but_its_own_requests(broker: Mosquitto) -> None:
    async with logged_in(broker, "meter-1") as (meter, heard), logged_in(broker, "head-end") as (head_end, _):
        await meter.subscribe([TopicFilter("#"), TopicFilter("dlms/v1/+/meter-2/rq"), TopicFilter("$share/x/#")])
        async with logged_in(broker, "meter-2") as (other, _):
            await said_to(other, "dlms/v1/s/meter-2/push")
        for topic in ("dlms/v1/s/meter-2/rq", "dlms/v1/s/meter-2/rq/w/01/9", "dlms/v1/s/meter-1/rq"):
            await said_to(head_end, topic)
        assert (await asyncio.wait_for(heard.get(), SECONDS)).topic == "dlms/v1/s/meter-1/rq"
        await said_to(head_end, "dlms/v1/s/meter-1/rq/w/01/9")
        topics = set()
        while "dlms/v1/s/meter-1/rq/w/01/9" not in topics:
            topics.add((await asyncio.wait_for(heard.get(), SECONDS)).topic)
        assert topics <= {"dlms/v1/s/meter-1/rq", "dlms/v1/s/meter-1/rq/w/01/9"}


async def test_a_head_end_answers_for_nobody(broker: Mosquitto) -> None:
    async with logged_in(broker, "head-end") as (client, _):
        forbidden = [f"dlms/v1/s/meter-1/{rest}" for rest in ("rs/w", "rs/w/01", "push", "state")]
        assert [await said_to(client, topic) for topic in forbidden] == [NOT_AUTHORIZED] * len(forbidden)


async def test_a_watch_hears_pushes_and_states_of_all(broker: Mosquitto) -> None:
    heard: asyncio.Queue[tuple[object, ...]] = asyncio.Queue()
    watch = MqttWatch(
        endpoint(broker, "any"),
        lambda *push: heard.put_nowait(push),
        lambda *presence: heard.put_nowait(presence),
        wires=wires(broker, "head-end"),
    )
    async with watch, logged_in(broker, "meter-2") as (meter, _):
        meter.publish(Message("dlms/v1/s/meter-2/push", wrap(1, 1, b"news")))
        meter.publish(Message("dlms/v1/s/meter-2/state", b'{"online":true}', retain=True))
        wanted = {("s", "meter-2", b"news"), ("s", "meter-2", True)}
        async with asyncio.timeout(SECONDS):
            while wanted:  # and what the broker keeps of the states of others
                wanted.discard(await heard.get())


async def test_nobody_gets_in_without_a_certificate_of_this_ca(broker: Mosquitto) -> None:
    place, certs = endpoint(broker, "meter-1"), broker.directory / "certs"
    without = WireSettings(TlsSettings(str(certs / "ca.crt")))
    # With TLS 1.3 the broker's refusal comes after its own greeting: the connection stands for a moment.
    with pytest.raises((NotSentError, ChannelClosed)):
        await open_link(place, wires=without)
    with pytest.raises(EndpointError, match="broker"):
        await listen(place, echo, wires=without)
    with pytest.raises(NotSentError, match="certificate is not trusted"):
        await open_link(place, wires=WireSettings(TlsSettings()))
    with pytest.raises(EndpointError, match=r"nothing\.pem"):
        await open_link(place, wires=WireSettings(TlsSettings(ca_file="nothing.pem")))
    with pytest.raises(NotSentError):
        await open_link(Endpoint.parse(f"mqtt://localhost:{broker.port}/s/m"), connect_timeout_seconds=2)


def test_the_example_asks_for_certificates_and_tls_of_today() -> None:
    text = (FOLDER / "mosquitto.conf").read_text(encoding="utf-8").splitlines()
    for line in ("allow_anonymous false", "require_certificate true", "tls_version tlsv1.2", "set_tcp_nodelay true"):
        assert line in text
