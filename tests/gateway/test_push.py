"""A client that invokes ``push`` hears the message on its own connection, and goes on asking as if nothing had been."""

from __future__ import annotations

import logging

import pytest

from cosem_objects import axdr
from cosem_objects.dlms.apdu import ActionResult, DataNotification
from cosem_objects.dlms.client import ClientAssociation, Event
from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.obis import ObisCode
from cosem_objects.push_setup import CLASS_ID, DEFAULT_OBIS, METHOD_PUSH
from gateway.session import open_session
from tests.gateway.test_delivery import GENERAL, HLS, NONE, ONE, SHORT_HDLC, WIRES, deliver, meter_at, octets, secured
from transports.hdlc.connection import HdlcSettings

BALANCE = (111, ObisCode.parse("0-0:19.0.0.255"), 5)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[DataNotification]:
    """What clients take for notifications."""
    messages: list[DataNotification] = []
    receive = ClientAssociation.receive

    def watched(self: ClientAssociation, apdu: bytes) -> Event:
        event = receive(self, apdu)
        if isinstance(event, DataNotification):
            messages.append(event)
        return event

    monkeypatch.setattr(ClientAssociation, "receive", watched)
    return messages


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("security", [NONE, HLS, GENERAL], ids=["none", "service-glo", "general-glo"])
async def test_the_message_comes_between_two_answers(
    heard: list[DataNotification], wire: str, security: SecuritySettings
) -> None:
    async with meter_at(secured(security), wire=wire) as place:
        await deliver(place, ONE)
        counters = InvocationCounters(place.meter.counters.last_received + 1)
        async with await open_session(place.knows(), counters) as session:
            response = await session.action(CLASS_ID, DEFAULT_OBIS, METHOD_PUSH, axdr.integer(0))
            assert response.result == ActionResult.SUCCESS
            for _ in range(2):
                assert await session.get(*BALANCE) == axdr.double_long(256)
            await session.release()
    (message,) = heard
    token, _, _, balance = message.body.structure(4)
    assert (token.octets, balance.integer) == (octets(ONE), 256)


async def test_a_message_too_long_for_one_frame_is_not_sent_and_the_conversation_goes_on(
    heard: list[DataNotification], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with meter_at(wire="hdlc+tcp") as place:
        short = HdlcSettings(info_max=40, response_timeout_seconds=SHORT_HDLC.response_timeout_seconds)
        async with await open_session(place.knows(hdlc=short), InvocationCounters()) as session:
            response = await session.action(CLASS_ID, DEFAULT_OBIS, METHOD_PUSH, axdr.integer(0))
            assert response.result == ActionResult.SUCCESS
            assert await session.get(*BALANCE) == axdr.double_long(0)
    assert heard == []
    assert "a push was not sent" in caplog.text
