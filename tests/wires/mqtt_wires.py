"""mqtt: a real broker, which can be killed and stopped, and a proxy on either side of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from cosem_objects.dlms.settings import SecuritySettings
from tests.gateway.test_delivery import HLS
from tests.mosquitto import PLAIN, Mosquitto
from tests.transports.wires import free_port
from tests.wires.packets import Gate
from tests.wires.point import Watch
from tests.wires.proxy import Change, Proxy
from tests.wires.stand import HDLC, Stand, Strike, Wire, pooled
from transports.endpoint import Endpoint, EndpointError
from transports.mqtt.meter import Drop, MqttMeterListener
from transports.registry import listen
from transports.wire_settings import MqttPayload, MqttProtocol, MqttSettings, WireSettings

SETTINGS = MqttSettings(reply_timeout_seconds=1.0, keep_alive_seconds=1)
HDLC_SETTINGS = MqttSettings(reply_timeout_seconds=1.0, keep_alive_seconds=1, payload=MqttPayload.HDLC)
OLD_SETTINGS = MqttSettings(reply_timeout_seconds=1.0, keep_alive_seconds=1, protocol=MqttProtocol.MQTT_3)
PERSISTENT = (*PLAIN, "persistence true", "autosave_interval 1", "autosave_on_changes true")
"""Everything goes to the disk at once."""
STILL_SECONDS = 0.6


class MqttStand(Stand):
    """The meter, and how its neighbour comes to the broker: over a connection of its own, and the same proxy."""

    def __init__(
        self,
        watch: Watch,
        broker: Mosquitto,
        near: Proxy,
        far: Proxy,
        payload: MqttPayload,
        security: SecuritySettings,
    ) -> None:
        super().__init__(watch, security)
        self.speaks_hdlc = payload is MqttPayload.HDLC
        self.dropped: Counter[Drop] = Counter()
        """Requests that the meter dropped, and why."""
        self.broker = broker
        self.near = near
        """Between head-end and broker."""
        self.far = far
        """Between broker and meter."""
        self.waking: asyncio.TimerHandle | None = None
        self.endpoint = Endpoint("mqtt", "127.0.0.1", near.own_port, "site/meter")

    async def listen(self, stand: Stand, wires: WireSettings) -> MqttMeterListener:
        """Put a meter on the broker. That is not what is tried here: a busy machine may need more than one call."""
        place = replace(stand.endpoint, port=self.far.own_port)
        for tries_left in (2, 1, 0):
            try:
                listener = await listen(place, stand.serve, hdlc=HDLC, wires=wires)
            except EndpointError:
                if not tries_left:
                    raise
            else:
                assert isinstance(listener, MqttMeterListener)
                return listener
        raise AssertionError("the last try ends or is raised")

    def wake(self) -> None:
        """It does not stand still for longer than the test needs it."""
        if self.waking is not None:
            self.waking.cancel()
            self.broker.go_on()


def _changes(passages: Mapping[str, Gate], side: str) -> Callable[[], tuple[Change, Change]]:
    """What the gates in the two passages of one side make of a new connection."""
    up, down = passages.get(f"{side} up"), passages.get(f"{side} down")
    return lambda: (bytes if up is None else up.new_change(), bytes if down is None else down.new_change())


@asynccontextmanager
async def running(broker: Mosquitto) -> AsyncIterator[Mosquitto]:
    """Others go on while it starts, and do not choose the same port meanwhile."""
    broker.port = _port_of_its_own()
    await asyncio.to_thread(broker.start)
    try:
        yield broker
    finally:
        broker.kill()


@asynccontextmanager
async def mqtt_stand(
    settings: MqttSettings,
    broker_settings: tuple[str, ...],
    watch: Watch,
    path: Path,
    *,
    is_far: bool = False,
    security: SecuritySettings = HLS,
    passages: Mapping[str, Gate] = MappingProxyType({}),
) -> AsyncIterator[MqttStand]:
    wires = WireSettings(mqtt=settings)
    async with (
        running(Mosquitto(path.with_suffix(".broker"), broker_settings)) as broker,
        Proxy(broker.port) as near,
        Proxy(broker.port) as far,
    ):
        near.new_changes = _changes(passages, "near")
        far.new_changes = _changes(passages, "far")
        stand = MqttStand(watch, broker, near, far, settings.payload, security)
        stand.carried = (far if is_far else near).carried
        async with await stand.listen(stand, wires) as listener, pooled(stand, wires):
            stand.dropped = listener.meter.dropped
            try:
                yield stand
            finally:
                stand.wake()


def _port_of_its_own() -> int:
    port = free_port()
    while port in _ports:
        port = free_port()
    _ports.add(port)
    return port


_ports: set[int] = set()
"""Of all brokers so far: many start at the same time."""


async def restart(stand: MqttStand) -> None:
    await asyncio.to_thread(stand.broker.restart)


async def kill(stand: MqttStand) -> None:
    stand.broker.kill()


async def start(stand: MqttStand) -> None:
    await asyncio.to_thread(stand.broker.start)


async def stand_still(stand: MqttStand) -> None:
    """For longer than the head-end waits for an answer."""
    stand.broker.pause()
    stand.waking = asyncio.get_running_loop().call_later(STILL_SECONDS, stand.broker.go_on)


async def cut_head_end(stand: MqttStand) -> None:
    stand.near.cut()


async def silence_head_end(stand: MqttStand) -> None:
    """Nobody is told; the head-end notices by its keep-alive."""
    stand.near.fall_silent()


async def cut_meter(stand: MqttStand) -> None:
    stand.far.cut()


async def silence_meter(stand: MqttStand) -> None:
    """The broker notices after a time-out; then it publishes the last will."""
    stand.far.fall_silent()


async def cut_silent_meter(stand: MqttStand) -> None:
    stand.far.cut()


async def hold_back(stand: MqttStand) -> None:
    stand.near.hold("up", "down")


async def release(stand: MqttStand) -> None:
    stand.near.release()


async def hold_back_from_the_meter(stand: MqttStand) -> None:
    stand.far.hold("up", "down")


async def release_to_the_meter(stand: MqttStand) -> None:
    stand.far.release()


MQTT_WIRES: dict[str, Wire] = {
    "mqtt": partial(mqtt_stand, SETTINGS, PLAIN),
    "mqtt 3.1.1": partial(mqtt_stand, OLD_SETTINGS, PLAIN),
    "mqtt with HDLC": partial(mqtt_stand, HDLC_SETTINGS, PLAIN),
    "mqtt, persistent broker": partial(mqtt_stand, SETTINGS, PERSISTENT),
}
MQTT_CUT_WIRES: dict[str, Wire] = {
    "mqtt, between head-end and broker": partial(mqtt_stand, SETTINGS, PLAIN),
    "mqtt, between broker and meter": partial(mqtt_stand, SETTINGS, PLAIN, is_far=True),
}
BROKER_STRIKES = (
    Strike("broker killed and restarted", restart),
    Strike("broker killed, away for three calls", kill, start, errors_before_heal=3),
)
MQTT_STRIKES = (
    *BROKER_STRIKES,
    Strike("broker stands still for a while", stand_still, loses=False),
    Strike("late to the broker", hold_back, release, loses=False),
    Strike("late to the meter", hold_back_from_the_meter, release_to_the_meter, loses=False),
    Strike("head-end cut from the broker", cut_head_end),
    Strike("head-end silent", silence_head_end),
    Strike("meter cut from the broker", cut_meter),
    Strike("meter silent until we give up twice", silence_meter, cut_silent_meter, errors_before_heal=2),
)
