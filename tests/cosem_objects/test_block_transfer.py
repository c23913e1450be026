"""What is too long for one APDU goes in blocks: octet for octet, at every size, and with all that can go wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms import block_transfer
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionRequestWithList,
    ActionResponse,
    ActionResponseWithList,
    AttributeDescriptor,
    Conformance,
    ExceptionResponse,
    GetRequestWithList,
    GetResponse,
    GetResponseWithList,
    MethodDescriptor,
    Request,
    Response,
    SetRequest,
    SetRequestWithList,
    SetResponse,
    SetResponseWithList,
)
from cosem_objects.dlms.client import State as ClientState
from cosem_objects.dlms.conformance import CLIENT_OFFERED
from cosem_objects.dlms.refusals import ServiceRefused
from cosem_objects.dlms.settings import Ciphering, Protection, SecuritySettings
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from cosem_objects.obis import ObisCode
from tests.cosem_objects.conversation import (
    ACTION,
    CIPHERED_ONLY,
    CLEAR,
    CLOCK,
    ENTER,
    GET,
    SET,
    Conversation,
)
from tests.cosem_objects.strategies import understood

WITHOUT_GENERAL = CLIENT_OFFERED & ~Conformance.GENERAL_BLOCK_TRANSFER
GET_LIST = GetRequestWithList(((CLOCK, None), (CLOCK, (1, axdr.unsigned(5)))))
SET_LIST = SetRequestWithList(((CLOCK, None), (CLOCK, None)), (axdr.unsigned(1), axdr.NULL))
ACTION_LIST = ActionRequestWithList((ENTER, ENTER), (axdr.NULL, axdr.unsigned(1)))


def octets(size: int) -> Data:
    return axdr.octet_string(bytes(number & 0xFF for number in range(size)))


def clear(client_pdu_size_max: int = 0, meter_pdu_size_max: int = 0, **more: Any) -> Conversation:
    """A plain association that stands."""
    conversation = Conversation(
        CLEAR, client_pdu_size_max=client_pdu_size_max, meter_pdu_size_max=meter_pdu_size_max, **more
    )
    conversation.associate()
    return conversation


def said(conversation: Conversation) -> list[str]:
    """What went over the wire since the association, client and meter in turn."""
    pairs = zip(conversation.sent[1:], conversation.answered[1:], strict=True)
    return [octets.hex() for pair in pairs for octets in pair]


def lines(text: str) -> list[str]:
    return [line.replace(" ", "") for line in text.split("\n") if line.strip()]


# Octet for octet.

EXAMPLES: dict[str, tuple[int, int, Request, Response, str]] = {
    # The client's limit, the meter's limit, what is asked and answered, and what has to be seen on the wire.
    "get": (
        24,
        0,
        GET,
        GetResponse(octets(20)),
        """
        c001c1 0008 0000010000ff 02 00
        c402c1 00 00000001 00 0c 0914 00010203040506070809
        c002c1 00000001
        c402c1 01 00000002 00 0a 0a0b0c0d0e0f10111213
        """,
    ),
    "get-with-list": (
        # The parts together are a list of results, while the answer to a normal GET in blocks is a value alone.
        17,
        0,
        replace(GET_LIST, attributes=((CLOCK, None), (CLOCK, None))),
        GetResponseWithList((axdr.long_unsigned(7), octets(8))),
        """
        c003c1 02 0008 0000010000ff 02 00 0008 0000010000ff 02 00
        c402c1 00 00000001 00 05 02 00 12 0007
        c002c1 00000001
        c402c1 00 00000002 00 05 00 09 08 0001
        c002c1 00000002
        c402c1 00 00000003 00 05 0203040506
        c002c1 00000003
        c402c1 01 00000004 00 01 07
        """,
    ),
    "set": (
        0,
        26,
        replace(SET, data=octets(20)),
        SetResponse(3),
        """
        c102c1 0008 0000010000ff 02 00 00 00000001 05 0914000102
        c502c1 00000001
        c103c1 00 00000002 0f 030405060708090a0b0c0d0e0f1011
        c502c1 00000002
        c103c1 01 00000003 02 1213
        c503c1 03 00000003
        """,
    ),
    "set-with-list": (
        0,
        36,
        replace(SET_LIST, values=(octets(20), axdr.unsigned(1))),
        SetResponseWithList((0, 3)),
        """
        c105c1 02 0008 0000010000ff 02 00 0008 0000010000ff 02 00 00 00000001 04 02091400
        c502c1 00000001
        c103c1 01 00000002 15 0102030405060708090a0b0c0d0e0f10111213 1101
        c504c1 02 00 03 00000002
        """,
    ),
    "action": (
        0,
        24,
        replace(ACTION, data=octets(12)),
        ActionResponse(0),
        """
        c304c1 0073 0000132800ff 01 00 00000001 04 090c0001
        c704c1 00000001
        c306c1 01 00000002 0a 02030405060708090a0b
        c701c1 00 00
        """,
    ),
    "action, both ways": (
        20,
        24,
        replace(ACTION, data=octets(12)),
        ActionResponse(0, octets(14)),
        """
        c304c1 0073 0000132800ff 01 00 00000001 04 090c0001
        c704c1 00000001
        c306c1 01 00000002 0a 02030405060708090a0b
        c702c1 00 00000001 09 090e00010203040506
        c302c1 00000001
        c702c1 01 00000002 07 0708090a0b0c0d
        """,
    ),
    "action-with-list, both ways": (
        20,
        36,
        replace(ACTION_LIST, values=(axdr.unsigned(1), octets(12))),
        ActionResponseWithList(((0, octets(14)), (12, None))),
        """
        c305c1 02 0073 0000132800ff 01 0073 0000132800ff 01 00 00000001 06 021101090c00
        c704c1 00000001
        c306c1 01 00000002 0b 0102030405060708090a0b
        c702c1 00 00000001 09 02 00 01 00 090e 000102
        c302c1 00000001
        c702c1 00 00000002 09 030405060708090a0b
        c302c1 00000002
        c702c1 01 00000003 04 0c0d 0c 00
        """,
    ),
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_blocks_are_octet_for_octet_what_the_standard_says(example: str) -> None:
    client_limit, meter_limit, request, response, wire = EXAMPLES[example]
    conversation = clear(client_limit, meter_limit, offered=WITHOUT_GENERAL)
    assert replace(conversation.ask(request, response), invoke=response.invoke) == response
    assert said(conversation) == lines(wire)


BOOK_VALUE = AttributeDescriptor(1, ObisCode.parse("0-0:1.0.0.255"), 2)
BOOK_METHOD = MethodDescriptor(1, ObisCode.parse("0-0:1.0.0.255"), 1)
FORTY = axdr.octet_string(bytes(range(1, 41)))


@pytest.mark.parametrize(
    ("blocks", "acknowledgements", "request_", "response", "last"),
    [
        (
            # Output of Gurux.DLMS.Python e98a902 (GPL-2.0), run with a PDU size of 30.
            [
                "c102c100010000010000ff020000000000010b0928010203040506070809",
                "c103c10000000002150a0b0c0d0e0f101112131415161718191a1b1c1d1e",
                "c103c101000000030a1f202122232425262728",
            ],
            ["c502c100000001", "c502c100000002"],
            SetRequest(BOOK_VALUE, FORTY),
            SetResponse(0),
            "c503c10000000003",
        ),
        (
            # The same program's ACTION with the same value.
            [
                "c304c100010000010000ff0100000000010c09280102030405060708090a",
                "c306c10000000002150b0c0d0e0f101112131415161718191a1b1c1d1e1f",
                "c306c1010000000309202122232425262728",
            ],
            ["c704c100000001", "c704c100000002"],
            ActionRequest(BOOK_METHOD, FORTY),
            ActionResponse(0),
            "c701c10000",
        ),
        (
            # The library gosem's with-list-and-first-block (pkg/dlms tests), its value made one of a list, and its
            # only block the last: the invoke-id is another, and so is the one of the answer.
            ["c1054501000101 00000300ff 02 01 02 0204 060000000006000000051200001200 00 01 00000001 05 0109020102"],
            [],
            SetRequestWithList(
                (
                    (
                        AttributeDescriptor(1, ObisCode.parse("1-0:0.3.0.255"), 2),
                        (
                            2,
                            axdr.structure(
                                axdr.double_long_unsigned(0),
                                axdr.double_long_unsigned(5),
                                axdr.long_unsigned(0),
                                axdr.long_unsigned(0),
                            ),
                        ),
                    ),
                ),
                (axdr.octet_string(b"\x01\x02"),),
                0x45,
            ),
            SetResponseWithList((0,)),
            "c50445010000000001",
        ),
    ],
    ids=["gurux-set", "gurux-action", "gosem-set-list"],
)
def test_blocks_of_other_stacks_are_put_together(
    blocks: list[str], acknowledgements: list[str], request_: Request, response: Response, last: str
) -> None:
    meter = clear().meter
    for block, acknowledgement in zip(blocks, acknowledgements, strict=False):
        assert meter.receive(bytes.fromhex(block)) == bytes.fromhex(acknowledgement)
    assert meter.receive(bytes.fromhex(blocks[-1])) == request_
    assert meter.respond(response) == bytes.fromhex(last)


def test_a_list_in_blocks_is_read_as_gurux_reads_it() -> None:
    # Gurux.DLMS.Python e98a902 makes 7 and 010203 of these blocks, where it asked for a list.
    conversation = clear()
    conversation.client.request(GET_LIST)
    first, last = "c402c1 00 00000001 00 05 02 00 12 0007", "c402c1 01 00000002 00 06 00 09 03 010203"
    assert conversation.client.receive(bytes.fromhex(first)) == bytes.fromhex("c002c100000001")
    event = conversation.client.receive(bytes.fromhex(last))
    assert event == GetResponseWithList((axdr.long_unsigned(7), axdr.octet_string(b"\x01\x02\x03")))


def test_the_client_asks_for_the_next_block_as_gurux_does() -> None:
    # Gurux.DLMS.Python e98a902, after block 1 of a GET.
    conversation = clear()
    conversation.client.request(GET)
    assert conversation.client.receive(bytes.fromhex("c402c1000000000100020903")) == bytes.fromhex("c002c100000001")
    event = conversation.client.receive(bytes.fromhex("c402c101000000020003010203"))
    assert event == GetResponse(axdr.octet_string(b"\x01\x02\x03"))


@pytest.mark.parametrize(
    ("octets_", "result"),
    [
        ("c402c101 00000013 01 01", 1),  # u9n/dlms-cosem c52e9d4, test_get.py: hardware-fault in block 19
        ("c402c101 00000002 01 13", 19),
        ("c402c101 00000001 01 0f", 15),
        ("c402c100 00000000 01 10", 16),
        ("c401c1 01 0f", 15),
    ],
)
def test_a_meter_may_end_its_blocks_with_an_error_of_any_number(octets_: str, result: int) -> None:
    conversation = clear()
    conversation.client.request(GET)
    conversation.client.receive(bytes.fromhex("c402c1000000000100020903"))
    assert conversation.client.receive(bytes.fromhex(octets_)) == GetResponse(result)
    assert conversation.client.state is ClientState.ASSOCIATED


def test_the_malformed_refusal_of_a_block_is_no_reason_to_wait() -> None:
    # What Gurux.DLMS.Python's server really sends for a wrong number: neither number nor last.
    conversation = clear()
    conversation.client.request(GET)
    conversation.client.receive(bytes.fromhex("c402c1000000000100020903"))
    with pytest.raises(RemoteProtocolError):
        conversation.client.receive(bytes.fromhex("c402c10113"))


# At every size, secured in every way.

KINDS: dict[str, Callable[[Data], tuple[Request, Response]]] = {
    "get": lambda value: (GET, GetResponse(value)),
    "get-with-list": lambda value: (GET_LIST, GetResponseWithList((value, 3))),
    "set": lambda value: (replace(SET, data=value), SetResponse(2)),
    "set-with-selection": lambda value: (replace(SET, data=value, selection=(1, axdr.NULL)), SetResponse(0)),
    "set-with-list": lambda value: (replace(SET_LIST, values=(value, axdr.NULL)), SetResponseWithList((0, 3))),
    "action": lambda value: (replace(ACTION, data=value), ActionResponse(0, axdr.enum(3))),
    "action, long answer": lambda value: (ACTION, ActionResponse(0, value)),
    "action, both long": lambda value: (replace(ACTION, data=value), ActionResponse(0, value)),
    "action-with-list": lambda value: (
        replace(ACTION_LIST, values=(axdr.NULL, value)),
        ActionResponseWithList(((0, value), (3, None))),
    ),
}
FORMS = [CLEAR] + [
    replace(CIPHERED_ONLY, ciphering=ciphering, protection=protection)
    for ciphering in Ciphering
    if ciphering is not Ciphering.NONE
    for protection in Protection
]
SMALLEST = 36
"""The first block of a request with a list of two needs that, before ciphering."""


def overhead(settings: SecuritySettings) -> int:
    """What ciphering adds at most."""
    if settings.ciphering is Ciphering.NONE:
        return 0
    tag = 0 if settings.protection is Protection.ENCRYPTED else 12
    return 1 + (9 if settings.ciphering.is_general else 0) + 4 + 5 + tag


def assert_all_arrives(conversation: Conversation, kind: str, size: int) -> None:
    request, response = KINDS[kind](octets(size))
    assert replace(conversation.ask(request, response), invoke=response.invoke) == response


def assert_limits_are_kept(conversation: Conversation, client_limit: int, meter_limit: int) -> None:
    """Every APDU after those that open the association."""
    assert max(map(len, conversation.sent[1:])) <= (meter_limit or 1 << 20)
    assert max(map(len, conversation.answered[1:])) <= (client_limit or 1 << 20)


@pytest.mark.parametrize("settings", FORMS, ids=repr)
def test_everything_arrives_whole_and_no_apdu_is_larger_than_its_receiver_takes(settings: SecuritySettings) -> None:
    smallest = SMALLEST + overhead(settings)
    some = {*range(smallest, smallest + 6), *range(124, 132), *range(252, 260), 300}
    for limit in range(smallest, 301) if settings is CLEAR else sorted(some):
        conversation = Conversation(
            settings, client_pdu_size_max=limit, meter_pdu_size_max=limit, offered=WITHOUT_GENERAL
        )
        conversation.associate()
        for kind in KINDS:
            assert_all_arrives(conversation, kind, 150 + limit % 7)
        assert_limits_are_kept(conversation, limit, limit)
        conversation.release()


@given(
    st.sampled_from(FORMS),
    st.integers(0, 300),
    st.integers(0, 300),
    st.sampled_from(sorted(KINDS)),
    st.integers(0, 600),
)
def test_the_limits_of_both_sides_are_kept_apart(
    settings: SecuritySettings, client_more: int, meter_more: int, kind: str, size: int
) -> None:
    client_limit, meter_limit = (more and SMALLEST + overhead(settings) + more for more in (client_more, meter_more))
    conversation = Conversation(
        settings, client_pdu_size_max=client_limit, meter_pdu_size_max=meter_limit, offered=WITHOUT_GENERAL
    )
    conversation.associate()
    assert_all_arrives(conversation, kind, size)
    assert_limits_are_kept(conversation, client_limit, meter_limit)


def test_an_answer_that_just_fits_is_not_cut_and_one_octet_more_is() -> None:
    for settings in FORMS:
        size = len(GetResponse(octets(40)).encode()) + overhead(settings)
        for limit, is_whole in ((size, True), (size - 1, False)):
            conversation = Conversation(settings, client_pdu_size_max=limit, offered=WITHOUT_GENERAL)
            conversation.associate()
            assert_all_arrives(conversation, "get", 40)
            assert (len(conversation.answered) == 2) is is_whole


def test_no_block_is_empty_or_wasted() -> None:
    # 108 octets and their head: ten octets in a block, and twelve around them, so eleven blocks.
    conversation = clear(22, 0, offered=WITHOUT_GENERAL)
    assert_all_arrives(conversation, "get", 108)
    blocks = [xdlms.decode(octets_) for octets_ in conversation.answered[1:]]
    sizes = [len(block.result) for block in blocks if isinstance(block, xdlms.GetResponseWithDataBlock)]
    assert sizes == [10] * 11


def test_a_request_that_has_no_blocks_or_no_room_for_them_is_not_sent() -> None:
    long_get = replace(GET, selection=(1, octets(100)))
    for request, limit in ((long_get, 60), (replace(SET, data=octets(60)), 21), (replace(ACTION, data=None), 12)):
        conversation = clear(0, limit, offered=WITHOUT_GENERAL)
        with pytest.raises(LocalProtocolError, match=r"at most|no room for a block"):
            conversation.client.request(request)
        assert conversation.client.state is ClientState.ASSOCIATED
        assert len(conversation.sent) == 1


TOO_LONG = ExceptionResponse(1, 4)


@pytest.mark.parametrize(
    ("limit", "request_", "response", "instead"),
    [
        # Nothing of a value has room; but what was done is said, and where not even that has room, nothing is.
        (12, GET, GetResponse(octets(100)), GetResponse(250)),
        (12, GET_LIST, GetResponseWithList((octets(100), 3)), GetResponse(250)),
        (12, ACTION, ActionResponse(0, octets(100)), ActionResponse(0)),
        (12, ACTION, ActionResponse(12, octets(100)), ActionResponse(12)),
        (64, ACTION, ActionResponse(12, octets(100)), ActionResponse(12)),
        (12, ACTION_LIST, ActionResponseWithList(((0, octets(100)), (3, None))), "outcomes"),
        (12, SET, SetResponse(3), SetResponse(3)),
        (12, SET_LIST, SetResponseWithList((0, 3)), SetResponseWithList((0, 3))),
    ],
)
def test_an_answer_that_fits_in_no_form_never_hides_what_was_done(
    limit: int, request_: Request, response: Response, instead: Response | str
) -> None:
    conversation = clear(limit, 0, offered=WITHOUT_GENERAL & ~Conformance.BLOCK_TRANSFER_WITH_ACTION)
    answer = replace(conversation.ask(request_, response), invoke=0xC1)
    assert answer == (ActionResponseWithList(((0, None), (3, None))) if instead == "outcomes" else instead)
    assert_limits_are_kept(conversation, limit, 0)


@pytest.mark.parametrize("count", [9, 127, 200])
def test_outcomes_that_do_not_fit_are_told_as_neither_done_nor_not_done(count: int) -> None:
    many = SetRequestWithList(((CLOCK, None),) * count, (axdr.NULL,) * count)
    actions = ActionRequestWithList((ENTER,) * count, (axdr.NULL,) * count)
    answers: list[tuple[Request, Response]] = [
        (many, SetResponseWithList((0,) * count)),
        (actions, ActionResponseWithList(((0, None),) * count)),
    ]
    for request, response in answers:
        conversation = clear(12, 0, offered=WITHOUT_GENERAL & ~Conformance.BLOCK_TRANSFER_WITH_ACTION)
        with pytest.raises(ServiceRefused) as caught:
            conversation.ask(request, response)
        assert caught.value.response == TOO_LONG


def test_a_client_that_can_take_nothing_at_all_hears_that_too() -> None:
    # 12 octets are less than any ciphered answer has.
    for settings in FORMS[1:]:
        conversation = Conversation(settings, client_pdu_size_max=12, offered=WITHOUT_GENERAL)
        conversation.associate()
        with pytest.raises(ServiceRefused) as caught:
            conversation.ask(SET, SetResponse(0))
        assert caught.value.response == TOO_LONG


# What an ACTION returned, in the three notations that exist.


@pytest.mark.parametrize("value", [octets(20), axdr.array(), axdr.structure(octets(3), axdr.NULL), axdr.NULL], ids=repr)
@pytest.mark.parametrize("head", ["", "00", "000100"], ids=["gurux", "jdlms-client", "jdlms-server"])
def test_a_return_value_in_blocks_is_read_in_all_three_notations(head: str, value: Data) -> None:
    whole = bytes.fromhex(head) + axdr.encode(value)
    for size in (1, 2, 3, 7, 100):
        conversation = clear()
        conversation.client.request(ACTION)
        blocks = block_transfer.cut(whole, size, size)
        for block in list(blocks)[:-1]:
            event = conversation.client.receive(xdlms.ActionResponseWithPblock(block, 0xC1).encode())
            assert event == xdlms.ActionRequestNextPblock(block.number, 0xC1).encode()
        event = conversation.client.receive(xdlms.ActionResponseWithPblock(blocks[-1], 0xC1).encode())
        assert event == ActionResponse(0, value, 0xC1)


@pytest.mark.parametrize("whole", ["", "00fe", "000100", "000100fe", "0914", "00010009", "0101", "0300", "090101ff"])
def test_a_return_value_that_is_none_in_any_notation_is_refused_or_read_to_its_end(whole: str) -> None:
    conversation = clear()
    conversation.client.request(ACTION)
    block = xdlms.DataBlock(1, bytes.fromhex(whole), is_last=True)
    event = understood(conversation.client.receive, xdlms.ActionResponseWithPblock(block, 0xC1).encode())
    readable = {"000100": axdr.array(), "0300": axdr.boolean(False)}
    assert event == (ActionResponse(0, readable[whole], 0xC1) if whole in readable else None)


# What goes wrong at the meter.

FIRST_SET = "c102c1 0008 0000010000ff 02 00 00 00000001 02 0902"
FIRST_ACTION = "c304c1 0073 0000132800ff 01 00 00000001 02 0902"
LONG_GET = ("c001c1 0008 0000010000ff 02 00", "c402c1 00 00000001 00 05 0914000102")
LONG_ACTION = ("c301c1 0073 0000132800ff 01 00", "c702c1 00 00000001 06 091400010203")
NO_LONG_GET, NO_LONG_SET, NO_LONG_ACTION = "c402c1 01 {} 01 10", "c503c1 12 {}", "c701c1 10 00"

MISTAKES: dict[str, list[tuple[str, str]]] = {
    # What the client says, and what it hears. The objects answer with a value of 20 octets, where they are asked.
    "a wrong number of a SET": [
        (FIRST_SET, "c502c1 00000001"),
        ("c103c1 01 00000003 02 0102", "c503c1 13 00000003"),
        ("c103c1 01 00000002 02 0102", NO_LONG_SET.format("00000002")),
    ],
    "the same block of a SET twice": [
        (FIRST_SET, "c502c1 00000001"),
        ("c103c1 00 00000002 01 01", "c502c1 00000002"),
        ("c103c1 00 00000002 01 01", "c503c1 13 00000002"),
    ],
    "a SET that begins with block 0": [
        ("c102c1 0008 0000010000ff 02 00 00 00000000 02 0902", "c503c1 13 00000000"),
        ("c103c1 00 00000001 01 01", NO_LONG_SET.format("00000001")),
    ],
    "a wrong number of an ACTION": [
        (FIRST_ACTION, "c704c1 00000001"),
        ("c306c1 01 00000003 02 0102", "c701c1 0f 00"),
        ("c306c1 01 00000002 02 0102", NO_LONG_ACTION),
    ],
    "a block of a SET with list that is not the next": [
        ("c105c1 01 0008 0000010000ff 02 00 00 00000001 02 0109", "c502c1 00000001"),
        ("c103c1 01 00000001 02 0102", "c503c1 13 00000001"),
    ],
    "an empty block in the middle": [
        (FIRST_SET, "c502c1 00000001"),
        ("c103c1 00 00000002 00", "c503c1 11 00000002"),
        ("c103c1 00 00000002 01 01", NO_LONG_SET.format("00000002")),
    ],
    "an empty block in the middle of an ACTION": [
        (FIRST_ACTION, "c704c1 00000001"),
        ("c306c1 00 00000002 00", "c701c1 0f 00"),
    ],
    "blocks of a request that never began": [
        ("c103c1 00 00000001 01 01", NO_LONG_SET.format("00000001")),
        ("c103c1 01 00000002 01 01", NO_LONG_SET.format("00000002")),
        ("c306c1 00 00000001 01 01", NO_LONG_ACTION),
        ("c306c1 01 00000002 01 01", NO_LONG_ACTION),
    ],
    "the next block where there is none": [
        ("c002c1 00000001", NO_LONG_GET.format("00000001")),
        ("c002c1 00000000", NO_LONG_GET.format("00000000")),
        ("c302c1 00000001", NO_LONG_ACTION),
    ],
    "a wrong number of the block that came": [
        LONG_GET,
        ("c002c1 00000002", "c402c1 01 00000002 01 13"),
        ("c002c1 00000001", NO_LONG_GET.format("00000001")),
    ],
    "a wrong number of the pblock that came": [
        LONG_ACTION,
        ("c302c1 00000000", "c701c1 0f 00"),
        ("c302c1 00000001", NO_LONG_ACTION),
    ],
    "the block before once more": [
        LONG_GET,
        ("c002c1 00000001", "c402c1 00 00000002 00 05 0304050607"),
        ("c002c1 00000001", "c402c1 01 00000001 01 13"),
    ],
    "more than there is": [
        LONG_ACTION,
        ("c302c1 00000001", "c702c1 00 00000002 06 040506070809"),
        ("c302c1 00000002", "c702c1 00 00000003 06 0a0b0c0d0e0f"),
        ("c302c1 00000003", "c702c1 01 00000004 04 10111213"),
        ("c302c1 00000004", NO_LONG_ACTION),
    ],
    "blocks of another service in the middle of a request": [
        (FIRST_SET, "c502c1 00000001"),
        ("c306c1 00 00000002 01 01", NO_LONG_ACTION),
        ("c103c1 01 00000002 02 0102", NO_LONG_SET.format("00000002")),
    ],
    "the next block of another service than the answer": [
        LONG_ACTION,
        ("c002c1 00000001", NO_LONG_GET.format("00000001")),
        ("c302c1 00000001", NO_LONG_ACTION),
    ],
    "the next pblock of what was read": [
        LONG_GET,
        ("c302c1 00000001", NO_LONG_ACTION),
        ("c002c1 00000001", NO_LONG_GET.format("00000001")),
    ],
    "another invoke-id in the middle of a request": [
        (FIRST_SET, "c502c1 00000001"),
        ("c103c2 01 00000002 02 0102", "c503c2 12 00000002"),
        ("c103c1 01 00000002 02 0102", NO_LONG_SET.format("00000002")),
    ],
    "another invoke-id in the middle of an answer": [
        LONG_GET,
        ("c002c2 00000001", "c402c2 01 00000001 01 10"),
        ("c002c1 00000001", NO_LONG_GET.format("00000001")),
    ],
    "another priority, which does not matter": [
        (FIRST_SET, "c502c1 00000001"),
        ("c10301 00 00000002 01 01", "c50201 00000002"),
        LONG_GET,
        ("c00241 00000001", "c402c1 00 00000002 00 05 0304050607"),
    ],
    "a request in the middle of another": [
        (FIRST_SET, "c502c1 00000001"),
        ("c001c2 0008 0000010000ff 02 00", "c402c2 00 00000001 00 05 0914000102"),
        ("c103c1 01 00000002 02 0102", NO_LONG_SET.format("00000002")),
        ("c002c2 00000001", NO_LONG_GET.format("00000001").replace("c402c1", "c402c2")),
    ],
    "a request in the middle of an answer": [
        LONG_GET,
        (FIRST_ACTION, "c704c1 00000001"),
        ("c002c1 00000001", NO_LONG_GET.format("00000001")),
        ("c306c1 01 00000002 02 0102", NO_LONG_ACTION),
    ],
    "a request that begins anew": [
        (FIRST_SET, "c502c1 00000001"),
        (FIRST_SET, "c502c1 00000001"),
        ("c103c1 01 00000002 02 0102", "c503c1 00 00000002"),
    ],
    "a request whose blocks hold no value": [
        (FIRST_SET, "c502c1 00000001"),
        ("c103c1 01 00000002 01 01", "d80203"),
        ("c103c1 01 00000003 01 01", NO_LONG_SET.format("00000003")),
    ],
    "a request whose blocks hold a value and more": [
        (FIRST_ACTION, "c704c1 00000001"),
        ("c306c1 01 00000002 03 010203", "d80203"),
    ],
    "a list with another number of values": [
        ("c105c1 01 0008 0000010000ff 02 00 01 00000001 03 020000", "d80203"),
        ("c305c1 01 0073 0000132800ff 01 01 00000001 01 00", "d80203"),
    ],
    "an answer in blocks, after a SET in blocks": [
        (FIRST_SET, "c502c1 00000001"),
        ("c103c1 01 00000002 02 0102", "c503c1 00 00000002"),
        ("c101c1 0008 0000010000ff 02 00 00", "c501c1 00"),
        LONG_GET,
    ],
}


def objects_answer(asked: Request) -> Response:
    match asked:
        case xdlms.GetRequest():
            return GetResponse(octets(20))
        case ActionRequest():
            return ActionResponse(0, octets(20))
        case _:
            return SetResponse(0)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_clients_mistake_ends_the_transfer_and_is_named(mistake: str) -> None:
    meter = clear(17, 0).meter
    for asked, answered in MISTAKES[mistake]:
        reaction = meter.receive(bytes.fromhex(asked))
        assert reaction is not None
        answer = reaction if isinstance(reaction, bytes) else meter.respond(objects_answer(reaction))
        assert answer.hex() == answered.replace(" ", "")


@pytest.mark.parametrize("first", [FIRST_SET, FIRST_ACTION, LONG_GET[0], LONG_ACTION[0]])
def test_a_new_association_ends_what_was_under_way(first: str) -> None:
    for leaves in (False, True):
        conversation = clear(17, 0)
        reaction = conversation.meter.receive(bytes.fromhex(first))
        if reaction is not None and not isinstance(reaction, bytes):
            conversation.meter.respond(objects_answer(reaction))
        if leaves:
            conversation.release()
        conversation.meter.receive(conversation.sent[0])
        for octets_, answer in (
            ("c103c1 01 00000002 02 0102", NO_LONG_SET.format("00000002")),
            ("c306c1 01 00000002 02 0102", NO_LONG_ACTION),
            ("c002c1 00000001", NO_LONG_GET.format("00000001")),
            ("c302c1 00000001", NO_LONG_ACTION),
        ):
            assert conversation.meter.receive(bytes.fromhex(octets_)) == bytes.fromhex(answer)


def test_no_stream_of_blocks_fills_the_memory_of_a_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_transfer, "TRANSFER_SIZE_MAX", 1000)
    meter = clear().meter
    assert meter.receive(bytes.fromhex(FIRST_SET)) == bytes.fromhex("c502c1 00000001")
    answers = [
        meter.receive(xdlms.SetRequestWithDataBlock(xdlms.DataBlock(number, bytes(100))).encode())
        for number in range(2, 13)
    ]
    assert [xdlms.decode(answer) for answer in answers if isinstance(answer, bytes)] == [
        *(xdlms.SetResponseDataBlock(number) for number in range(2, 11)),
        xdlms.SetResponseLastDataBlock(17, 11),
        xdlms.SetResponseLastDataBlock(18, 12),
    ]


# What goes wrong at the client.


def test_no_stream_of_blocks_fills_the_memory_of_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_transfer, "TRANSFER_SIZE_MAX", 1000)
    conversation = clear()
    conversation.client.request(GET)
    for number in range(1, 11):
        assert conversation.client.receive(xdlms.GetResponseWithDataBlock(number, bytes(100)).encode())
    with pytest.raises(RemoteProtocolError, match="more than 1000 octets"):
        conversation.client.receive(xdlms.GetResponseWithDataBlock(11, bytes(100)).encode())


LONG_SET = replace(SET, data=octets(60))
LONG_SET_LIST = replace(SET_LIST, values=(octets(60), axdr.NULL))
LONG_PARAMETERS = replace(ACTION, data=octets(60))
GET_BLOCK = "c402c1 00 00000001 00 02 0914"
PBLOCK = "c702c1 00 00000001 02 0914"

ANSWERS_THAT_ARE_NONE: dict[str, tuple[Request, list[str], str]] = {
    "the first block has number 0": (GET, ["c402c1 00 00000000 00 02 0914"], "block 0 was received, 1 expected"),
    "the first block has number 2": (GET, ["c402c1 01 00000002 00 02 0914"], "block 2 was received, 1 expected"),
    "a block comes twice": (GET, [GET_BLOCK, GET_BLOCK], "block 1 was received, 2 expected"),
    "a pblock is left out": (ACTION, [PBLOCK, "c702c1 01 00000003 01 00"], "block 3 was received, 2 expected"),
    "an empty block": (GET, [GET_BLOCK, "c402c1 00 00000002 00 00"], "block 2 is empty, and not the last"),
    "an empty pblock": (ACTION, ["c702c1 00 00000001 00"], "block 1 is empty, and not the last"),
    "nothing at all": (GET, ["c402c1 01 00000001 00 00"], "ends at offset 0"),
    "too little": (GET, [GET_BLOCK, "c402c1 01 00000002 00 02 0000"], "20 octets expected"),
    "too much": (GET, ["c402c1 01 00000001 00 03 090000"], "1 octets too many"),
    "another invoke-id": (GET, [GET_BLOCK, "c402c2 01 00000002 00 02 0000"], "invoke-id 2; 1 was asked"),
    "blocks of another service": (GET, [GET_BLOCK, "c702c1 01 00000002 02 0000"], "a ActionResponseWithPblock where"),
    "pblocks in a GET": (GET, [PBLOCK], "a ActionResponseWithPblock where another answer"),
    "blocks in an ACTION": (ACTION, [GET_BLOCK], "a GetResponseWithDataBlock where another answer"),
    "blocks in a SET": (SET, [GET_BLOCK], "a GetResponseWithDataBlock where another answer"),
    "the whole value in the middle of its blocks": (
        GET,
        [GET_BLOCK, "c401c1 00 00"],
        "a GetResponse in the middle of an answer in blocks",
    ),
    "the whole list in the middle of its blocks": (
        GET_LIST,
        ["c402c1 00 00000001 00 02 0200", "c403c1 02 0000 0000"],
        "a GetResponseWithList in the middle",
    ),
    "success in the middle of what was returned": (ACTION, [PBLOCK, "c701c1 00 00"], "a ActionResponse in the middle"),
    "one value instead of a list": (GET_LIST, ["c401c1 00 00"], "a GetResponse where a list was expected"),
    "one success instead of a list": (SET_LIST, ["c501c1 00"], "a SetResponse where a list was expected"),
    "one success for all blocks of a list": (
        LONG_SET_LIST,
        ["c502c1 00000001", "c502c1 00000002", "c503c1 00 00000003"],
        "a SetResponseLastDataBlock where a list was expected",
    ),
    "one outcome instead of a list": (ACTION_LIST, ["c701c1 00 00"], "a ActionResponse where a list was expected"),
    "too few values": (GET_LIST, ["c403c1 01 0000"], "1 results were received, 2 expected"),
    "too many values in blocks": (GET_LIST, ["c402c1 01 00000001 00 04 03010101"], "ends at offset 4"),
    "too few values in blocks": (GET_LIST, ["c402c1 01 00000001 00 03 010101"], "1 results were received, 2 expected"),
    "too many results": (SET_LIST, ["c505c1 03 000000"], "3 results were received, 2 expected"),
    "no results": (SET_LIST, ["c505c1 00"], "0 results were received, 2 expected"),
    "too few outcomes": (ACTION_LIST, ["c703c1 01 0000"], "1 results were received, 2 expected"),
    "too few outcomes in pblocks": (ACTION_LIST, ["c702c1 01 00000001 03 010000"], "1 results were received, 2"),
    "a block that was not sent yet is confirmed": (LONG_SET, ["c502c1 00000002"], "block 2 was confirmed, 1 was sent"),
    "a block is confirmed twice": (
        LONG_PARAMETERS,
        ["c704c1 00000001", "c704c1 00000001"],
        "block 1 was confirmed, 2 was sent",
    ),
    "the last block is only confirmed": (
        LONG_SET,
        ["c502c1 00000001", "c502c1 00000002", "c502c1 00000003"],
        "block 3 was confirmed, 3 was sent",
    ),
    "success before the last block": (LONG_SET, ["c501c1 00"], "before it had the whole request"),
    "success of the last block before the last": (LONG_SET, ["c503c1 00 00000001"], "before it had the whole request"),
    "results of a list before the last block": (
        LONG_SET_LIST,
        ["c504c1 02 0000 00000001"],
        "before it had the whole request",
    ),
    "an outcome before the last pblock": (LONG_PARAMETERS, ["c701c1 00 00"], "before it had the whole request"),
    "a return value before the last pblock": (LONG_PARAMETERS, [PBLOCK], "before it had the whole request"),
    "the confirmation of another service": (LONG_SET, ["c704c1 00000001"], "a ActionResponseNextPblock where"),
    "a confirmation under another invoke-id": (LONG_SET, ["c502c3 00000001"], "invoke-id 3; 1 was asked"),
}


@pytest.mark.parametrize("case", ANSWERS_THAT_ARE_NONE)
def test_an_answer_in_blocks_that_is_none_is_named(case: str) -> None:
    request, answers, message = ANSWERS_THAT_ARE_NONE[case]
    conversation = clear(0, 46)
    conversation.client.request(request)
    for answer in answers[:-1]:
        assert isinstance(conversation.client.receive(bytes.fromhex(answer)), bytes)
    with pytest.raises(RemoteProtocolError, match=message):
        conversation.client.receive(bytes.fromhex(answers[-1]))
    assert conversation.client.state is ClientState.WAITING


@pytest.mark.parametrize(
    ("request_", "answers", "refusal"),
    [
        (GET_LIST, ["c401c1 01 03"], GetResponse(3)),
        (GET_LIST, ["c402c1 01 00000001 01 03"], GetResponse(3)),
        (SET_LIST, ["c501c1 03"], SetResponse(3)),
        (ACTION_LIST, ["c701c1 03 00"], ActionResponse(3)),
        (LONG_SET_LIST, ["c501c1 03"], SetResponse(3)),
        (LONG_SET_LIST, ["c503c1 13 00000001"], SetResponse(19)),
        (LONG_SET_LIST, ["c502c1 00000001", "c502c1 00000002", "c503c1 03 00000003"], SetResponse(3)),
        (LONG_SET, ["c501c1 03"], SetResponse(3)),
        (LONG_SET, ["c503c1 11 00000001"], SetResponse(17)),
        (LONG_SET, ["c502c1 00000001", "c503c1 11 00000000"], SetResponse(17)),
        (LONG_PARAMETERS, ["c701c1 0f 00"], ActionResponse(15)),
        (LONG_PARAMETERS, ["c704c1 00000001", "c701c1 13 00"], ActionResponse(19)),  # no action-result, but Gurux' own
        (ACTION, [PBLOCK, "c701c1 0f 00"], ActionResponse(15)),
    ],
)
def test_a_refusal_is_heard_at_any_time_and_of_a_list_as_a_whole(
    request_: Request, answers: list[str], refusal: Response
) -> None:
    conversation = clear(0, 46)
    conversation.client.request(request_)
    for answer in answers[:-1]:
        assert isinstance(conversation.client.receive(bytes.fromhex(answer)), bytes)
    assert conversation.client.receive(bytes.fromhex(answers[-1])) == refusal
    assert conversation.client.state is ClientState.ASSOCIATED


def test_a_meter_may_confirm_a_list_in_blocks_in_the_normal_form() -> None:
    conversation = clear(0, 46)
    conversation.client.request(LONG_SET_LIST)
    for answer in ("c502c1 00000001", "c502c1 00000002"):
        assert isinstance(conversation.client.receive(bytes.fromhex(answer)), bytes)
    event = conversation.client.receive(bytes.fromhex("c505c1 02 0003"))
    assert event == SetResponseWithList((0, 3))


def test_after_a_refused_transfer_the_next_request_goes_through() -> None:
    conversation = clear(0, 46)
    conversation.client.request(LONG_SET)
    assert conversation.client.receive(bytes.fromhex("c503c1 11 00000001")) == SetResponse(17)
    assert replace(conversation.ask(LONG_SET, SetResponse(0)), invoke=0xC1) == SetResponse(0)


# Only what was agreed.

BLOCKS = {
    Conformance.BLOCK_TRANSFER_WITH_GET: ["get", "get-with-list"],
    Conformance.BLOCK_TRANSFER_WITH_SET: ["set", "set-with-list"],
    Conformance.BLOCK_TRANSFER_WITH_ACTION: ["action", "action, long answer", "action, both long", "action-with-list"],
}


@pytest.mark.parametrize("side", ["offered", "meter_offered"])
@pytest.mark.parametrize(("bit", "kind"), [(bit, kind) for bit, kinds in BLOCKS.items() for kind in kinds])
def test_blocks_that_one_side_did_not_offer_are_not_sent(bit: Conformance, kind: str, side: str) -> None:
    conversation = clear(60, 60, **{side: WITHOUT_GENERAL & ~bit})
    request, response = KINDS[kind](octets(100))
    if len(request.encode()) > 60:
        with pytest.raises(LocalProtocolError, match="60 at most"):
            conversation.client.request(request)
        return
    answer = conversation.ask(request, response)
    assert len(conversation.sent) == 2
    assert answer == (ActionResponse(0, None, 0xC1) if isinstance(request, ActionRequest) else GetResponse(250))


@pytest.mark.parametrize(
    ("request_", "answer", "bit"),
    [
        (GET, "c402c1 00 00000001 00 02 0914", Conformance.BLOCK_TRANSFER_WITH_GET),
        (GET, "c402c1 01 00000001 00 01 00", Conformance.BLOCK_TRANSFER_WITH_GET),
        (ACTION, PBLOCK, Conformance.BLOCK_TRANSFER_WITH_ACTION),
    ],
)
def test_blocks_that_were_not_agreed_are_not_taken(request_: Request, answer: str, bit: Conformance) -> None:
    conversation = clear(offered=CLIENT_OFFERED & ~bit)
    conversation.client.request(request_)
    with pytest.raises(RemoteProtocolError, match="which was not agreed"):
        conversation.client.receive(bytes.fromhex(answer))


# Whatever comes.

_invokes = st.sampled_from([0xC1, 0xC1, 0xC1, 0xC2, 0x01])
_numbers = st.sampled_from([1, 1, 2, 2, 3, 4, 0, 0xFFFF_FFFF])
_pieces = st.sampled_from([b"\x09\x02", b"\x01\x02", b"\x11\x05", b"\x00", b"", bytes(40)])
_blocks = st.builds(xdlms.DataBlock, _numbers, _pieces, st.booleans())
_values = st.sampled_from([axdr.NULL, axdr.unsigned(5), octets(60)])
_selected = ((CLOCK, None),)

from_client = st.one_of(
    st.builds(xdlms.GetRequestNext, _numbers, _invokes),
    st.builds(xdlms.ActionRequestNextPblock, _numbers, _invokes),
    st.builds(xdlms.SetRequestWithDataBlock, _blocks, _invokes),
    st.builds(xdlms.ActionRequestWithPblock, _blocks, _invokes),
    st.builds(xdlms.SetRequestWithFirstDataBlock, st.just(CLOCK), _blocks, st.none(), _invokes),
    st.builds(xdlms.SetRequestWithListAndFirstDataBlock, st.just(_selected), _blocks, _invokes),
    st.builds(xdlms.ActionRequestWithFirstPblock, st.just(ENTER), _blocks, _invokes),
    st.builds(xdlms.ActionRequestWithListAndFirstPblock, st.just((ENTER,)), _blocks, _invokes),
    st.sampled_from([GET, SET, ACTION, GET_LIST, SET_LIST, ACTION_LIST]),
)
from_meter = st.one_of(
    st.builds(xdlms.GetResponseWithDataBlock, _numbers, _pieces | st.just(3), st.booleans(), _invokes),
    st.builds(xdlms.ActionResponseWithPblock, _blocks, _invokes),
    st.builds(xdlms.ActionResponseNextPblock, _numbers, _invokes),
    st.builds(xdlms.SetResponseDataBlock, _numbers, _invokes),
    st.builds(xdlms.SetResponseLastDataBlock, st.sampled_from([0, 3]), _numbers, _invokes),
    st.builds(xdlms.SetResponseLastDataBlockWithList, st.just((0, 3)), _numbers, _invokes),
    st.builds(GetResponse, _values | st.just(3), _invokes),
    st.builds(ActionResponse, st.sampled_from([0, 3]), st.none() | _values, _invokes),
    st.builds(GetResponseWithList, st.lists(_values, max_size=3).map(tuple), _invokes),
)
ALL_RESULTS: dict[type[Request], Response] = {
    xdlms.GetRequest: GetResponse(octets(60)),
    GetRequestWithList: GetResponseWithList((octets(60), 3)),
    SetRequest: SetResponse(0),
    SetRequestWithList: SetResponseWithList((0, 3)),
    ActionRequest: ActionResponse(0, octets(60)),
    ActionRequestWithList: ActionResponseWithList(((0, octets(60)),)),
}


@given(st.lists(from_client, max_size=12))
def test_no_order_of_blocks_makes_a_meter_stumble(many: list[xdlms.Apdu]) -> None:
    meter = clear(40, 0).meter
    for apdu in many:
        reaction = meter.receive(apdu.encode())
        assert reaction is not None
        answer = reaction if isinstance(reaction, bytes) else meter.respond(ALL_RESULTS[type(reaction)])
        assert len(answer) <= 40
        decoded = xdlms.decode(answer)
        assert isinstance(decoded, ExceptionResponse) or decoded.TAG == apdu.TAG + 4
    again = Conversation(CLEAR, client_pdu_size_max=40)
    again.meter = meter
    again.associate()
    assert_all_arrives(again, "action, both long", 60)


@given(st.sampled_from([GET, LONG_SET, LONG_PARAMETERS, GET_LIST, LONG_SET_LIST]), st.lists(from_meter, max_size=12))
def test_no_order_of_blocks_makes_a_client_stumble(request: Request, many: list[xdlms.Apdu]) -> None:
    conversation = clear(0, 46)
    conversation.client.request(request)
    for apdu in many:
        event = understood(conversation.client.receive, apdu.encode())
        if isinstance(event, Response):
            assert event.TAG == request.TAG + 4
            assert conversation.client.state is ClientState.ASSOCIATED
            break
        assert event is None or len(event) <= 46
        assert conversation.client.state is ClientState.WAITING


def test_blocks_show_nothing_of_what_they_carry() -> None:
    secret = b"48643202781314010686"
    conversation = Conversation(CLEAR, meter_pdu_size_max=40)
    conversation.associate()
    sent = conversation.client.request(replace(ACTION, data=axdr.octet_string(secret * 3)))
    shown = repr(xdlms.decode(sent)) + repr(conversation.client) + repr(conversation.client._transfer)
    assert secret[:4].hex() not in shown
    assert secret[:4].decode() not in shown
