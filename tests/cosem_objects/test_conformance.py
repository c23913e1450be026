"""What both sides offered is used and taken, and nothing else; versions, sizes, and what a meter says unasked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosem_objects import axdr
from cosem_objects.dlms import acse
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms.acse import Aare, Aarq
from cosem_objects.dlms.apdu import (
    ActionRequestWithList,
    ConfirmedServiceError,
    Conformance,
    DataNotification,
    EventNotification,
    ExceptionResponse,
    GetRequestWithList,
    GetResponse,
    InitiateRequest,
    InitiateResponse,
    Notification,
    Request,
    SetRequestWithList,
)
from cosem_objects.dlms.client import ClientAssociation
from cosem_objects.dlms.client import State as ClientState
from cosem_objects.dlms.conformance import CLIENT_OFFERED
from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.dlms.server import ServerAssociation, State
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from tests.cosem_objects.conversation import (
    ACTION,
    ANSWERS,
    CIPHERED_ONLY,
    CLEAR,
    CLOCK,
    CTOS,
    DEDICATED,
    ENTER,
    GENERAL,
    GENERAL_DEDICATED,
    GET,
    SECURE,
    SET,
    STOC,
    Conversation,
    associated,
)

NOT_AGREED = ExceptionResponse(2, 2).encode()
LISTS = Conformance.MULTIPLE_REFERENCES
PARTS = Conformance.SELECTIVE_ACCESS
GET_LIST = GetRequestWithList(((CLOCK, None),))
SET_LIST = SetRequestWithList(((CLOCK, None),), (axdr.NULL,))
ACTION_LIST = ActionRequestWithList((ENTER,), (axdr.NULL,))

BLOCK = "01 00000001 01 00"
SERVICES: dict[str, tuple[str, Conformance]] = {
    # What a client may send, and each bit without which the meter does not take it.
    "GET": (GET.encode().hex(), Conformance.GET),
    "GET of a part": (replace(GET, selection=(2, axdr.NULL)).encode().hex(), Conformance.GET | PARTS),
    "GET with list, of a part": (
        GetRequestWithList(((CLOCK, (1, axdr.NULL)),)).encode().hex(),
        Conformance.GET | LISTS | PARTS,
    ),
    "SET of a part": (replace(SET, selection=(1, axdr.NULL)).encode().hex(), Conformance.SET | PARTS),
    "GET next": ("c002c1 00000001", Conformance.GET | Conformance.BLOCK_TRANSFER_WITH_GET),
    "GET with list": (GET_LIST.encode().hex(), Conformance.GET | LISTS),
    "SET": (SET.encode().hex(), Conformance.SET),
    "SET first block": (
        f"c102c1 0008 0000010000ff 02 00 {BLOCK}",
        Conformance.SET | Conformance.BLOCK_TRANSFER_WITH_SET,
    ),
    "SET block": (f"c103c1 {BLOCK}", Conformance.SET | Conformance.BLOCK_TRANSFER_WITH_SET),
    "SET with list": (SET_LIST.encode().hex(), Conformance.SET | LISTS),
    "SET with list, first block": (
        "c105c1 01 0008 0000010000ff 02 00 01 00000001 02 0100",
        Conformance.SET | LISTS | Conformance.BLOCK_TRANSFER_WITH_SET,
    ),
    "ACTION": (ACTION.encode().hex(), Conformance.ACTION),
    "ACTION next pblock": ("c302c1 00000001", Conformance.ACTION | Conformance.BLOCK_TRANSFER_WITH_ACTION),
    "ACTION with list": (ACTION_LIST.encode().hex(), Conformance.ACTION | LISTS),
    "ACTION first pblock": (
        f"c304c1 0073 0000132800ff 01 {BLOCK}",
        Conformance.ACTION | Conformance.BLOCK_TRANSFER_WITH_ACTION,
    ),
    "ACTION with list, first pblock": (
        "c305c1 01 0073 0000132800ff 01 01 00000001 02 0100",
        Conformance.ACTION | LISTS | Conformance.BLOCK_TRANSFER_WITH_ACTION,
    ),
    "ACTION pblock": (f"c306c1 {BLOCK}", Conformance.ACTION | Conformance.BLOCK_TRANSFER_WITH_ACTION),
    "general block": (
        f"e081 0001 0000 {len(GET.encode()):02x} {GET.encode().hex()}",
        Conformance.GET | Conformance.GENERAL_BLOCK_TRANSFER,
    ),
}


@pytest.mark.parametrize("side", ["offered", "meter_offered"])
@pytest.mark.parametrize("service", SERVICES)
def test_a_meter_takes_a_service_with_its_bits_and_with_none_of_them_missing(service: str, side: str) -> None:
    octets, needed = SERVICES[service]
    for offered, is_taken in [(needed, True), *((CLIENT_OFFERED & ~bit, False) for bit in needed)]:
        conversation = Conversation(CLEAR, **{side: offered})  # type: ignore[arg-type]
        conversation.associate()
        reaction = conversation.meter.receive(bytes.fromhex(octets))
        assert (reaction != NOT_AGREED) is is_taken
        assert conversation.meter.state is State.ASSOCIATED


@pytest.mark.parametrize("side", ["offered", "meter_offered"])
@pytest.mark.parametrize(
    "request_", [GET, SET, ACTION, GET_LIST, SET_LIST, ACTION_LIST], ids=lambda r: type(r).__name__
)
def test_a_client_sends_only_what_was_agreed(request_: Request, side: str) -> None:
    needed = {GET.TAG: Conformance.GET, SET.TAG: Conformance.SET, ACTION.TAG: Conformance.ACTION}[request_.TAG]
    needed |= LISTS if "List" in type(request_).__name__ else Conformance(0)
    for bit in needed:
        conversation = Conversation(CLEAR, **{side: CLIENT_OFFERED & ~bit})  # type: ignore[arg-type]
        conversation.associate()
        with pytest.raises(LocalProtocolError, match=f"did not agree to {bit.name}$"):
            conversation.client.request(request_)
        assert conversation.client.state is ClientState.ASSOCIATED
    conversation = Conversation(CLEAR, **{side: needed})  # type: ignore[arg-type]
    conversation.associate()
    assert conversation.client.request(request_)


@pytest.mark.parametrize(
    "request_",
    [
        replace(GET, selection=(2, axdr.NULL)),
        replace(SET, selection=(2, axdr.NULL)),
        GetRequestWithList(((CLOCK, None), (CLOCK, (1, axdr.NULL)))),
    ],
    ids=lambda r: type(r).__name__,
)
def test_a_client_asks_for_a_part_only_where_that_was_agreed(request_: Request) -> None:
    conversation = Conversation(CLEAR, meter_offered=CLIENT_OFFERED & ~PARTS)
    conversation.associate()
    with pytest.raises(LocalProtocolError, match=r"did not agree to SELECTIVE_ACCESS$"):
        conversation.client.request(request_)
    everything = Conversation(CLEAR)
    everything.associate()
    assert everything.client.request(request_)


def test_what_is_agreed_is_what_both_offered() -> None:
    for mine, theirs in (
        (Conformance.GET | LISTS, Conformance.GET | Conformance.SET),
        (CLIENT_OFFERED, Conformance.ACTION),
    ):
        conversation = Conversation(CLEAR, offered=mine, meter_offered=theirs)
        assert conversation.associate().conformance == mine & theirs == conversation.meter.conformance


def test_a_meter_that_agrees_to_more_than_was_asked_is_not_used_for_more() -> None:
    conversation = Conversation(CLEAR, offered=Conformance.GET)
    conversation.client.associate()
    agreed = InitiateResponse(Conformance(0xFFFFFF), 0).encode()
    event = conversation.client.receive(Aare(1, 0, 0, agreed).encode())
    assert event is not None
    with pytest.raises(LocalProtocolError, match="did not agree to SET"):
        conversation.client.request(SET)


@pytest.mark.parametrize("limit", [0, 12, 60, 100, 0xFFFF])
def test_a_list_is_as_long_as_meter_and_apdu_allow(limit: int) -> None:
    for settings in (CLEAR, CIPHERED_ONLY, replace(CIPHERED_ONLY, ciphering=GENERAL.ciphering)):
        conversation = Conversation(
            settings, meter_pdu_size_max=limit, offered=CLIENT_OFFERED & ~Conformance.GENERAL_BLOCK_TRANSFER
        )
        assert conversation.client.list_size_max == 1
        conversation.associate()
        longest = conversation.client.list_size_max
        assert longest == 127 if limit in {0, 0xFFFF} else 1 <= longest < 10
        if longest > 1:
            sent = conversation.client.request(GetRequestWithList(((CLOCK, None),) * longest))
            assert len(sent) <= (limit or 0xFFFF)
    without = Conversation(CLEAR, offered=CLIENT_OFFERED & ~LISTS)
    without.associate()
    assert without.client.list_size_max == 1


# Versions.


@pytest.mark.parametrize("version", [0, 1, 5, 7, 255])
def test_a_meter_of_another_dlms_version_is_no_meter_of_ours(version: int) -> None:
    client = ClientAssociation(CLEAR, InvocationCounters(), CTOS)
    client.associate()
    agreed = InitiateResponse(CLIENT_OFFERED, 0, dlms_version=version).encode()
    with pytest.raises(RemoteProtocolError, match=f"DLMS version {version}, not 6"):
        client.receive(Aare(1, 0, 0, agreed).encode())
    assert client.state is not ClientState.ASSOCIATED


@pytest.mark.parametrize("version", [0, 5])
def test_a_client_of_an_older_dlms_version_is_told_so(version: int) -> None:
    meter = ServerAssociation(CLEAR, InvocationCounters(), lambda: STOC)
    answer = meter.receive(Aarq(1, InitiateRequest(CLIENT_OFFERED, 0, dlms_version=version).encode()).encode())
    assert isinstance(answer, bytes)
    aare = acse.decode(answer)
    assert isinstance(aare, Aare)
    assert aare.user_information == ConfirmedServiceError(1, 6, 1).encode()
    assert meter.state is State.IDLE


# Sizes.


@pytest.mark.parametrize("settings", [CLEAR, CIPHERED_ONLY], ids=["clear", "ciphered"])
def test_a_meter_takes_an_apdu_of_its_own_limit_and_none_larger(settings: SecuritySettings) -> None:
    generous = Conversation(settings)
    generous.associate()
    size = len(generous.client.request(ACTION))
    for limit, is_taken in ((size, True), (size - 1, False)):
        # The client was told more than the meter takes.
        conversation = Conversation(settings)
        conversation.associate()
        conversation.meter._pdu_size_max = limit
        request = conversation.client.request(ACTION)
        reaction = conversation.meter.receive(request)
        if is_taken:
            assert reaction == ACTION
        else:
            assert reaction == ExceptionResponse(1, 4).encode()
            assert conversation.meter_counters.last_received < conversation.client_counters.next_own - 1
        assert conversation.meter.state is State.ASSOCIATED


def test_a_block_larger_than_the_meter_takes_is_refused_too() -> None:
    conversation = associated(CLEAR)
    conversation.meter._pdu_size_max = 40
    for octets in (
        xdlms.SetRequestWithDataBlock(xdlms.DataBlock(1, bytes(40))).encode(),
        xdlms.GeneralBlockTransfer(1, 0, bytes(40)).encode(),
        b"\xff" * 41,
    ):
        assert conversation.meter.receive(octets) == ExceptionResponse(1, 4).encode()


def test_the_limit_of_a_meter_does_not_stand_in_the_way_of_an_association() -> None:
    conversation = Conversation(CLEAR, meter_pdu_size_max=20)
    conversation.associate()
    assert len(conversation.sent[0]) > 20
    conversation.release()


# What a meter says unasked.

PUSH = DataNotification(7, b"", axdr.array(axdr.double_long(5009)))
EVENT = EventNotification(CLOCK, axdr.double_long(5))
NOTIFICATION_TAGS = {
    "clear": (CLEAR, 0x0F, 0xC2),
    "service-glo": (SECURE, 0xDB, 0xCA),
    "general-glo": (GENERAL, 0xDB, 0xDB),
    "service-ded": (DEDICATED, 0xDC, 0xD2),
    "general-ded": (GENERAL_DEDICATED, 0xDC, 0xDC),
}


@pytest.mark.parametrize("notification", [PUSH, EVENT], ids=["data", "event"])
@pytest.mark.parametrize("form", NOTIFICATION_TAGS)
def test_a_notification_comes_as_well_protected_as_answers_do(form: str, notification: Notification) -> None:
    settings, data_tag, event_tag = NOTIFICATION_TAGS[form]
    conversation = associated(settings)
    conversation.ask(GET, ANSWERS[GET])
    unasked = conversation.meter.notify(notification)
    assert unasked[0] == (data_tag if notification is PUSH else event_tag)
    conversation.to_meter(conversation.client.request(GET))
    assert conversation.client.receive(unasked) == notification
    assert isinstance(conversation.client.receive(conversation.respond(ANSWERS[GET])), GetResponse)


def test_a_meter_without_an_association_has_nobody_to_notify() -> None:
    conversation = Conversation(SECURE)
    for _ in range(2):
        with pytest.raises(LocalProtocolError, match="no association in which to notify"):
            conversation.meter.notify(PUSH)
        conversation.answer_of_meter(conversation.client.associate())  # HLS is not finished
        conversation = Conversation(SECURE, meter_counters=conversation.meter_counters)
    conversation = associated(SECURE)
    conversation.release()
    with pytest.raises(LocalProtocolError, match="no association in which to notify"):
        conversation.meter.notify(PUSH)


def test_a_notification_that_is_too_long_for_the_client_is_not_sent() -> None:
    for settings in (CLEAR, CIPHERED_ONLY):
        conversation = Conversation(settings, client_pdu_size_max=80)
        conversation.associate()
        assert len(conversation.meter.notify(PUSH)) <= 80
        with pytest.raises(LocalProtocolError, match="the client takes 80 at most"):
            conversation.meter.notify(replace(PUSH, body=axdr.octet_string(bytes(80))))


def test_a_meter_whose_counter_is_used_up_does_not_notify_in_clear() -> None:
    conversation = Conversation(CIPHERED_ONLY, meter_counters=InvocationCounters((1 << 32) - 1))
    conversation.associate()
    with pytest.raises(LocalProtocolError, match="used up"):
        conversation.meter.notify(PUSH)
