"""xDLMS APDUs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosem_objects import axdr
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionRequestNextPblock,
    ActionRequestWithFirstPblock,
    ActionRequestWithList,
    ActionRequestWithListAndFirstPblock,
    ActionRequestWithPblock,
    ActionResponse,
    ActionResponseNextPblock,
    ActionResponseWithList,
    ActionResponseWithPblock,
    ActionResult,
    AttributeDescriptor,
    ConfirmedServiceError,
    Conformance,
    DataAccessResult,
    DataBlock,
    DataNotification,
    EventNotification,
    ExceptionResponse,
    GeneralBlockTransfer,
    GetRequest,
    GetRequestNext,
    GetRequestWithList,
    GetResponse,
    GetResponseWithDataBlock,
    GetResponseWithList,
    InitiateRequest,
    InitiateResponse,
    MethodDescriptor,
    PrefixedRequest,
    PrefixedResponse,
    SetRequest,
    SetRequestWithDataBlock,
    SetRequestWithFirstDataBlock,
    SetRequestWithList,
    SetRequestWithListAndFirstDataBlock,
    SetResponse,
    SetResponseDataBlock,
    SetResponseLastDataBlock,
    SetResponseLastDataBlockWithList,
    SetResponseWithList,
    UnknownTagError,
)
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.obis import ObisCode
from cosem_objects.octets import OctetReader
from tests.cosem_objects.strategies import (
    OTHERS,
    PREFIXED,
    SERVICES,
    apdus,
    bounded_apdus,
    conformances,
    damaged,
    understood,
)
from tests.vectors import dlms_vectors

CLOCK = AttributeDescriptor(8, ObisCode.parse("0-0:1.0.0.255"), 2)
VENDOR = AttributeDescriptor(0xFFFF, ObisCode(b"\xff" * 6), -1)
ENTER = MethodDescriptor(115, ObisCode.parse("0-0:19.40.0.255"), 1)
SELECTION = (2, axdr.structure(axdr.enum(1)))
BLOCK = DataBlock(1, b"abc")
LAST_BLOCK = DataBlock(0x01020304, b"", is_last=True)
LONG_BLOCK = DataBlock(0xFFFFFFFF, bytes(200))

# Hand-made after the ASN.1 of the COSEM application layer (fact sheet 4.4 to 4.7).
WIRE: list[tuple[xdlms.Apdu, str]] = [
    (GetRequest(CLOCK), "c0 01 c1 0008 0000010000ff 02 00"),
    (GetRequest(VENDOR, invoke=0x4F), "c0 01 4f ffff ffffffffffff ff 00"),
    (GetRequest(CLOCK, (2, axdr.structure(axdr.enum(1)))), "c0 01 c1 0008 0000010000ff 02 01 02 02011601"),
    (GetResponse(axdr.NULL), "c4 01 c1 00 00"),
    (GetResponse(DataAccessResult.READ_WRITE_DENIED), "c4 01 c1 01 03"),
    (GetRequestNext(0x01020304), "c0 02 c1 01020304"),
    (GetRequestNext(1, invoke=0x42), "c0 02 42 00000001"),
    (
        GetRequestWithList(((CLOCK, None), (VENDOR, SELECTION))),
        "c0 03 c1 02 0008 0000010000ff 02 00 ffff ffffffffffff ff 01 02 02011601",
    ),
    (GetRequestWithList(()), "c0 03 c1 00"),
    (GetResponseWithDataBlock(1, b"abc"), "c4 02 c1 00 00000001 00 03 616263"),
    (GetResponseWithDataBlock(2, b"", is_last=True, invoke=0x41), "c4 02 41 01 00000002 00 00"),
    (GetResponseWithDataBlock(3, bytes(200)), "c4 02 c1 00 00000003 00 81c8" + "00" * 200),
    (
        GetResponseWithDataBlock(0x01020304, DataAccessResult.LONG_GET_ABORTED, is_last=True),
        "c4 02 c1 01 01020304 01 0f",
    ),
    (
        GetResponseWithList((axdr.enum(1), DataAccessResult.OBJECT_UNDEFINED, axdr.NULL)),
        "c4 03 c1 03 00 1601 01 04 00 00",
    ),
    (SetRequest(CLOCK, axdr.enum(1)), "c1 01 c1 0008 0000010000ff 02 00 1601"),
    (SetRequest(CLOCK, axdr.enum(1), (1, axdr.NULL)), "c1 01 c1 0008 0000010000ff 02 01 01 00 1601"),
    (SetResponse(DataAccessResult.TYPE_UNMATCHED, 0xC2), "c5 01 c2 0c"),
    (SetRequestWithFirstDataBlock(CLOCK, BLOCK), "c1 02 c1 0008 0000010000ff 02 00 00 00000001 03 616263"),
    (
        SetRequestWithFirstDataBlock(CLOCK, LAST_BLOCK, SELECTION),
        "c1 02 c1 0008 0000010000ff 02 01 02 02011601 01 01020304 00",
    ),
    (SetRequestWithDataBlock(LONG_BLOCK), "c1 03 c1 00 ffffffff 81c8" + "00" * 200),
    (
        SetRequestWithList(((CLOCK, None), (VENDOR, SELECTION)), (axdr.enum(1), axdr.NULL)),
        "c1 04 c1 02 0008 0000010000ff 02 00 ffff ffffffffffff ff 01 02 02011601 02 1601 00",
    ),
    (
        SetRequestWithListAndFirstDataBlock(((CLOCK, None), (CLOCK, SELECTION)), BLOCK),
        "c1 05 c1 02 0008 0000010000ff 02 00 0008 0000010000ff 02 01 02 02011601 00 00000001 03 616263",
    ),
    (SetResponseDataBlock(0x01020304), "c5 02 c1 01020304"),
    (SetResponseLastDataBlock(DataAccessResult.LONG_SET_ABORTED, 2), "c5 03 c1 11 00000002"),
    (SetResponseLastDataBlockWithList((0, DataAccessResult.OTHER_REASON), 3), "c5 04 c1 02 00 fa 00000003"),
    (SetResponseWithList((0, DataAccessResult.TYPE_UNMATCHED, 0)), "c5 05 c1 03 00 0c 00"),
    (SetResponseWithList((1,) * 200), "c5 05 c1 81c8" + "01" * 200),
    (ActionRequest(ENTER), "c3 01 c1 0073 0000132800ff 01 00"),
    (ActionRequest(ENTER, axdr.octet_string(b"ab")), "c3 01 c1 0073 0000132800ff 01 01 09026162"),
    (ActionRequestNextPblock(0x01020304), "c3 02 c1 01020304"),
    (
        ActionRequestWithList((ENTER, ENTER), (axdr.octet_string(b"a"), axdr.NULL)),
        "c3 03 c1 02 0073 0000132800ff 01 0073 0000132800ff 01 02 090161 00",
    ),
    (ActionRequestWithFirstPblock(ENTER, BLOCK), "c3 04 c1 0073 0000132800ff 01 00 00000001 03 616263"),
    (
        ActionRequestWithListAndFirstPblock((ENTER, ENTER), BLOCK),
        "c3 05 c1 02 0073 0000132800ff 01 0073 0000132800ff 01 00 00000001 03 616263",
    ),
    (ActionRequestWithPblock(LAST_BLOCK, invoke=0x45), "c3 06 45 01 01020304 00"),
    (ActionResponse(ActionResult.SUCCESS), "c7 01 c1 00 00"),
    (ActionResponse(ActionResult.OTHER_REASON, axdr.NULL), "c7 01 c1 fa 01 00 00"),
    (ActionResponse(ActionResult.SUCCESS, DataAccessResult.OTHER_REASON), "c7 01 c1 00 01 01 fa"),
    (ActionResponseWithPblock(BLOCK), "c7 02 c1 00 00000001 03 616263"),
    (
        ActionResponseWithList(((0, None), (0, axdr.enum(1)), (ActionResult.OTHER_REASON, 4))),
        "c7 03 c1 03 00 00 00 01 00 1601 fa 01 01 04",
    ),
    (ActionResponseNextPblock(0x01020304), "c7 04 c1 01020304"),
    (ExceptionResponse(1, 5), "d8 01 05"),
    (ExceptionResponse(1, 6, 0x01020304), "d8 01 06 01020304"),
    (ExceptionResponse(1, 6), "d8 01 06"),
    (ConfirmedServiceError(1, 6, 1), "0e 01 06 01"),
    (DataNotification(5, bytes(12), axdr.enum(1)), "0f 00000005 0c 000000000000000000000000 1601"),
    (EventNotification(CLOCK, axdr.enum(1)), "c2 00 0008 0000010000ff 02 1601"),
    (EventNotification(CLOCK, axdr.enum(1), bytes(12)), "c2 01 0c 000000000000000000000000 0008 0000010000ff 02 1601"),
    (GeneralBlockTransfer(1, 0, b"abc"), "e0 01 0001 0000 03 616263"),
    (
        GeneralBlockTransfer(0x0102, 0x0304, b"", is_last=True, is_streaming=True, window=0x3F),
        "e0 ff 0102 0304 00",
    ),
    (GeneralBlockTransfer(2, 1, bytes(200), is_streaming=True, window=5), "e0 45 0002 0001 81c8" + "00" * 200),
    (GeneralBlockTransfer(3, 9, b"z", is_last=True, window=0), "e0 80 0003 0009 01 7a"),
    (PrefixedRequest(0, b"12345678", bytes.fromhex("c00241")), "e6 00 08 3132333435363738 c00241"),
    (PrefixedResponse(7, b"\x01", bytes.fromhex("d80105")), "e7 07 01 01 d80105"),
    (PrefixedRequest(1, b"", b""), "e6 01 00"),
    (InitiateRequest(Conformance(0x1F), 1200), "01 00 00 00 06 5f1f0400 00001f 04b0"),
    (
        InitiateRequest(Conformance(0x1F), 0, b"\xaa\xbb", False, 3, 5),
        "01 01 02 aabb 01 00 01 03 05 5f1f0400 00001f 0000",
    ),
    (InitiateResponse(Conformance(0x1F), 500), "08 00 06 5f1f0400 00001f 01f4 0007"),
    (InitiateResponse(Conformance(0x1F), 500, 3, 6, 0xFA00), "08 01 03 06 5f1f0400 00001f 01f4 fa00"),
]


@pytest.mark.parametrize(("value", "octets"), WIRE, ids=[octets for _, octets in WIRE])
def test_an_apdu_has_these_octets_and_no_others(value: xdlms.Apdu, octets: str) -> None:
    assert value.encode().hex() == octets.replace(" ", "")
    assert xdlms.decode(bytes.fromhex(octets)) == value


@given(apdus)
def test_every_apdu_comes_back_as_it_was(value: xdlms.Apdu) -> None:
    assert xdlms.decode(value.encode()) == value


# What meters write otherwise, and we understand.


@pytest.mark.parametrize(
    ("octets", "value"),
    [
        ("c701c100", ActionResponse(0)),  # the optional part left out altogether
        ("d80106", ExceptionResponse(1, 6)),  # the counter left out
        ("c001c1 0008 0000010000ff 02 ff 02 00", GetRequest(CLOCK, (2, axdr.NULL))),  # presence written FF
        ("0100010106 5f1f0400 00001f 04b0", None),
        ("01 00 01ff 00 06 5f1f0400 00001f 04b0", InitiateRequest(Conformance(0x1F), 1200)),  # the default written out
        ("08 00 06 5f0400 00001f 01f4 0007", InitiateResponse(Conformance(0x1F), 500)),  # one tag octet, older stacks
    ],
)
def test_other_ways_of_writing_the_same_are_understood(octets: str, value: xdlms.Apdu | None) -> None:
    if value is None:
        with pytest.raises(RemoteProtocolError):
            xdlms.decode(bytes.fromhex(octets))
    else:
        assert xdlms.decode(bytes.fromhex(octets)) == value


# What is refused.


CHOICES = {  # fact sheet 4.6, and the ASN.1 of the COSEM application layer
    0xC0: ("get-request", 3),
    0xC1: ("set-request", 5),
    0xC3: ("action-request", 6),
    0xC4: ("get-response", 3),
    0xC5: ("set-response", 5),
    0xC7: ("action-response", 4),
}


@pytest.mark.parametrize("tag", CHOICES)
def test_a_choice_that_no_service_has_is_refused_by_its_number(tag: int) -> None:
    name, last = CHOICES[tag]
    for choice in (0, last + 1, 7, 127, 255):
        with pytest.raises(RemoteProtocolError, match=f"{name}: choice {choice}, expected"):
            xdlms.decode(bytes((tag, choice, 0xC1)) + bytes(20))


@pytest.mark.parametrize("tag", sorted(set(range(256)) - set(xdlms.TAG_NAMES)))
def test_a_tag_that_is_not_known_has_an_error_of_its_own(tag: int) -> None:
    with pytest.raises(UnknownTagError, match=f"unknown tag {tag:02X}"):
        xdlms.decode(bytes((tag, 1, 0xC1)))


@pytest.mark.parametrize("tag", CHOICES)
def test_every_choice_of_a_service_has_a_hand_made_example(tag: int) -> None:
    _name, last = CHOICES[tag]
    shown = {value.encode()[1] for value, _ in WIRE if tag == value.TAG}
    assert shown == set(range(1, last + 1))


def test_every_class_has_a_hand_made_example_and_a_strategy() -> None:
    assert {value.TAG for value, _ in WIRE} == set(xdlms.TAG_NAMES)
    others = {name for name in xdlms.TAG_NAMES.values() if not name.startswith(("get-", "set-", "action-"))}
    assert set(OTHERS) | set(PREFIXED) == others
    assert len(SERVICES) == sum(last for _, last in CHOICES.values())


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        ("", "an empty APDU"),
        ("c0 02 c1 000001", "4 octets expected"),
        ("c0 03 c1 05 0008 0000010000ff 02 00", "get-request"),
        ("c0 03 c1 84ffffffff 00", "4294967295 elements announced"),
        ("c4 02 c1 00 00000001 02 00", "block choice 2"),
        ("c4 02 c1 00 00000001 00 05 616263", "5 octets expected"),
        ("c4 02 c1 00 00000001 00 02 616263", "1 octets too many"),
        ("c4 03 c1 02 00 1601", "get-response: ends"),
        ("c4 03 c1 01 02 00", "result choice 2"),
        ("c1 03 c1 00 00000001 81ff 00", "255 octets expected"),
        ("c1 04 c1 01 0008 0000010000ff 02 00 01", "set-request: "),
        ("c1 04 c1 01 0008 0000010000ff 02 00 02 00 00", "2 values for 1"),
        ("c1 04 c1 01 0008 0000010000ff 02 00 00", "0 values for 1"),
        ("c3 03 c1 00 01 00", "1 values for 0"),
        ("c5 04 c1 02 00 fa 000003", "4 octets expected"),
        ("c5 05 c1 05 00", "5 octets expected"),
        ("c3 03 c1 84ffffffff", "4294967295 elements announced"),
        ("c3 06 c1 00", "4 octets expected"),
        ("c7 03 c1 7f 00", "127 elements announced"),
        ("e0 80 0001 0000 04 616263", "4 octets expected"),
        ("e0 80 0001 0000 02 616263", "1 octets too many"),
        ("e6 00 08 31323334", "8 octets expected"),
        ("ff", "unknown tag FF"),
        ("c4 01 c1 02 00", "result choice 2"),
        ("c7 01 c1 00 01 05 00", "result choice 5"),
        ("c4 01 c1 00 00 00", "too many"),
        ("c5 01 c1", "get-response|set-response: ends"),
        ("c0 01 c1 0008 0000010000ff 02", "get-request: ends"),
        ("d8 01 06 0102", "4 octets expected"),
        ("d8 01 05 01020304", "too many"),
        ("08 00 06 5e1f0400 00001f 01f4 0007", "no conformance block"),
        ("08 00 06 5f1f0401 00001f 01f4 0007", "24 bits"),
        ("08 00 06 5f1f0300 001f 01f4 0007", "24 bits"),
        ("08 00 06 5f1f0400 00001f 01f4", "2 octets expected"),
        ("0f 00000005 84ffffffff", "4294967295 octets expected"),
    ],
)
def test_a_malformed_apdu_is_refused_with_the_reason(octets: str, message: str) -> None:
    with pytest.raises(RemoteProtocolError, match=message):
        xdlms.decode(bytes.fromhex(octets))


SAMPLES = st.sampled_from(
    [vector.octets for vector in dlms_vectors().values() if vector.layer in {"xdlms", "token-gateway"}]
    + [bytes.fromhex(octets) for _, octets in WIRE]
)


known_tags = st.builds(
    lambda tag, choice: bytes((tag, choice)), st.sampled_from(sorted(xdlms.TAG_NAMES)), st.integers(0, 7)
)


@given(st.binary(max_size=100) | st.builds(bytes.__add__, known_tags, st.binary()))
def test_arbitrary_octets_are_an_apdu_or_a_remote_error(octets: bytes) -> None:
    _check_decoding(octets)


@given(damaged(SAMPLES | apdus.map(lambda value: value.encode())))
def test_damaged_apdus_are_an_apdu_or_a_remote_error(octets: bytes) -> None:
    _check_decoding(octets)


def _check_decoding(octets: bytes) -> None:
    decoded = understood(xdlms.decode, octets)
    if decoded is not None:
        encoded = decoded.encode()
        assert xdlms.decode(encoded).encode() == encoded
        assert repr(decoded)
        assert str(decoded)


@given(bounded_apdus, st.binary(min_size=1, max_size=3))
def test_octets_after_an_apdu_are_refused(value: xdlms.Apdu, more: bytes) -> None:
    encoded = value.encode()
    if isinstance(value, ExceptionResponse) and value.service_error == 6 and value.invocation_counter is None:
        encoded += bytes(4)  # without its counter, what follows would be the counter
    with pytest.raises(RemoteProtocolError):
        xdlms.decode(encoded + more)


@pytest.mark.parametrize("name", sorted({**SERVICES, **OTHERS, **PREFIXED}))
@given(st.data())
@settings(max_examples=30)
def test_every_kind_of_apdu_comes_back_as_it_was_and_no_part_of_it_is_one(name: str, data: st.DataObject) -> None:
    value = data.draw({**SERVICES, **OTHERS, **PREFIXED}[name])
    encoded = value.encode()
    assert xdlms.decode(encoded) == value
    assert xdlms.TAG_NAMES[value.TAG] == name or name.startswith(xdlms.TAG_NAMES[value.TAG])
    cut = data.draw(st.integers(0, len(encoded) - 1))
    part = understood(xdlms.decode, encoded[:cut])
    assert part is None or name in MAY_BE_CUT


MAY_BE_CUT = {
    "gateway-request": "an APDU behind a prefix goes to the end",
    "gateway-response": "an APDU behind a prefix goes to the end",
    "action-response-normal": "the optional part may be left out altogether",
    "action-response-with-list": "the same of its last element",
    "exception-response": "the counter may be left out",
}


def test_octets_of_blocks_and_prefixes_are_not_shown() -> None:
    secret = b"48643202781314010686"
    block = DataBlock(1, secret)
    for value in (
        GetResponseWithDataBlock(1, secret),
        SetRequestWithFirstDataBlock(CLOCK, block),
        SetRequestWithDataBlock(block),
        SetRequestWithListAndFirstDataBlock(((CLOCK, None),), block),
        ActionRequestWithFirstPblock(ENTER, block),
        ActionRequestWithListAndFirstPblock((ENTER,), block),
        ActionRequestWithPblock(block),
        ActionResponseWithPblock(block),
        GeneralBlockTransfer(1, 0, secret),
        PrefixedRequest(1, b"meter", secret),
        PrefixedResponse(1, b"meter", secret),
    ):
        shown = repr(value) + str(value)
        assert secret.decode() not in shown
        assert secret.hex() not in shown
        assert "20 octets" in shown


# The conformance block.


@pytest.mark.parametrize(
    ("name", "bit"),
    [  # fact sheet 4.4: the number of the bit, first on the wire = 0
        ("GENERAL_PROTECTION", 1),
        ("GENERAL_BLOCK_TRANSFER", 2),
        ("ATTRIBUTE0_SUPPORTED_WITH_SET", 8),
        ("PRIORITY_MGMT_SUPPORTED", 9),
        ("ATTRIBUTE0_SUPPORTED_WITH_GET", 10),
        ("BLOCK_TRANSFER_WITH_GET", 11),
        ("BLOCK_TRANSFER_WITH_SET", 12),
        ("BLOCK_TRANSFER_WITH_ACTION", 13),
        ("MULTIPLE_REFERENCES", 14),
        ("DATA_NOTIFICATION", 16),
        ("ACCESS", 17),
        ("GET", 19),
        ("SET", 20),
        ("SELECTIVE_ACCESS", 21),
        ("EVENT_NOTIFICATION", 22),
        ("ACTION", 23),
    ],
)
def test_a_service_has_the_bit_of_the_standard(name: str, bit: int) -> None:
    encoded = xdlms.encode_conformance(Conformance[name])
    assert f"{int.from_bytes(encoded[4:], 'big'):024b}".index("1") == bit


@given(conformances)
def test_bits_that_we_do_not_know_survive_in_the_conformance_block(conformance: Conformance) -> None:
    encoded = xdlms.encode_conformance(conformance)
    assert int(xdlms.read_conformance(OctetReader(encoded, "x"))) == int(conformance)


# Words for people.


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (ExceptionResponse(1, 5), "service-not-allowed (1), deciphering-error (5)"),
        (ExceptionResponse(2, 6, 7), "service-unknown (2), invocation-counter-error (6), expected counter 7"),
        (ExceptionResponse(9, 99), "unknown (9), unknown (99)"),
        (ConfirmedServiceError(1, 6, 1), "initiate error: DLMS version too low"),
        (ConfirmedServiceError(1, 6, 77), "initiate error: value 77"),
        (ConfirmedServiceError(5, 1, 2), "service 5, error kind 1, value 2"),
        (CLOCK, "class 8 0-0:1.0.0.255 attribute 2"),
        (ENTER, "class 115 0-0:19.40.0.255 method 1"),
    ],
)
def test_what_a_meter_said_can_be_read(value: object, words: str) -> None:
    assert str(value) == words


COMMON = {
    0: "success",
    1: "hardware-fault",
    2: "temporary-failure",
    3: "read-write-denied",
    4: "object-undefined",
    9: "object-class-inconsistent",
    11: "object-unavailable",
    12: "type-unmatched",
    13: "scope-of-access-violated",
    14: "data-block-unavailable",
    250: "other-reason",
}


def test_results_have_the_numbers_of_the_standard() -> None:
    def table(kind: type[ActionResult | DataAccessResult]) -> dict[int, str]:
        return {result.value: result.name.lower().replace("_", "-") for result in kind}

    assert table(ActionResult) == COMMON | {15: "long-action-aborted", 16: "no-long-action-in-progress"}
    assert table(DataAccessResult) == COMMON | {
        15: "long-get-aborted",
        16: "no-long-get-in-progress",
        17: "long-set-aborted",
        18: "no-long-set-in-progress",
        19: "data-block-number-invalid",
    }
