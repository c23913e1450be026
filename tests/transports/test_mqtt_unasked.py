"""What meters say unasked and who hears it, other loops, and traces."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvloop

from tests.mosquitto import Mosquitto
from tests.transports.brokers import SECONDS, new_place, standing_broker, stranger
from tests.transports.wires import echo
from transports.channel import ApduChannel
from transports.endpoint import Endpoint, EndpointError
from transports.link_pool import LinkPool
from transports.mqtt.message import Message
from transports.mqtt.watch import MqttWatch
from transports.registry import listen, open_link
from transports.trace.trace import Knowledge, Ring, Trace
from transports.wrapper import wrap


class Heard:
    """What a watch told of one meter; the standing broker keeps the states of many."""

    def __init__(self, endpoint: Endpoint | None = None) -> None:
        self.queue: asyncio.Queue[tuple[object, ...]] = asyncio.Queue()
        self._path = None if endpoint is None else endpoint.path

    def tell(self, site: str, meter: str, what: object) -> None:
        if self._path in {None, f"{site}/{meter}"}:
            self.queue.put_nowait((site, meter, what))

    async def next(self) -> tuple[object, ...]:
        return await asyncio.wait_for(self.queue.get(), SECONDS)


def watch(endpoint: Endpoint, heard: Heard, group: str = "gw") -> MqttWatch:
    return MqttWatch(endpoint, heard.tell, heard.tell, shared_group=group, chance=lambda: 0.0)


async def ask(link_or_pool: LinkPool, endpoint: Endpoint) -> bytes:
    async with await link_or_pool.open_link(endpoint) as link, link.channel() as channel:
        await channel.open(SECONDS)
        await channel.send(b"abc")
        return await channel.receive(SECONDS)


# Watches.


async def test_a_watch_hears_pushes_and_who_comes_and_goes() -> None:
    endpoint = new_place()
    heard = Heard(endpoint)
    _, name = endpoint.path.split("/")

    async def push(channel: ApduChannel) -> None:
        await channel.receive(None)
        await channel.send_unasked(b"news")
        await channel.send(b"answer")

    async with watch(endpoint, heard):
        async with await listen(endpoint, push), await open_link(endpoint) as link, link.channel() as channel:
            assert await heard.next() == ("lab", name, True)
            await channel.open(SECONDS)
            await channel.send(b"abc")
            assert await heard.next() == ("lab", name, b"news")
        assert await heard.next() == ("lab", name, False)


async def test_watches_of_one_group_share_what_is_said_and_others_hear_all() -> None:
    endpoint = new_place()
    shared, alone = Heard(endpoint), Heard(endpoint)
    _, name = endpoint.path.split("/")
    base = f"dlms/v1/{endpoint.path}"
    async with (
        watch(endpoint, shared),
        watch(endpoint, shared),
        watch(endpoint, alone, ""),
        stranger(endpoint) as meter,
    ):
        for number in range(20):
            await meter.say(Message(f"{base}/push", wrap(1, 1, bytes([number + 1]))))
        expected = [("lab", name, bytes([number + 1])) for number in range(20)]
        for queue in (shared, alone):
            assert sorted([await queue.next() for _ in range(20)]) == expected
            assert queue.queue.empty()


async def test_a_watch_drops_what_is_kept_or_cannot_be_read() -> None:
    endpoint = new_place()
    heard = Heard(endpoint)
    _, name = endpoint.path.split("/")
    base = f"dlms/v1/{endpoint.path}"
    the_watch = watch(endpoint, heard, "")
    async with stranger(endpoint) as meter:
        await meter.say(Message(f"{base}/state", b'{"online":false}', retain=True))
        await meter.say(Message(f"{base}/push", wrap(1, 1, b"old"), retain=True))
        async with the_watch:
            assert await heard.next() == ("lab", name, False)
            before = the_watch.dropped
            for payload in (b"", b"{}", wrap(1, 1, b"cut")[:-1]):
                await meter.say(Message(f"{base}/push", payload))
            await meter.say(Message(f"{base}/push", wrap(1, 1, b"kept"), retain=True))
            await meter.say(Message(f"{base}/state", b"on"))
            await meter.say(Message(f"{base}/push", wrap(1, 1, b"good")))
            assert await heard.next() == ("lab", name, b"good")
            assert the_watch.dropped - before == 5
        for topic in ("state", "push"):
            await meter.say(Message(f"{base}/{topic}", b"", retain=True))


async def test_a_watch_waits_for_a_broker_and_comes_back_to_it(tmp_path: Path) -> None:
    heard = Heard()
    broker = Mosquitto(tmp_path)
    broker.start()
    endpoint = Endpoint.parse(f"{broker.url}/lab/m1")
    broker.stop()
    the_watch = watch(endpoint, heard)
    async with the_watch:
        assert not the_watch.is_connected
        for _ in range(2):
            broker.start()
            async with stranger(endpoint) as meter:
                await meter.say_to_somebody(Message("dlms/v1/lab/m1/push", wrap(1, 1, b"news")))
                assert await heard.next() == ("lab", "m1", b"news")
            broker.kill()


# Meters.


async def test_a_meter_without_a_broker_says_so(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    broker.start()
    broker.stop()
    with pytest.raises(
        EndpointError, match=f"cannot connect to the broker 127.0.0.1:{broker.port}: Connection refused"
    ):
        await listen(Endpoint.parse(f"{broker.url}/lab/m1"), echo)


# Other loops, and traces.


def test_everything_runs_on_uvloop_as_well() -> None:
    async def story() -> bytes:
        endpoint = new_place()
        pool = LinkPool()
        async with await listen(endpoint, echo):
            answer = await ask(pool, endpoint)
        await pool.close()
        return answer

    standing_broker()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(story()) == b"cba"


@pytest.mark.parametrize("shared", [False, True])
async def test_a_trace_hears_both_sides(shared: bool) -> None:
    endpoint = new_place()
    ring = Ring()
    trace = Trace(Knowledge(None), lambda: datetime.now(UTC), [ring])
    pool = LinkPool()
    async with await listen(endpoint, echo, trace=trace):
        opened = pool.open_link(endpoint, trace=trace) if shared else open_link(endpoint, trace=trace)
        async with await opened as link, link.channel() as channel:
            await channel.open(SECONDS)
            await channel.send(b"abc")
            assert await channel.receive(SECONDS) == b"cba"
    await pool.close()
    events = [json.loads(line) for line in ring.lines()]
    apdus = [(event["direction"], event["hex"]) for event in events if event["layer"] == "apdu"]
    assert sorted(apdus) == [("received", "616263"), ("received", "636261"), ("sent", "616263"), ("sent", "636261")]
    notes = [event["note"] for event in events if event["layer"] == "note"]
    assert notes.count("link opened") == 2
    assert sum(note.startswith("link closed") for note in notes) == 2
