"""docs/mqtt.md and docs/asyncapi.json say what the code does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from transports.mqtt.message import PACKET_SIZE_MAX
from transports.mqtt.meter import REMEMBERED, Drop
from transports.mqtt.meter_line import IDLE_SECONDS
from transports.mqtt.presence import OFFLINE, Presence
from transports.mqtt.topics import (
    CONTENT_TYPE,
    CONTENT_TYPE_HDLC,
    CORRELATION_SIZE,
    DEADLINE,
    MeterTopics,
    parse_request_3,
)
from transports.wire_settings import MqttPayload, MqttProtocol, MqttSettings

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "mqtt.md").read_text(encoding="utf-8")
DOCUMENT: dict[str, Any] = json.loads((DOCS / "asyncapi.json").read_text(encoding="utf-8"))
TOPICS = MeterTopics(MqttSettings().topic_root, "{site}", "{meter}")
CORRELATION = b"\x01\xab"


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def resolved(reference: str) -> Any:
    value: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        value = value[part]
    return resolved(value["$ref"]) if isinstance(value, dict) and "$ref" in value else value


def test_topics_of_the_document_are_those_of_the_code() -> None:
    filled = {"{id}": CORRELATION.hex(), "{deadline}": "7"}
    addresses = {}
    for name, channel in DOCUMENT["channels"].items():
        address = channel["address"]
        for parameter, value in filled.items():
            address = address.replace(parameter, value)
        addresses[name] = address
    assert addresses == {
        "request": TOPICS.request,
        "response": TOPICS.response("{worker}"),
        "request3": TOPICS.request_3("{worker}", CORRELATION, 7),
        "response3": TOPICS.response_3("{worker}", CORRELATION.hex()),
        "push": TOPICS.push,
        "state": TOPICS.state,
    }
    assert parse_request_3(TOPICS, addresses["request3"]) is not None


def test_the_document_has_the_form_of_asyncapi_3() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    for reference in references(DOCUMENT):
        assert reference.startswith("#/")
        assert resolved(reference)
    for channel in DOCUMENT["channels"].values():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == channel["parameters"].keys()
    for operation in DOCUMENT["operations"].values():
        channel = operation["channel"]["$ref"]
        assert operation["action"] in {"send", "receive"}
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"])
        assert operation["bindings"]["mqtt"]["qos"] == 1
        assert operation["bindings"]["mqtt"]["retain"] == channel.endswith("/state")
    for server in DOCUMENT["servers"].values():
        assert {"host", "protocol"} <= server.keys()


def test_both_directions_are_in_the_document() -> None:
    operations = DOCUMENT["operations"].values()
    sent = {one["channel"]["$ref"] for one in operations if one["action"] == "send"}
    received = {one["channel"]["$ref"] for one in operations if one["action"] == "receive"}
    answers = {one["reply"]["channel"]["$ref"] for one in operations if "reply" in one}
    assert {name.rpartition("/")[2] for name in sent | received | answers} == DOCUMENT["channels"].keys()


def test_what_is_in_messages_is_what_the_code_writes() -> None:
    messages, schemas = DOCUMENT["components"]["messages"], DOCUMENT["components"]["schemas"]
    assert {name for name, message in messages.items() if message["contentType"] != CONTENT_TYPE} == {"state"}
    assert DEADLINE in messages["request"]["headers"]["properties"]
    full = Presence(online=True, since="x", firmware="x", profile="x")
    assert json.loads(full.encode()).keys() == schemas["presence"]["properties"].keys()
    mqtt = DOCUMENT["servers"]["broker"]["bindings"]["mqtt"]
    assert mqtt["lastWill"]["message"].encode() == OFFLINE.encode()
    assert mqtt["lastWill"]["topic"] == TOPICS.state
    assert (mqtt["keepAlive"], mqtt["maximumPacketSize"]) == (MqttSettings().keep_alive_seconds, PACKET_SIZE_MAX)
    expiry = DOCUMENT["operations"]["ask"]["bindings"]["mqtt"]["messageExpiryInterval"]
    assert expiry == MqttSettings().reply_timeout_seconds


@pytest.mark.parametrize(
    "said",
    [
        CONTENT_TYPE,
        CONTENT_TYPE_HDLC,
        f"{CORRELATION_SIZE} random octets",
        f"last {REMEMBERED}",
        f"{IDLE_SECONDS:g} s",
        OFFLINE.encode().decode(),
        *(channel["address"] for channel in DOCUMENT["channels"].values()),
        *(f"`{drop}`" for drop in Drop),
        *(f"--mqtt-protocol {protocol}" for protocol in MqttProtocol if protocol is MqttProtocol.MQTT_3),
        *(f"--mqtt-payload {payload}" for payload in MqttPayload if payload is MqttPayload.HDLC),
    ],
)
def test_the_page_names_it(said: str) -> None:
    assert said in PAGE
