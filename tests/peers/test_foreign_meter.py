"""Whole conversations of ours with Gurux' server: lists, blocks in both directions, dedicated keys.

What the server really holds afterwards is its own word (`kept`), and what was really asked its own count.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from cosem_objects import axdr
from cosem_objects.dlms.apdu import (
    ActionResponse,
    ActionResult,
    AttributeDescriptor,
    DataAccessResult,
    SetRequest,
    SetResponse,
)
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.obis import ObisCode
from cosem_objects.profile import MeterProfile
from gateway.meters import Meter
from gateway.reading.object_list import read_object_list
from gateway.session import Session, open_session, read_counters
from tests.peers.conftest import Peers, Server
from tests.peers.test_peers import (
    AK,
    CLIENT_TITLE,
    EK,
    GOOD,
    METER_TITLE,
    PASSWORD,
    PEER,
    Delivery,
    asked_of,
    deliver,
    endpoint,
)
from transports.endpoint import Endpoint

SMALL_PDU = 128
KEPT = ObisCode.parse("0-0:96.1.0.255")
GATEWAY, STS, MISSING = (ObisCode.parse(f"0-0:{rest}") for rest in ("19.40.0.255", "19.60.0.255", "19.41.0.255"))
OLD = b"what was there before"
FORMS = [None, "service-glo", "general-glo", "service-ded", "general-ded"]
WAYS = [pytest.param("wrapper", form, id=f"wrapper-{form}") for form in FORMS] + [
    pytest.param("hdlc", form, id=f"hdlc-{form}") for form in (None, "general-ded")
]
"""Framing and ciphering. HDLC carries the same APDUs: plain and the longest ones are enough."""


@contextmanager
def foreign_meter(peers: Peers, framing: str, **options: Any) -> Iterator[tuple[Server, int]]:
    security = {**PEER["hls-gmac"], "system_title": METER_TITLE}
    with peers.gurux_meter(**{**security, "framing": framing, "kept": OLD.hex(), **options}) as (server, port):
        yield server, port


def meter_at(framing: str, port: int, form: str | None, *, pdu_size_max: int = 0xFFFF) -> Meter:
    """With `form` None, nothing is ciphered."""
    security = {"mechanism": "hls-gmac", "ek": EK, "ak": AK, "client_system_title": CLIENT_TITLE, "ciphering": form}
    return Meter(
        endpoint=Endpoint.parse(endpoint(framing, port)),
        profile=replace(MeterProfile(), pdu_size_max=pdu_size_max),
        security=SecuritySettings.parse(security if form else {}),
    )


@asynccontextmanager
async def talking_to(meter: Meter) -> AsyncIterator[Session]:
    async with await open_session(meter, await read_counters(meter)) as session:
        yield session
        await session.release()


def security_of(form: str | None) -> dict[str, Any]:
    return {} if form else {"security": "none", "ek": None, "ak": None}


# --- GET ---


@pytest.mark.parametrize(("framing", "form"), WAYS)
async def test_a_long_object_list_comes_in_blocks_and_is_the_same(peers: Peers, framing: str, form: str | None) -> None:
    with foreign_meter(peers, framing, **security_of(form)) as (server, port):
        lists = []
        for size in (SMALL_PDU, 0xFFFF):
            async with talking_to(meter_at(framing, port, form, pdu_size_max=size)) as session:
                lists.append(await read_object_list(session))
        asked = asked_of(server)
        associated = [event for event in server.events if event["event"] == "associated"]
    assert lists[0] == lists[1]
    assert {(1, KEPT), (115, GATEWAY), (116, STS)} <= {(listed.class_id, listed.obis) for listed in lists[0]}
    assert asked["get-2"] >= 1
    assert associated[-1]["dedicated"] == (form is not None and form.endswith("-ded"))


def some_attributes(*obis: ObisCode) -> list[AttributeDescriptor]:
    classes = {GATEWAY: 115, STS: 116, KEPT: 1, MISSING: 115}
    return [AttributeDescriptor(classes[each], each, attribute) for each in obis for attribute in (1, 2)]


@pytest.mark.parametrize(("framing", "form"), WAYS)
async def test_a_list_is_answered_as_single_gets_are(peers: Peers, framing: str, form: str | None) -> None:
    attributes = some_attributes(GATEWAY, STS, KEPT)
    with foreign_meter(peers, framing, **security_of(form)) as (server, port):
        async with talking_to(meter_at(framing, port, form)) as session:
            listed = await session.get_many(attributes)
            alone = [await session.get(each.class_id, each.obis, each.attribute) for each in attributes]
        asked = asked_of(server)
    assert listed == alone
    assert axdr.octet_string(OLD) in listed
    assert asked["get-3"] == 1
    reading_of_the_counter = 1 if form else 0
    assert asked["get-1"] == len(attributes) + reading_of_the_counter


@pytest.mark.parametrize("mended", [False, True])
async def test_one_missing_object_spoils_a_list_of_gurux_and_is_then_read_around(peers: Peers, mended: bool) -> None:
    """Row gurux-error-in-a-list-without-choice."""
    attributes = some_attributes(GATEWAY, MISSING, KEPT)
    with foreign_meter(peers, "wrapper", mend_lists=mended) as (server, port):
        async with talking_to(meter_at("wrapper", port, "general-glo")) as session:
            results = await session.get_many(attributes)
        asked = asked_of(server)
    assert results[2:4] == [DataAccessResult.OBJECT_UNDEFINED] * 2
    assert results[5] == axdr.octet_string(OLD)
    assert asked["get-3"] == 1
    assert asked["get-1"] == 1 + (0 if mended else len(attributes))


async def test_a_list_of_gurux_that_does_not_fit_is_read_around(peers: Peers) -> None:
    """Row gurux-list-in-blocks."""
    attributes, long = some_attributes(GATEWAY, KEPT), bytes(400)
    with foreign_meter(peers, "wrapper", kept=long.hex(), max_pdu=SMALL_PDU) as (server, port):
        async with talking_to(meter_at("wrapper", port, "general-glo", pdu_size_max=SMALL_PDU)) as session:
            results = await session.get_many(attributes)
        asked = asked_of(server)
    assert results[3] == axdr.octet_string(long)
    assert (asked["get-3"], asked["get-1"]) == (1, 1 + len(attributes))


@pytest.mark.parametrize("mended", [False, True])
def test_a_delivery_reads_in_lists_what_a_foreign_meter_can_list(peers: Peers, mended: bool) -> None:
    """Without the mending the first list with something missing fails, and the rest is read one by one."""
    delivery: Delivery = deliver(peers, [GOOD], meter={"mend_lists": mended})
    assert delivery.verdicts[0]["verdict"] == "accepted", delivery.text
    asked = delivery.asked
    assert asked["action-1"] == 2  # HLS pass 3, and one token
    assert asked["get-3"] >= (2 if mended else 1)
    assert asked["get-1"] <= 2 if mended else asked["get-1"] > 10


# --- SET and ACTION ---


@pytest.mark.parametrize(("framing", "form"), WAYS)
@pytest.mark.parametrize("size", [10, 2000])
async def test_what_is_set_is_what_the_foreign_meter_holds(
    peers: Peers, framing: str, form: str | None, size: int
) -> None:
    wanted = random.Random(size).randbytes(size)
    request = SetRequest(AttributeDescriptor(1, KEPT, 2), axdr.octet_string(wanted))
    with foreign_meter(peers, framing, max_pdu=SMALL_PDU, **security_of(form)) as (server, port):
        async with talking_to(meter_at(framing, port, form, pdu_size_max=SMALL_PDU)) as session:
            response = await session.ask(request)
            read_again = await session.get(1, KEPT, 2)
        kept = [event["octets"] for event in server.ended_with("kept")]
        asked = asked_of(server)
    assert isinstance(response, SetResponse)
    assert response.result == DataAccessResult.SUCCESS
    assert kept == [wanted.hex()]
    assert read_again == axdr.octet_string(wanted)
    assert (asked["set-1"], asked["set-2"]) == ((1, 0) if size == 10 else (0, 1))
    assert asked["set-3"] >= size // SMALL_PDU - 1


@pytest.mark.parametrize(("framing", "form"), WAYS)
@pytest.mark.parametrize(("size", "size_before"), [(400, 10), (10, 400), (2000, 2000)])
async def test_an_action_with_long_data_and_a_long_answer(
    peers: Peers, framing: str, form: str | None, size: int, size_before: int
) -> None:
    """Method 1 of the foreign meter's object takes an octet-string and gives back the one before."""
    draw = random.Random(f"{size} {size_before}")
    wanted, before = draw.randbytes(size), draw.randbytes(size_before)
    options = {"max_pdu": SMALL_PDU, "kept": before.hex(), **security_of(form)}
    with foreign_meter(peers, framing, **options) as (server, port):
        async with talking_to(meter_at(framing, port, form, pdu_size_max=SMALL_PDU)) as session:
            response = await session.action(1, KEPT, 1, axdr.octet_string(wanted))
        kept = [event["octets"] for event in server.ended_with("kept")]
        asked = asked_of(server)
    assert isinstance(response, ActionResponse)
    assert response.result == ActionResult.SUCCESS
    assert kept == [wanted.hex()]
    assert response.returned == axdr.octet_string(before)
    assert (asked["action-4"] == 1) == (size > SMALL_PDU)
    assert (asked["action-6"] > 1) == (size > SMALL_PDU)
    assert (asked["action-2"] > 1) == (size_before > SMALL_PDU)


# --- ded, and the command ---


@pytest.mark.parametrize(
    ("framing", "form", "security"),
    [
        ("wrapper", "service-ded", "hls-gmac"),
        ("wrapper", "general-ded", "hls-gmac"),
        ("hdlc", "general-ded", "hls-gmac"),
        ("wrapper", "service-ded", "lls-ciphered"),
        ("wrapper", "general-ded", "hls-sha256"),
        ("hdlc", "service-ded", "hls-sha256"),
    ],
)
def test_a_token_reaches_a_foreign_meter_under_a_dedicated_key(
    peers: Peers, framing: str, form: str, security: str
) -> None:
    by_secret = security == "hls-sha256"
    meter = {"security": security, "password": PASSWORD} if by_secret else {}
    arguments = ["--security", security, "--password", PASSWORD] if by_secret else []
    own = "hls-gmac" if by_secret else security
    delivery = deliver(peers, [GOOD], framing=framing, security=own, form=form, meter=meter, arguments=arguments)
    assert delivery.code == 0, delivery.text
    assert delivery.verdicts[0]["verdict"] == "accepted"
    assert delivery.refused == [], delivery.text
    assert delivery.associated[-1]["dedicated"] is True
