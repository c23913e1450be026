"""Brokers that stand for a whole test run, and meters on them."""

from __future__ import annotations

import asyncio
import atexit
import itertools
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tests.certificates import lab_tls
from tests.mosquitto import PLAIN, Mosquitto
from transports.channel import Listener, OnChannel
from transports.endpoint import Endpoint
from transports.mqtt.client import BrokerLogin, MqttClient, connect_broker
from transports.mqtt.message import NO_MATCHING_SUBSCRIBERS, Acknowledgement, Message, TopicFilter
from transports.registry import listen

SECONDS = 10.0  # a limit, never a measure

_numbers = itertools.count(1)


@cache
def standing_broker(scheme: str = "mqtt") -> Mosquitto:
    """One for all tests that neither stop it nor look at all that is on it. ``mqtts`` wants client certificates."""
    directory = tempfile.TemporaryDirectory(prefix="broker-")
    listener: tuple[str, ...] = ()
    if scheme == "mqtts":
        tls = lab_tls()
        listener = (
            f"cafile {tls.ca_file}",
            f"certfile {tls.certificate_file}",
            f"keyfile {tls.key_file}",
            "require_certificate true",
        )
    broker = Mosquitto(Path(directory.name), PLAIN, listener=listener)
    broker.start()
    atexit.register(directory.cleanup)
    atexit.register(broker.kill)
    return broker


def new_place(scheme: str = "mqtt") -> Endpoint:
    """A meter that nobody has spoken to yet."""
    return Endpoint(scheme, "127.0.0.1", standing_broker(scheme).port, f"lab/meter-{next(_numbers)}")


async def listen_on_mqtt(on_channel: OnChannel, _options: str = "", **options: Any) -> Listener:
    return await listen(new_place(), on_channel, **options)


async def listen_on_mqtts(on_channel: OnChannel, _options: str = "", **options: Any) -> Listener:
    return await listen(new_place("mqtts"), on_channel, **options)


class Stranger:
    """Some other program on a broker: says what it likes, hears what it subscribed to."""

    def __init__(self, client: MqttClient, heard: asyncio.Queue[Message]) -> None:
        self._client = client
        self._heard = heard

    async def say(self, message: Message) -> None:
        """And wait until the broker has it."""
        self._client.publish(message)
        await self._client.acknowledged()

    async def say_to_somebody(self, message: Message) -> None:
        """Again and again, until somebody was there to hear it."""
        said: list[Acknowledgement] = []
        while not said or said[-1].reason == NO_MATCHING_SUBSCRIBERS:
            self._client.publish(message, said.append)
            await self._client.acknowledged()

    async def hear(self) -> Message:
        return await asyncio.wait_for(self._heard.get(), SECONDS)

    @property
    def hears_nothing(self) -> bool:
        return self._heard.empty()


@asynccontextmanager
async def stranger(endpoint: Endpoint, *filters: str, login: BrokerLogin | None = None) -> AsyncIterator[Stranger]:
    heard: asyncio.Queue[Message] = asyncio.Queue()
    client = await connect_broker(
        endpoint,
        login or BrokerLogin(f"stranger-{next(_numbers)}"),
        None,
        SECONDS,
        on_message=heard.put_nowait,
        on_closed=lambda _error: None,
    )
    try:
        if filters:
            await client.subscribe([TopicFilter(text, wants_retained=True) for text in filters])
        yield Stranger(client, heard)
    finally:
        await client.close()
