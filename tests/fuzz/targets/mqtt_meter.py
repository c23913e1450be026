"""Topics and payloads of DLMS over MQTT, as meters, head-ends and watches read them."""

from __future__ import annotations

from tests.fuzz.properties import Choices, assert_harmless
from transports.endpoint import EndpointError
from transports.mqtt.presence import STATE_SIZE_MAX, parse_presence
from transports.mqtt.topics import (
    MeterTopics,
    is_response_topic,
    is_wpdu,
    parse_deadline,
    parse_request_3,
    parse_response_3,
    parse_unasked,
)
from transports.wrapper import WrapperReceiver, wrap

SIZE_MAX = 400
TOPICS = MeterTopics.of("dlms/v1", "lab/m1")


def seeds() -> list[bytes]:
    correlation = bytes(range(16))
    topics = [
        TOPICS.request,
        TOPICS.request_3("w", correlation, 1_700_000_000),
        TOPICS.response("w"),
        TOPICS.response_3("w", correlation.hex()),
        TOPICS.push,
        TOPICS.state,
        "lab/m1",
        "1700000000",
    ]
    states = [b'{"online":true,"since":"2026-01-31T12:00:00+00:00","fw":"1","profile":"sim"}', b'{"online":false}']
    payloads = [*states, b'{"online":1,"since":1e999}', wrap(1, 16, b"abc")]
    texts = [topic.encode() for topic in topics]
    return [bytes((len(text),)) + text + payload for text, payload in zip(texts, payloads * 2, strict=True)]


def one_input(octets: bytes) -> None:
    choices = Choices(octets)
    text = choices.piece().decode("utf-8", "replace")
    payload = choices.rest()
    check_topic(text)
    presence = parse_presence(payload)
    if presence is not None:
        assert len(payload) <= STATE_SIZE_MAX
        assert parse_presence(presence.encode()) == presence
    receiver = WrapperReceiver()
    messages = receiver.receive(payload)
    if is_wpdu(payload):
        assert len(messages) == 1
        assert receiver.failure is None
        assert not receiver.inside_message


def check_topic(text: str) -> None:
    request = parse_request_3(TOPICS, text)
    if request is not None:
        again = TOPICS.request_3(request.worker, request.correlation, request.deadline)
        assert parse_request_3(TOPICS, again) == request
    if is_response_topic(TOPICS, text):
        assert text.startswith(f"{TOPICS.base}/rs/")
        assert not set(text) & set("+#\0")
    head, correlation = parse_response_3(text)
    assert not correlation or "/" not in text or text == f"{head}/{correlation.hex()}"
    unasked = parse_unasked(TOPICS.root, text)
    assert unasked is None or text == f"{TOPICS.root}/{'/'.join(unasked)}"
    deadline = parse_deadline(text)
    assert deadline is None or 0 <= deadline < 10**12
    try:
        topics = MeterTopics.of("dlms/v1", text)
    except EndpointError as error:
        assert_harmless(error)
    else:
        assert topics.name == text
