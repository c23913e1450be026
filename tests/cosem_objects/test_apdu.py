"""xDLMS APDUs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects import axdr
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionResponse,
    ActionResult,
    AttributeDescriptor,
    ConfirmedServiceError,
    Conformance,
    DataAccessResult,
    DataNotification,
    EventNotification,
    ExceptionResponse,
    GetRequest,
    GetResponse,
    InitiateRequest,
    InitiateResponse,
    MethodDescriptor,
    SetRequest,
    SetResponse,
    UnsupportedServiceError,
)
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.obis import ObisCode
from cosem_objects.octets import OctetReader
from tests.cosem_objects.strategies import apdus, conformances, damaged, understood
from tests.vectors import dlms_vectors

CLOCK = AttributeDescriptor(8, ObisCode.parse("0-0:1.0.0.255"), 2)
VENDOR = AttributeDescriptor(0xFFFF, ObisCode(b"\xff" * 6), -1)
ENTER = MethodDescriptor(115, ObisCode.parse("0-0:19.40.0.255"), 1)

# Hand-made after the ASN.1 of the COSEM application layer (fact sheet 4.4 to 4.7).
WIRE: list[tuple[xdlms.Apdu, str]] = [
    (GetRequest(CLOCK), "c0 01 c1 0008 0000010000ff 02 00"),
    (GetRequest(VENDOR, invoke=0x4F), "c0 01 4f ffff ffffffffffff ff 00"),
    (GetRequest(CLOCK, (2, axdr.structure(axdr.enum(1)))), "c0 01 c1 0008 0000010000ff 02 01 02 02011601"),
    (GetResponse(axdr.NULL), "c4 01 c1 00 00"),
    (GetResponse(DataAccessResult.READ_WRITE_DENIED), "c4 01 c1 01 03"),
    (SetRequest(CLOCK, axdr.enum(1)), "c1 01 c1 0008 0000010000ff 02 00 1601"),
    (SetRequest(CLOCK, axdr.enum(1), (1, axdr.NULL)), "c1 01 c1 0008 0000010000ff 02 01 01 00 1601"),
    (SetResponse(DataAccessResult.TYPE_UNMATCHED, 0xC2), "c5 01 c2 0c"),
    (ActionRequest(ENTER), "c3 01 c1 0073 0000132800ff 01 00"),
    (ActionRequest(ENTER, axdr.octet_string(b"ab")), "c3 01 c1 0073 0000132800ff 01 01 09026162"),
    (ActionResponse(ActionResult.SUCCESS), "c7 01 c1 00 00"),
    (ActionResponse(ActionResult.OTHER_REASON, axdr.NULL), "c7 01 c1 fa 01 00 00"),
    (ActionResponse(ActionResult.SUCCESS, DataAccessResult.OTHER_REASON), "c7 01 c1 00 01 01 fa"),
    (ExceptionResponse(1, 5), "d8 01 05"),
    (ExceptionResponse(1, 6, 0x01020304), "d8 01 06 01020304"),
    (ExceptionResponse(1, 6), "d8 01 06"),
    (ConfirmedServiceError(1, 6, 1), "0e 01 06 01"),
    (DataNotification(5, bytes(12), axdr.enum(1)), "0f 00000005 0c 000000000000000000000000 1601"),
    (EventNotification(CLOCK, axdr.enum(1)), "c2 00 0008 0000010000ff 02 1601"),
    (EventNotification(CLOCK, axdr.enum(1), bytes(12)), "c2 01 0c 000000000000000000000000 0008 0000010000ff 02 1601"),
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


@pytest.mark.parametrize("tag", [0xC0, 0xC1, 0xC3, 0xC4, 0xC5, 0xC7])
@pytest.mark.parametrize("choice", [0, 2, 3, 4, 5, 6, 255])
def test_block_transfer_and_lists_are_named_as_not_supported(tag: int, choice: int) -> None:
    with pytest.raises(UnsupportedServiceError, match=f"choice {choice} is not supported"):
        xdlms.decode(bytes((tag, choice, 0xC1)) + bytes(20))


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        ("", "an empty APDU"),
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
TAGS = [0x01, 0x08, 0x0E, 0x0F, 0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC5, 0xC7, 0xD8]


known_tags = st.sampled_from(TAGS).map(lambda tag: bytes((tag, 1)))


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


@given(apdus, st.binary(min_size=1, max_size=3))
def test_octets_after_an_apdu_are_refused(value: xdlms.Apdu, more: bytes) -> None:
    encoded = value.encode()
    if isinstance(value, ExceptionResponse) and value.service_error == 6 and value.invocation_counter is None:
        encoded += bytes(4)  # without its counter, what follows would be the counter
    with pytest.raises(RemoteProtocolError):
        xdlms.decode(encoded + more)


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
