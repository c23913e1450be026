"""Topics and states of DLMS over MQTT, as the page in docs has them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.endpoint import EndpointError
from transports.mqtt.presence import OFFLINE, Presence, parse_presence
from transports.mqtt.topics import (
    MeterTopics,
    Request3,
    is_response_topic,
    is_wpdu,
    parse_deadline,
    parse_request_3,
    parse_response_3,
    parse_unasked,
    responses_filter,
    unasked_filter,
)
from transports.wrapper import wrap

TOPICS = MeterTopics.of("dlms/v1", "lab/m1")
LEVELS = st.text(st.characters(codec="utf-8", exclude_characters="+#/\0"), min_size=1, max_size=12)
METER_TOPICS = st.builds(MeterTopics, LEVELS, LEVELS, LEVELS)
IDS = st.binary(min_size=1, max_size=64)


def test_topics_are_those_of_the_layout() -> None:
    assert TOPICS.request == "dlms/v1/lab/m1/rq"
    assert TOPICS.response("w7") == "dlms/v1/lab/m1/rs/w7"
    assert (TOPICS.push, TOPICS.state) == ("dlms/v1/lab/m1/push", "dlms/v1/lab/m1/state")
    assert TOPICS.request_3("w7", b"\x01\xab", 1_700_000_000) == "dlms/v1/lab/m1/rq/w7/01ab/1700000000"
    assert TOPICS.response_3("w7", "01ab") == "dlms/v1/lab/m1/rs/w7/01ab"
    assert responses_filter("dlms/v1", "w7", is_5=True) == "dlms/v1/+/+/rs/w7"
    assert responses_filter("dlms/v1", "w7", is_5=False) == "dlms/v1/+/+/rs/w7/+"
    assert unasked_filter("dlms/v1", "push", "gw") == "$share/gw/dlms/v1/+/+/push"
    assert unasked_filter("dlms/v1", "state") == "dlms/v1/+/+/state"


@pytest.mark.parametrize("path", ["m1", "lab/", "/m1", "lab/m1/x", "lab/+", "#/m1", "lab/m\0", ""])
def test_what_names_no_meter_is_refused(path: str) -> None:
    with pytest.raises(EndpointError, match="root/site/meter"):
        MeterTopics.of("dlms/v1", path)


@pytest.mark.parametrize("root", ["", "/dlms", "dlms/", "dlms//v1", "dlms/+"])
def test_what_is_no_root_is_refused(root: str) -> None:
    with pytest.raises(EndpointError, match="root/site/meter"):
        MeterTopics.of(root, "lab/m1")


def test_a_name_that_leaves_no_room_in_a_topic_is_refused() -> None:
    with pytest.raises(EndpointError, match="too long"):
        MeterTopics.of("dlms/v1", "lab/" + "m" * 40_000)


@given(METER_TOPICS, LEVELS, IDS, st.integers(0, 10**12 - 1))
def test_a_request_of_3_1_1_says_in_its_topic_what_was_put_there(
    topics: MeterTopics, worker: str, correlation: bytes, deadline: int
) -> None:
    topic = topics.request_3(worker, correlation, deadline)
    assert parse_request_3(topics, topic) == Request3(worker, correlation.hex(), deadline)
    answer = topics.response_3(worker, correlation.hex())
    assert parse_response_3(answer) == (topics.response(worker), correlation)
    assert is_response_topic(topics, topics.response(worker))


@pytest.mark.parametrize(
    "rest",
    ["", "/w", "/w/01", "/w/01/x", "/w/0/1", "/w/0G/1", "/w/01/1/2", "//01/1", "/w/01/-1", "/w/01/9999999999999"],
)
def test_other_topics_are_no_requests(rest: str) -> None:
    assert parse_request_3(TOPICS, TOPICS.request + rest) is None
    assert parse_request_3(TOPICS, f"dlms/v1/lab/m2/rq{rest}") is None


def test_a_meter_answers_below_its_own_name_only() -> None:
    wrong = ("", "a", "dlms/v1/lab/m1/rs", "dlms/v1/lab/m1/rs/", "dlms/v1/lab/m1/rs/a/b", "dlms/v1/lab/m2/rs/w")
    assert [topic for topic in (*wrong, "dlms/v1/lab/m1/rs/+", "$SYS/x") if is_response_topic(TOPICS, topic)] == []


@given(METER_TOPICS, st.sampled_from(["push", "state"]))
def test_who_said_something_unasked_is_found_again(topics: MeterTopics, kind: str) -> None:
    topic = topics.push if kind == "push" else topics.state
    assert parse_unasked(topics.root, topic) == (topics.site, topics.meter, kind)


@pytest.mark.parametrize("topic", ["", "dlms/v1/lab/m1", "dlms/v1/lab/m1/rq", "x/lab/m1/push", "dlms/v1//m1/push"])
def test_other_topics_say_nothing_unasked(topic: str) -> None:
    assert parse_unasked("dlms/v1", topic) is None


def test_deadlines_are_whole_seconds() -> None:
    assert [parse_deadline(text) for text in ("0", "1700000000", "", "1.5", "-1", "1e9", "9" * 13)] == [
        0,
        1_700_000_000,
        *[None] * 5,
    ]


def test_one_wrapper_message_neither_more_nor_less() -> None:
    message = wrap(1, 16, b"abc")
    assert is_wpdu(message)
    broken = (message[:-1], message + b"\0", message + message, b"\0\2" + message[2:], message[:8], b"")
    assert [one for one in broken if is_wpdu(one)] == []


# States.


@given(st.builds(Presence, st.booleans(), *[st.text("abc 1.-:äß", max_size=20)] * 3))
def test_a_state_survives_its_json(presence: Presence) -> None:
    assert parse_presence(presence.encode()) == presence


def test_states_are_written_as_the_layout_has_them() -> None:
    assert OFFLINE.encode() == b'{"online":false}'
    full = Presence(online=True, since="2026-01-31T12:00:00+00:00", firmware="1.2", profile="sim")
    assert json.loads(full.encode()) == {
        "online": True,
        "since": "2026-01-31T12:00:00+00:00",
        "fw": "1.2",
        "profile": "sim",
    }


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"online",
        b"{}",
        b"[]",
        b"true",
        b'{"online":"yes"}',
        b'{"online":1}',
        b"\xff",
        b"[" * 4000,
        b'{"online":true}' + b" " * 5000,
    ],
)
def test_what_says_nothing_plainly_says_nothing(payload: bytes) -> None:
    assert parse_presence(payload) is None


def test_reading_is_tolerant_of_what_else_stands_there() -> None:
    payload = b'{"since":1700000000,"online":false,"fw":null,"profile":["x"],"rssi":-70,"more":{}}'
    assert parse_presence(payload) == Presence(online=False, since="1700000000")
    assert parse_presence(b'{"online":true,"since":"a\\u0000\\nb","fw":true}') == Presence(online=True, since="ab")
    long = parse_presence(b'{"online":true,"fw":"' + b"x" * 500 + b'"}')
    assert long is not None
    assert len(long.firmware) == 100


@given(st.binary(max_size=60))
def test_no_payload_breaks_the_reader(payload: bytes) -> None:
    presence = parse_presence(payload)
    assert presence is None or isinstance(presence.online, bool)
