"""Conversations over a real broker, with other people's programs at the other end, and with what brokers do."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mosquitto import PLAIN, Mosquitto
from tests.transports.brokers import SECONDS, Stranger, new_place, stranger
from tests.transports.wires import echo, free_port
from transports.calling import Calling
from transports.channel import ApduChannel, ChannelClosed, ChannelGarbled, ChannelTimeout, Link, NotSentError
from transports.conversations import Conversations
from transports.endpoint import Endpoint
from transports.hdlc.connection import HDLC_DEFAULTS
from transports.hdlc.frame import UA, Frame, Kind
from transports.hdlc.receiver import FrameReceiver
from transports.link_pool import LinkPool
from transports.mqtt.client import BrokerLogin
from transports.mqtt.link import MqttBrokerLink, share_mqtt
from transports.mqtt.message import Message
from transports.mqtt.meter import REMEMBERED, Drop, MeterOnBroker, MqttMeterListener
from transports.mqtt.topics import CONTENT_TYPE, MeterTopics
from transports.registry import listen, open_link
from transports.wire_settings import MqttPayload, MqttProtocol, MqttSettings, WireSettings
from transports.wrapper import wrap

OVER_3 = WireSettings(mqtt=MqttSettings(protocol=MqttProtocol.MQTT_3))
OVER_5 = WireSettings()


def topics_of(endpoint: Endpoint) -> MeterTopics:
    return MeterTopics.of("dlms/v1", endpoint.path)


async def ask(channel: ApduChannel, apdu: bytes) -> bytes:
    await channel.send(apdu)
    return await channel.receive(SECONDS)


@asynccontextmanager
async def a_channel(link: Link, client_sap: int = 16) -> AsyncIterator[ApduChannel]:
    async with link.channel(client_sap, 1) as channel:
        await channel.open(SECONDS)
        yield channel


@asynccontextmanager
async def a_meter(endpoint: Endpoint, wires: WireSettings = OVER_5, now: float = 0.0) -> AsyncIterator[MeterOnBroker]:
    """One that says everything back, backwards; its clock is ahead by ``now`` seconds."""
    listener = MqttMeterListener(endpoint, Conversations(echo), Calling(wires=wires), now=lambda: time.time() + now)
    await listener.start()
    async with listener:
        yield listener.meter


def request_5(topics: MeterTopics, apdu: bytes, correlation: bytes = b"0123456789abcdef", **more: object) -> Message:
    message = Message(
        topics.request,
        wrap(16, 1, apdu),
        content_type=CONTENT_TYPE,
        response_topic=topics.response("w"),
        correlation=correlation,
    )
    return message._replace(**more)  # type: ignore[arg-type]


# Other people's meters and head-ends.


@pytest.mark.parametrize("shared", [False, True])
async def test_a_request_is_what_the_layout_says(shared: bool) -> None:
    endpoint = new_place()
    topics = topics_of(endpoint)
    pool = LinkPool(OVER_5)
    async with (
        stranger(endpoint, topics.request) as meter,
        await (pool.open_link(endpoint) if shared else open_link(endpoint)) as link,
        a_channel(link) as channel,
    ):
        await channel.send(b"abc")
        request = await meter.hear()
        assert request.payload == wrap(16, 1, b"abc")
        assert request.response_topic.startswith(f"{topics.base}/rs/")
        assert len(request.correlation) == 16
        assert (request.qos, request.retain, request.expiry_seconds) == (1, False, 5)
        assert request.content_type == "application/vnd.dlms.wpdu"
        ((name, deadline),) = request.user
        assert name == "deadline"
        assert abs(int(deadline) - time.time() - 30) < 5
        await meter.say(Message(request.response_topic, wrap(1, 16, b"cba"), correlation=request.correlation))
        assert await channel.receive(SECONDS) == b"cba"
        await channel.send(b"more")
        assert (await meter.hear()).correlation != request.correlation
    await pool.close()


async def test_a_request_of_3_1_1_says_everything_in_its_topic() -> None:
    endpoint = new_place()
    topics = topics_of(endpoint)
    async with (
        stranger(endpoint, f"{topics.request}/#", login=BrokerLogin("a-3-meter", is_5=False)) as meter,
        await open_link(endpoint, wires=OVER_3) as link,
        a_channel(link) as channel,
    ):
        await channel.send(b"abc")
        request = await meter.hear()
        assert request.payload == wrap(16, 1, b"abc")
        worker, hex_id, deadline = request.topic.removeprefix(f"{topics.request}/").split("/")
        assert len(bytes.fromhex(hex_id)) == 16
        assert abs(int(deadline) - time.time() - 30) < 5
        await meter.say(Message(f"{topics.base}/rs/{worker}/{hex_id}", wrap(1, 16, b"cba")))
        assert await channel.receive(SECONDS) == b"cba"


@pytest.mark.parametrize("wires", [OVER_5, OVER_3], ids=["5", "3.1.1"])
async def test_a_meter_answers_other_peoples_head_ends_in_both_ways(wires: WireSettings) -> None:
    endpoint = new_place()
    topics = topics_of(endpoint)
    async with a_meter(endpoint, wires), stranger(endpoint, f"{topics.base}/rs/#") as head_end:
        if wires is OVER_5:
            await head_end.say(request_5(topics, b"abc"))
            answer = await head_end.hear()
            assert (answer.topic, answer.correlation) == (topics.response("w"), b"0123456789abcdef")
            assert (answer.payload, answer.content_type) == (wrap(1, 16, b"cba"), CONTENT_TYPE)
        await head_end.say(Message(topics.request_3("w", b"\x01\x02", 2**33), wrap(16, 1, b"abc")))
        answer = await head_end.hear()
        assert (answer.topic, answer.payload) == (f"{topics.base}/rs/w/0102", wrap(1, 16, b"cba"))
        assert (answer.qos, answer.retain) == (1, False)


async def test_mosquittos_own_clients_ask_a_meter_and_hear_its_answer(tmp_path: Path) -> None:
    endpoint = new_place()
    topics = topics_of(endpoint)
    request = tmp_path / "request"
    request.write_bytes(wrap(16, 1, b"abc"))
    where = ("-V", "mqttv5", "-h", "127.0.0.1", "-p", str(endpoint.port), "-q", "1")
    async with a_meter(endpoint), stranger(endpoint) as prober:
        listening = await asyncio.create_subprocess_exec(
            *("mosquitto_sub", *where, "-C", "2", "-W", "10", "-t", f"{topics.base}/rs/#", "-F", "%t|%C|%D|%x"),
            stdout=subprocess.PIPE,
        )
        await prober.say_to_somebody(Message(topics.response("probe"), b""))
        properties = ("response-topic", topics.response("cli")), ("correlation-data", "mosquitto-client")
        asking = await asyncio.create_subprocess_exec(
            *("mosquitto_pub", *where, "-t", topics.request, "-f", str(request)),
            *(word for name, value in properties for word in ("-D", "publish", name, value)),
        )
        await asking.wait()
        heard, _ = await listening.communicate()
        expected = f"{topics.response('cli')}|{CONTENT_TYPE}|mosquitto-client|{wrap(1, 16, b'cba').hex()}"
        assert heard.decode().splitlines()[1:] == [expected]


async def test_a_meter_says_where_it_is_and_its_last_will_that_it_is_gone() -> None:
    endpoint = new_place()
    topics = topics_of(endpoint)
    async with stranger(endpoint, topics.state) as head_end:
        async with a_meter(endpoint) as meter:
            state = await head_end.hear()
            assert state.payload.startswith(b'{"online":true,"since":"20')
            meter.broker.hang_up()
            assert (await head_end.hear()).payload == b'{"online":false}'
            assert (await head_end.hear()).payload.startswith(b'{"online":true')  # it came back
        assert (await head_end.hear()).payload == b'{"online":false}'
    async with stranger(endpoint, topics.state) as late:
        kept = await late.hear()
        assert (kept.payload, kept.retain) == (b'{"online":false}', True)


async def test_what_a_meter_says_unasked_goes_to_its_push_topic() -> None:
    endpoint = new_place()
    topics = topics_of(endpoint)

    async def push(channel: ApduChannel) -> None:
        await channel.receive(None)
        await channel.send_unasked(b"news")
        await channel.send(b"answer")
        await channel.receive(None)

    async with (
        stranger(endpoint, topics.push, topics.response("w")) as head_end,
        await listen(endpoint, push),
    ):
        await head_end.say(request_5(topics, b"abc"))
        heard = {message.topic: message for message in (await head_end.hear(), await head_end.hear())}
        assert heard[topics.push].payload == wrap(1, 16, b"news")
        assert heard[topics.push].content_type == CONTENT_TYPE
        assert heard[topics.response("w")].payload == wrap(1, 16, b"answer")


async def test_a_slow_meters_answers_go_each_to_its_own_request() -> None:
    endpoint = new_place()
    topics = topics_of(endpoint)
    go_on, silent = asyncio.Event(), b"silence"

    async def slow(channel: ApduChannel) -> None:
        while True:
            apdu = await channel.receive(None)
            await go_on.wait()
            if apdu != silent:
                await channel.send(apdu[::-1])

    async with (
        await listen(endpoint, slow),
        stranger(endpoint, f"{topics.base}/rs/#") as head_end,
        stranger(endpoint) as other,
    ):
        await head_end.say(request_5(topics, b"one", b"1"))
        await head_end.say(request_5(topics, silent, b"2"))
        await head_end.say(request_5(topics, b"three", b"3"))
        await head_end.say(request_5(topics, b"four", b"4", payload=wrap(99, 1, b"four")))
        await other.say(request_5(topics, b"five", b"5", response_topic=topics.response("x")))
        await head_end.say(Message(topics.request_3("w", b"6", 2**33), wrap(16, 1, b"six")))
        go_on.set()
        heard = [await head_end.hear() for _ in range(5)]
        answers = {(message.topic, message.correlation): message.payload[8:] for message in heard}
        assert answers == {
            (topics.response("w"), b"1"): b"eno",
            (topics.response("w"), b"3"): b"eerht",
            (topics.response("w"), b"4"): b"ruof",
            (topics.response("x"), b"5"): b"evif",
            (topics.response_3("w", "36"), b"6"): b"xis",
        }


# What a meter drops.


async def served_after(head_end: Stranger, topics: MeterTopics, correlation: bytes) -> None:
    """A good request is answered, and nothing was answered before it."""
    await head_end.say(request_5(topics, b"good", correlation))
    answer = await head_end.hear()
    assert (answer.correlation, answer.payload) == (correlation, wrap(1, 16, b"doog"))
    assert head_end.hears_nothing


async def test_a_meter_drops_what_was_kept_repeated_late_or_leads_nowhere() -> None:
    endpoint = new_place()
    topics = topics_of(endpoint)
    past, future = int(time.time()) - 5, int(time.time()) + 60
    async with stranger(endpoint, f"{topics.base}/rs/#") as head_end:
        await head_end.say(request_5(topics, b"kept", b"kept", retain=True))
        async with a_meter(endpoint) as meter:
            await served_after(head_end, topics, b"first")
            bad = {
                Drop.RETAINED: [request_5(topics, b"abc", b"a", retain=True)],
                Drop.REPEATED: [request_5(topics, b"good", b"first")] * 2,
                Drop.EXPIRED: [
                    request_5(topics, b"abc", b"b", user=(("deadline", str(past)),)),
                    Message(topics.request_3("w", b"\x01", past), wrap(16, 1, b"abc")),
                ],
                Drop.UNADDRESSED: [
                    request_5(topics, b"abc", b""),
                    request_5(topics, b"abc", b"c", response_topic=""),
                    request_5(topics, b"abc", b"d", response_topic="dlms/v1/lab/other/rs/w"),
                    request_5(topics, b"abc", b"e", response_topic=topics.request),
                    request_5(topics, b"abc", b"x" * 65),
                    Message(f"{topics.request}/w/zz/{future}", wrap(16, 1, b"abc")),
                ],
                Drop.GARBLED: [
                    request_5(topics, b"abc", b"f", payload=b""),
                    request_5(topics, b"abc", b"g", payload=b"\x7e\xa0\x07\x03\x21\x93\x0f\x01\x7e"),
                    request_5(topics, b"abc", b"h", payload=wrap(16, 1, b"abc")[:-1]),
                ],
            }
            for messages in bad.values():
                for message in messages:
                    await head_end.say(message)
            await served_after(head_end, topics, b"last")
            assert meter.dropped == {why: len(messages) for why, messages in bad.items()}
        await head_end.say(Message(topics.request, b"", retain=True))


async def test_a_deadline_in_the_future_or_one_that_nobody_can_read_harms_nothing() -> None:
    endpoint = new_place()
    topics = topics_of(endpoint)
    async with a_meter(endpoint), stranger(endpoint, topics.response("w")) as head_end:
        for number, deadline in enumerate((str(int(time.time()) + 60), "soon")):
            await head_end.say(request_5(topics, b"abc", bytes([number + 1]), user=(("deadline", deadline),)))
            assert (await head_end.hear()).payload == wrap(1, 16, b"cba")


async def test_a_meter_remembers_the_last_requests_and_no_more() -> None:
    endpoint = new_place()
    topics = topics_of(endpoint)
    async with a_meter(endpoint) as meter, stranger(endpoint, topics.response("w")) as head_end:
        for number in range(REMEMBERED + 1):
            await served_after(head_end, topics, number.to_bytes(2))
        await head_end.say(request_5(topics, b"good", (1).to_bytes(2)))
        await served_after(head_end, topics, (0).to_bytes(2))  # so old that it is forgotten
        assert meter.dropped == {Drop.REPEATED: 1}


async def test_a_meter_with_too_many_workers_parts_with_the_one_that_was_silent_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("transports.mqtt.meter.LINES_MAX", 2)
    endpoint = new_place()
    topics = topics_of(endpoint)
    async with a_meter(endpoint) as meter, stranger(endpoint, f"{topics.base}/rs/#") as head_end:
        for number, worker in enumerate("abca"):
            await head_end.say(request_5(topics, b"abc", bytes([number + 1]), response_topic=topics.response(worker)))
            assert (await head_end.hear()).topic == topics.response(worker)
            assert len(meter._lines) <= 2


# What a head-end drops.


async def test_only_the_answer_to_the_last_request_is_taken() -> None:
    endpoint = new_place()
    topics = topics_of(endpoint)
    broker = await share_mqtt(endpoint, Calling())
    assert isinstance(broker, MqttBrokerLink)
    link = broker.lease(endpoint, HDLC_DEFAULTS, None)
    async with stranger(endpoint, topics.request) as meter, link, a_channel(link) as channel:
        await channel.send(b"first")
        first = await meter.hear()
        with pytest.raises(ChannelTimeout):
            await channel.receive(0.01)
        await channel.send(b"second")
        second = await meter.hear()
        topic, good = second.response_topic, wrap(1, 16, b"good")
        wrong = [
            Message(topic, wrap(1, 16, b"late"), correlation=first.correlation),
            Message(topic, wrap(1, 16, b"foreign"), correlation=b"x" * 16),
            Message(topic, wrap(1, 16, b"nobody's")),
            Message(topic, wrap(1, 16, b"kept"), correlation=second.correlation, retain=True),
            Message(topic.replace(topics.meter, "other"), wrap(1, 16, b"other's"), correlation=second.correlation),
        ]
        for message in wrong:
            await meter.say(message)
        for _ in range(3):
            await meter.say(Message(topic, good, correlation=second.correlation))
        assert await channel.receive(SECONDS) == b"good"
        await channel.send(b"third")
        third = await meter.hear()
        await meter.say(Message(topic, good, correlation=second.correlation))
        await meter.say(Message(topic, wrap(1, 16, b"last"), correlation=third.correlation))
        assert await channel.receive(SECONDS) == b"last"
        assert broker.strays == len(wrong) + 2 + 1
        await meter.say(Message(topic, b"", retain=True))
    await broker.close()


async def test_an_answer_of_several_blocks_comes_whole() -> None:
    endpoint = new_place()
    async with (
        stranger(endpoint, topics_of(endpoint).request) as meter,
        await open_link(endpoint) as link,
        a_channel(link) as channel,
    ):
        await channel.send(b"blocks, please")
        request = await meter.hear()
        for block in (b"one", b"two", b"three"):
            await meter.say(Message(request.response_topic, wrap(1, 16, block), correlation=request.correlation))
        assert [await channel.receive(SECONDS) for _ in range(3)] == [b"one", b"two", b"three"]


async def test_an_answer_that_is_no_wrapper_message_is_garbled() -> None:
    endpoint = new_place()
    async with (
        stranger(endpoint, topics_of(endpoint).request) as meter,
        await open_link(endpoint) as link,
        a_channel(link) as channel,
    ):
        await channel.send(b"abc")
        request = await meter.hear()
        await meter.say(Message(request.response_topic, b"{}", correlation=request.correlation))
        with pytest.raises(ChannelGarbled, match="no wrapper message"):
            await channel.receive(SECONDS)


async def test_two_head_ends_do_not_see_each_others_answers() -> None:
    endpoint = new_place()
    pools = [LinkPool(OVER_5) for _ in range(2)]
    async with a_meter(endpoint):
        links = [await pool.open_link(endpoint) for pool in pools]
        channels = [link.channel(16, 1) for link in links]
        for channel in channels:
            await channel.open(SECONDS)
        for number in range(20):
            for own, channel in enumerate(channels):
                await channel.send(bytes([own, number]))
            for own, channel in enumerate(channels):
                assert await channel.receive(SECONDS) == bytes([number, own])
        assert [pool._places[f"mqtt://{endpoint.authority}"].link.strays for pool in pools] == [0, 0]  # type: ignore[union-attr]
        for link in links:
            await link.close()
    for pool in pools:
        await pool.close()


async def test_a_meter_gets_one_request_at_a_time() -> None:
    endpoint = new_place()
    pool = LinkPool(OVER_5)
    async with (
        stranger(endpoint, topics_of(endpoint).request) as meter,
        await pool.open_link(endpoint) as one_link,
        await pool.open_link(endpoint) as other_link,
        a_channel(one_link, 16) as one,
        a_channel(other_link, 17) as other,
    ):
        await one.send(b"one")
        first = await meter.hear()
        waiting = asyncio.ensure_future(ask(other, b"other"))
        await meter.say(Message(first.response_topic, wrap(1, 16, b"a block"), correlation=b"wrong"))
        assert meter.hears_nothing
        await meter.say(Message(first.response_topic, wrap(1, 16, b"1"), correlation=first.correlation))
        assert await one.receive(SECONDS) == b"1"
        second = await meter.hear()
        assert second.payload == wrap(17, 1, b"other")
        await meter.say(Message(second.response_topic, wrap(1, 17, b"2"), correlation=second.correlation))
        assert await waiting == b"2"
    await pool.close()


async def test_who_gives_up_gives_the_turn_back_and_the_late_answer_is_for_nobody() -> None:
    endpoint = new_place()
    pool = LinkPool(OVER_5)
    async with (
        stranger(endpoint, topics_of(endpoint).request) as meter,
        await pool.open_link(endpoint) as link,
        a_channel(link, 16) as one,
        a_channel(link, 17) as other,
    ):
        await one.send(b"one")
        first = await meter.hear()
        with pytest.raises(ChannelTimeout):
            await one.receive(0.01)
        await meter.say(Message(first.response_topic, wrap(1, 16, b"late"), correlation=first.correlation))
        await asyncio.wait_for(other.send(b"other"), SECONDS)
        second = await meter.hear()
        await meter.say(Message(second.response_topic, wrap(1, 17, b"2"), correlation=second.correlation))
        assert await other.receive(SECONDS) == b"2"
        with pytest.raises(ChannelTimeout):
            await one.receive(0.01)
    await pool.close()


async def test_whose_turn_does_not_come_has_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transports.mqtt.channel.TURN_WAIT_SECONDS", 0.01)
    endpoint = new_place()
    pool = LinkPool(OVER_5)
    async with (
        stranger(endpoint, topics_of(endpoint).request) as meter,
        await pool.open_link(endpoint) as link,
        a_channel(link, 16) as one,
        a_channel(link, 17) as other,
    ):
        await one.send(b"one")
        await meter.hear()
        with pytest.raises(NotSentError, match=r"was in use for 0\.01 s"):
            await other.send(b"other")
        await one.close()  # gives its turn back
        await other.send(b"again")
        assert (await meter.hear()).payload == wrap(17, 1, b"again")
    await pool.close()


# Who is there, and who is not.


@pytest.mark.parametrize("shared", [False, True])
async def test_a_meter_that_says_it_is_offline_is_not_asked_until_it_is_back(shared: bool) -> None:
    endpoint = new_place()
    topics = topics_of(endpoint)
    pool = LinkPool(OVER_5)

    async def try_it() -> bytes:
        async with (
            await (pool.open_link(endpoint) if shared else open_link(endpoint)) as link,
            a_channel(link) as channel,
        ):
            return await ask(channel, b"abc")

    async with stranger(endpoint, topics.request) as other:
        await other.say(Message(topics.state, b'{"online":false,"since":"yesterday"}', retain=True))
        with pytest.raises(NotSentError, match=f"{topics.name} is offline since yesterday"):
            await try_it()
        async with a_meter(endpoint):
            # The broker tells both sides; that ours has heard of it is seen by asking.
            while True:
                try:
                    assert await try_it() == b"cba"
                    break
                except NotSentError:
                    await asyncio.sleep(0)
    await pool.close()


async def test_a_meter_that_goes_offline_ends_its_conversation() -> None:
    endpoint = new_place()
    topics = topics_of(endpoint)
    pool = LinkPool(OVER_5)
    async with stranger(endpoint, topics.request) as meter:
        await meter.say(Message(topics.state, b'{"online":true}', retain=True))
        async with await pool.open_link(endpoint) as link, a_channel(link) as channel:
            await channel.send(b"abc")
            await meter.hear()
            await meter.say(Message(topics.state, b'{"online":false}', retain=True))
            with pytest.raises(ChannelClosed, match="went offline"):
                await channel.receive(SECONDS)
            with pytest.raises(NotSentError):
                await channel.send(b"more")
    await pool.close()


async def test_a_state_that_nobody_can_read_keeps_nobody_from_asking() -> None:
    endpoint = new_place()
    topics = topics_of(endpoint)
    async with a_meter(endpoint), stranger(endpoint) as other:
        await other.say(Message(topics.state, b"gone fishing", retain=True))
        async with await open_link(endpoint) as link, a_channel(link) as channel:
            assert await ask(channel, b"abc") == b"cba"


async def test_where_nobody_listens_the_first_request_ends_the_conversation_and_later_ones_wait() -> None:
    endpoint = new_place()
    topics = topics_of(endpoint)
    async with await open_link(endpoint) as link, a_channel(link) as channel:
        await channel.send(b"abc")
        # Not "not sent": brokers stand in front of brokers.
        with pytest.raises(ChannelClosed, match=f"nobody listens for requests to {topics.name}"):
            await channel.receive(SECONDS)
    async with await open_link(endpoint) as link, a_channel(link) as channel:
        async with stranger(endpoint, topics.request) as meter:
            await channel.send(b"abc")
            request = await meter.hear()
            await meter.say(Message(request.response_topic, wrap(1, 16, b"1"), correlation=request.correlation))
            assert await channel.receive(SECONDS) == b"1"
        await channel.send(b"abc")
        with pytest.raises(ChannelTimeout):
            await channel.receive(0.1)


# What brokers do.


async def test_a_broker_that_is_killed_ends_all_links_and_everybody_comes_back(tmp_path: Path) -> None:
    pool = LinkPool(OVER_5)
    with Mosquitto(tmp_path) as broker:
        endpoint = Endpoint.parse(f"{broker.url}/lab/m1")
        async with await listen(endpoint, echo):
            async with await pool.open_link(endpoint) as link, a_channel(link) as channel:
                assert await ask(channel, b"abc") == b"cba"
                broker.kill()
                with pytest.raises(ChannelClosed, match="the broker"):
                    await channel.receive(SECONDS)
                with pytest.raises(NotSentError):
                    await channel.send(b"more")
            with pytest.raises(NotSentError, match="cannot connect to the broker"):
                await pool.open_link(endpoint)
            broker.start()
            assert await until_answered(pool, endpoint) == b"cba"
        await pool.close()


async def until_answered(pool: LinkPool, endpoint: Endpoint) -> bytes:
    """Ask until the meter, which comes back by itself, is there."""
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                async with await pool.open_link(endpoint) as link, a_channel(link) as channel:
                    return await ask(channel, b"abc")
            except (NotSentError, ChannelClosed):
                await asyncio.sleep(0.01)


async def test_a_request_that_a_slow_broker_held_too_long_is_not_executed(tmp_path: Path) -> None:
    executed: list[bytes] = []

    async def execute(channel: ApduChannel) -> None:
        while True:
            executed.append(await channel.receive(None))
            await channel.send(b"done")

    late = [0.0]
    with Mosquitto(tmp_path) as broker:
        endpoint = Endpoint.parse(f"{broker.url}/lab/m1")
        listener = MqttMeterListener(endpoint, Conversations(execute), Calling(), now=lambda: time.time() + late[0])
        await listener.start()
        async with listener, await open_link(endpoint) as link, a_channel(link) as channel:
            assert await ask(channel, b"first") == b"done"
            broker.pause()
            await channel.send(b"enter")
            with pytest.raises(ChannelTimeout):
                await channel.receive(0.05)
            # A minute later for the meter; the broker, which stood still, knows of no time that went by.
            late[0] = 60.0
            broker.go_on()
            # The broker keeps the order of messages to one topic.
            async with stranger(endpoint, listener.meter.topics.response("w")) as other:
                await other.say(request_5(listener.meter.topics, b"last"))
                await other.hear()
        assert executed == [b"first", b"last"]
        assert listener.meter.dropped == {Drop.EXPIRED: 1}


async def test_a_broker_that_stands_still_for_long_is_given_up(tmp_path: Path) -> None:
    wires = WireSettings(mqtt=MqttSettings(keep_alive_seconds=1))
    with Mosquitto(tmp_path) as broker:
        endpoint = Endpoint.parse(f"{broker.url}/lab/m1")
        async with await listen(endpoint, echo), await open_link(endpoint, wires=wires) as link:
            async with a_channel(link) as channel:
                assert await ask(channel, b"abc") == b"cba"
                broker.pause()
                with pytest.raises(ChannelClosed, match="the broker"):
                    await channel.receive(SECONDS)
            broker.go_on()


async def test_a_broker_that_takes_one_message_at_a_time_gets_one_at_a_time(tmp_path: Path) -> None:
    pool = LinkPool(OVER_5)
    with Mosquitto(tmp_path, (*PLAIN, "max_inflight_messages 1")) as broker:
        endpoints = [Endpoint.parse(f"{broker.url}/lab/m{number}") for number in range(30)]

        async def talk(endpoint: Endpoint) -> None:
            async with await pool.open_link(endpoint) as link, a_channel(link) as channel:
                for _ in range(5):
                    assert await ask(channel, b"abc") == b"cba"

        listeners = [await listen(endpoint, echo) for endpoint in endpoints]
        async with asyncio.TaskGroup() as group:
            for endpoint in endpoints:
                group.create_task(talk(endpoint))
        for listener in listeners:
            await listener.close()
        await pool.close()


async def test_what_is_given_up_while_it_waits_never_leaves(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, (*PLAIN, "max_inflight_messages 1")) as broker:
        endpoint = Endpoint.parse(f"{broker.url}/lab/m1")
        topics = topics_of(endpoint)
        link = await share_mqtt(endpoint, Calling())
        assert isinstance(link, MqttBrokerLink)
        one = link.lease(endpoint, HDLC_DEFAULTS, None)
        other = link.lease(replace(endpoint, path="lab/m2"), HDLC_DEFAULTS, None)
        async with (
            stranger(endpoint, topics.request, "dlms/v1/lab/m2/rq") as meters,
            a_channel(one) as first,
            a_channel(other) as second,
        ):
            broker.pause()
            await first.send(b"leaves")
            await second.send(b"waits")
            with pytest.raises(ChannelTimeout):
                await second.receive(0.01)
            broker.go_on()
            await second.send(b"leaves, too")
            assert [(await meters.hear()).payload[8:] for _ in range(2)] == [b"leaves", b"leaves, too"]
            assert meters.hears_nothing
        await link.close()


async def test_an_apdu_that_the_broker_does_not_take_is_not_sent(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, (*PLAIN, "max_packet_size 1000")) as broker:
        endpoint = Endpoint.parse(f"{broker.url}/lab/m1")
        async with await listen(endpoint, echo), await open_link(endpoint) as link, a_channel(link) as channel:
            with pytest.raises(NotSentError, match="takes packets of 1000 bytes, not of"):
                await channel.send(bytes(1000))
            assert await ask(channel, b"abc") == b"cba"


async def test_what_the_broker_forbids_is_told_in_its_words(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic read dlms/v1/+/+/rs/+\ntopic read dlms/v1/+/+/state\n", encoding="ascii")
    with Mosquitto(tmp_path, (*PLAIN, f"acl_file {acl}")) as broker:
        endpoint = Endpoint.parse(f"{broker.url}/lab/m1")
        async with await open_link(endpoint) as link, a_channel(link) as channel:
            await channel.send(b"abc")
            with pytest.raises(ChannelClosed, match=r"refused a request to lab/m1 .*: not authorized \(0x87\)"):
                await channel.receive(SECONDS)


async def test_who_may_not_hear_answers_asks_nothing() -> None:
    # mosquitto 2.0 grants every subscription, and lets nothing through; others refuse it.
    granted = bytes.fromhex("2003000000"), bytes.fromhex("9006000100878787")
    async with speaking(*granted) as endpoint:
        with pytest.raises(NotSentError, match=r"does not let us hear answers: not authorized \(0x87\)"):
            await open_link(endpoint)


async def test_an_answer_to_another_subscription_ends_the_connection() -> None:
    async with speaking(bytes.fromhex("2003000000"), bytes.fromhex("9004000100 01")) as endpoint:
        with pytest.raises(NotSentError, match="answered a SUBSCRIBE of 3 with something else"):
            await open_link(endpoint)


async def test_nobody_speaks_to_a_broker_without_the_right_password(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    program = await asyncio.create_subprocess_exec("mosquitto_passwd", "-b", "-c", str(passwords), "gate", "lab")
    assert await program.wait() == 0
    with Mosquitto(tmp_path, ("allow_anonymous false", f"password_file {passwords}")) as broker:
        endpoint = Endpoint.parse(f"{broker.url}/lab/m1")
        for protocol in MqttProtocol:
            right = WireSettings(mqtt=MqttSettings("gate", "lab", protocol))
            wrong = WireSettings(mqtt=MqttSettings("gate", "secret", protocol))
            async with (
                await listen(endpoint, echo, wires=right),
                await open_link(endpoint, wires=right) as link,
                a_channel(link) as channel,
            ):
                assert await ask(channel, b"abc") == b"cba"
            with pytest.raises(NotSentError, match="refused us: not authorized") as refused:
                await open_link(endpoint, wires=wrong)
            assert "secret" not in str(refused.value)


@pytest.mark.parametrize("said", [b"", b"\x30\xff\xff\xff\xff", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\x02\0\x03"])
async def test_what_is_no_broker_means_not_sent(said: bytes) -> None:
    async with speaking(said) as endpoint:
        with pytest.raises(NotSentError):
            await open_link(endpoint, connect_timeout_seconds=0.2)


async def test_a_broker_that_says_goodbye_ends_the_connection() -> None:
    hello = bytes.fromhex("2003000000"), bytes.fromhex("9006000100010101")
    goodbye = bytes.fromhex("e0028b00")
    async with speaking(*hello, goodbye) as endpoint, await open_link(endpoint) as link, a_channel(link) as channel:
        await channel.send(b"abc")
        with pytest.raises(ChannelClosed, match="server shutting down"):
            await channel.receive(SECONDS)


@asynccontextmanager
async def speaking(*said: bytes) -> AsyncIterator[Endpoint]:
    """Something that says this, one after each thing that it hears."""
    open_ones: set[asyncio.Task[None]] = set()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_ones.add(task)
        for octets in said:
            await reader.read(1000)
            writer.write(octets)
        while await reader.read(1000):
            pass
        writer.close()

    endpoint = Endpoint("mqtt", "127.0.0.1", free_port(), "lab/m1")
    async with await asyncio.start_server(speak, endpoint.host, endpoint.port):
        yield endpoint
        if open_ones:
            await asyncio.wait(open_ones, timeout=SECONDS)


async def test_a_frame_that_comes_by_itself_is_for_the_hdlc_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transports.hdlc.link.DISCONNECT_WAIT_SECONDS", 0.01)
    wires = WireSettings(mqtt=MqttSettings(payload=MqttPayload.HDLC))
    endpoint = new_place()
    async with (
        stranger(endpoint, topics_of(endpoint).request) as modem,
        await open_link(endpoint, wires=wires) as link,
        link.channel(16, 1) as channel,
    ):
        opening = asyncio.ensure_future(channel.open(SECONDS))
        snrm = await modem.hear()
        (asked,) = FrameReceiver().receive(snrm.payload)
        assert asked.kind is Kind.SNRM
        assert (snrm.content_type, len(snrm.correlation)) == ("application/vnd.dlms.hdlc", 16)
        answer = Frame(asked.source, asked.destination, UA).encode()
        await modem.say(Message(snrm.response_topic, b"\xff noise", correlation=snrm.correlation))
        await modem.say(Message(snrm.response_topic, answer))
        await opening


async def test_giving_a_meter_back_that_is_cancelled_ends_all_of_its_channels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transports.hdlc.link.DISCONNECT_WAIT_SECONDS", 0.01)
    wires = WireSettings(mqtt=MqttSettings(payload=MqttPayload.HDLC))
    pool = LinkPool(wires)
    with Mosquitto(tmp_path) as broker:
        endpoint = Endpoint.parse(f"{broker.url}/lab/m1")
        async with await listen(endpoint, echo, wires=wires):
            link, other = [await pool.open_link(endpoint) for _ in range(2)]
            for client_sap in (1, 16):
                await link.channel(client_sap, 1).open(SECONDS)
            broker.pause()  # nobody answers DISC
            closing = asyncio.ensure_future(link.close())
            await asyncio.sleep(0)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            broker.go_on()
            for client_sap in (1, 16):
                assert other.channel(client_sap, 1).address.client_sap == client_sap
            await other.close()
        await pool.close()


async def test_nothing_is_left_behind() -> None:
    endpoint = new_place()
    before = asyncio.all_tasks()
    pool = LinkPool(OVER_5)
    async with await listen(endpoint, echo), await pool.open_link(endpoint) as link, a_channel(link) as channel:
        await ask(channel, b"abc")
    await pool.close()
    assert asyncio.all_tasks() == before
