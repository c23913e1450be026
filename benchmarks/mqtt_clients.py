"""Which MQTT client: request and response at QoS 1 over a real mosquitto, one and a hundred in flight, side by side.

    python -m benchmarks.mqtt_clients [--seconds 2] [--turns 3]

Head-end and meter are two clients in this process; mosquitto is on its own, with ``set_tcp_nodelay true``, and
takes a thousand unacknowledged messages: with its default of 20 gmqtt's ``publish`` raises beyond 19. A request has a
response topic and 16 octets of correlation data, 60 octets of payload; the answer has 40. The contenders take turns, so
that what else the machine does hits all alike. gmqtt stands there twice: behind our port, and
bare. aiomqtt is measured where it is installed (``pip install aiomqtt==2.5.1``).
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import logging
import resource
import secrets
import socket
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.mosquitto import PLAIN, Mosquitto
from transports.endpoint import Endpoint
from transports.mqtt.client import BrokerLogin, MqttClient, connect_broker
from transports.mqtt.message import Message, TopicFilter

HOST = "127.0.0.1"
REQUEST, RESPONSE = "bench/rq", "bench/rs"
ASKED, ANSWERED = bytes(60), bytes(40)
WINDOWS = (1, 100)
LATE_SECONDS = 10.0
BROKER = (*PLAIN, "max_inflight_messages 1000")

OnRequest = Callable[[str, bytes], None]
OnResponse = Callable[[bytes], None]


class Contender(ABC):
    """A head-end's client and a meter's."""

    @abstractmethod
    async def open(self, port: int, on_response: OnResponse) -> None:
        """Connect and subscribe both."""

    @abstractmethod
    def ask(self, correlation: bytes) -> None:
        """Publish one request."""

    @abstractmethod
    async def close(self) -> None:
        """Disconnect both."""


class Port(Contender):
    async def open(self, port: int, on_response: OnResponse) -> None:
        endpoint = Endpoint("mqtt", HOST, port)

        def on_request(message: Message) -> None:
            self.meter.publish(Message(message.response_topic, ANSWERED, correlation=message.correlation))

        def on_answer(message: Message) -> None:
            on_response(message.correlation)

        self.meter = await self._connect(endpoint, "meter", REQUEST, on_request)
        self.head_end = await self._connect(endpoint, "head-end", RESPONSE, on_answer)

    async def _connect(
        self, endpoint: Endpoint, name: str, topic: str, on_message: Callable[[Message], None]
    ) -> MqttClient:
        client = await connect_broker(
            endpoint, BrokerLogin(name), None, 5, on_message=on_message, on_closed=lambda _error: None
        )
        await client.subscribe([TopicFilter(topic)])
        return client

    def ask(self, correlation: bytes) -> None:
        self.head_end.publish(
            Message(REQUEST, ASKED, expiry_seconds=30, response_topic=RESPONSE, correlation=correlation)
        )

    async def close(self) -> None:
        await self.meter.close()
        await self.head_end.close()


class Gmqtt(Contender):
    async def open(self, port: int, on_response: OnResponse) -> None:
        def on_request(_client: Any, _topic: str, _payload: bytes, _qos: int, properties: dict[str, Any]) -> int:
            correlation, topic = properties["correlation_data"][0], properties["response_topic"][0]
            self._publish(self.meter, topic, ANSWERED, {"correlation_data": correlation})
            return 0

        def on_answer(_client: Any, _topic: str, _payload: bytes, _qos: int, properties: dict[str, Any]) -> int:
            on_response(properties["correlation_data"][0])
            return 0

        self.meter = await self._connect(port, "meter", REQUEST, on_request)
        self.head_end = await self._connect(port, "head-end", RESPONSE, on_answer)

    async def _connect(self, port: int, name: str, topic: str, on_message: Callable[..., int]) -> Any:
        import gmqtt  # noqa: PLC0415 - only where it is installed

        client = gmqtt.Client(name)
        client.set_config({"reconnect_retries": -2})
        subscribed = asyncio.Event()
        client.on_message = on_message
        client.on_subscribe = lambda *_: subscribed.set()
        await client.connect(HOST, port)
        client.subscribe(topic, qos=1)
        await subscribed.wait()
        return client

    def _publish(self, client: Any, topic: str, payload: bytes, properties: dict[str, Any]) -> None:
        client.publish(topic, payload, qos=1, **properties)

    def ask(self, correlation: bytes) -> None:
        self._publish(
            self.head_end,
            REQUEST,
            ASKED,
            {"message_expiry_interval": 30, "response_topic": RESPONSE, "correlation_data": correlation},
        )

    async def close(self) -> None:
        await self.meter.disconnect()
        await self.head_end.disconnect()


class Aiomqtt(Contender):
    """A task for each publication, because its ``publish`` waits for PUBACK."""

    async def open(self, port: int, on_response: OnResponse) -> None:
        import aiomqtt  # noqa: PLC0415 - only where it is installed

        nodelay = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
        self.tasks: set[asyncio.Task[None]] = set()
        self.meter, self.head_end = (
            aiomqtt.Client(
                HOST,
                port,
                identifier=name,
                protocol=aiomqtt.ProtocolVersion.V5,
                socket_options=nodelay,
                max_concurrent_outgoing_calls=1000,
            )
            for name in ("meter", "head-end")
        )
        await self.meter.__aenter__()
        await self.head_end.__aenter__()
        await self.meter.subscribe(REQUEST, qos=1)
        await self.head_end.subscribe(RESPONSE, qos=1)
        self.readers = [asyncio.create_task(self._serve()), asyncio.create_task(self._hear(on_response))]

    async def _serve(self) -> None:
        async for message in self.meter.messages:
            correlation = message.properties.CorrelationData
            self._publish(self.meter, message.properties.ResponseTopic, ANSWERED, {"CorrelationData": correlation})

    async def _hear(self, on_response: OnResponse) -> None:
        async for message in self.head_end.messages:
            on_response(message.properties.CorrelationData)

    def _publish(self, client: Any, topic: str, payload: bytes, properties: dict[str, Any]) -> None:
        from paho.mqtt.packettypes import PacketTypes  # noqa: PLC0415
        from paho.mqtt.properties import Properties  # noqa: PLC0415

        said = Properties(PacketTypes.PUBLISH)
        for name, value in properties.items():
            setattr(said, name, value)
        task = asyncio.ensure_future(client.publish(topic, payload, qos=1, properties=said, timeout=LATE_SECONDS))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def ask(self, correlation: bytes) -> None:
        properties = {"MessageExpiryInterval": 30, "ResponseTopic": RESPONSE, "CorrelationData": correlation}
        self._publish(self.head_end, REQUEST, ASKED, properties)

    async def close(self) -> None:
        for task in (*self.readers, *self.tasks):
            task.cancel()
        await asyncio.gather(*self.readers, *self.tasks, return_exceptions=True)
        await self.meter.__aexit__(None, None, None)
        await self.head_end.__aexit__(None, None, None)


async def measure(contender: Contender, port: int, window: int, seconds: float) -> tuple[float, float]:
    """Round trips per second, and milliseconds of CPU for each, both clients together."""
    loop = asyncio.get_running_loop()
    open_ones: set[bytes] = set()
    done = 0
    ends = asyncio.Event()
    until = 0.0

    def on_response(correlation: bytes) -> None:
        nonlocal done
        if correlation not in open_ones:
            return
        open_ones.discard(correlation)
        done += 1
        if loop.time() < until:
            ask()
        elif not open_ones:
            ends.set()

    def ask() -> None:
        correlation = secrets.token_bytes(16)
        open_ones.add(correlation)
        contender.ask(correlation)

    await contender.open(port, on_response)
    began, cpu_began = loop.time(), _cpu_seconds()
    until = began + seconds
    for _ in range(window):
        ask()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds + LATE_SECONDS):
            await ends.wait()
    took, cpu = loop.time() - began, _cpu_seconds() - cpu_began
    await contender.close()
    return done / took, 1000 * cpu / max(done, 1)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _contenders() -> dict[str, Callable[[], Contender]]:
    found: dict[str, Callable[[], Contender]] = {"gmqtt behind our port": Port}
    if importlib.util.find_spec("gmqtt") is not None:
        found["gmqtt"] = Gmqtt
    if importlib.util.find_spec("aiomqtt") is not None:
        found["aiomqtt, TCP_NODELAY"] = Aiomqtt
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement (default %(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="of each contender; the best counts (default %(default)s)")
    options = parser.parse_args()
    logging.getLogger("mqtt").setLevel(logging.ERROR)  # aiomqtt warns of each eleventh publication under way
    contenders = _contenders()
    best: dict[tuple[str, int], tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as directory, Mosquitto(Path(directory), BROKER) as broker:
        for _ in range(options.turns):
            for name, make in contenders.items():
                for window in WINDOWS:
                    figures = asyncio.run(measure(make(), broker.port, window, options.seconds))
                    best[name, window] = max(figures, best.get((name, window), (0.0, 0.0)))
                    time.sleep(0.1)
    print("| client | in flight | round trips/s | CPU ms each |")
    print("| --- | ---: | ---: | ---: |")
    for (name, window), (per_second, cpu_ms) in sorted(best.items(), key=lambda item: item[0][1]):
        print(f"| {name} | {window} | {per_second:,.0f} | {cpu_ms:.3f} |")


if __name__ == "__main__":
    main()
