"""ACSE: AARQ, AARE, RLRQ, RLRE in BER."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects.dlms import acse
from cosem_objects.dlms.acse import Aare, Aarq, AcseApdu, ProviderDiagnostic, Rlre, Rlrq, UserDiagnostic
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.octets import with_length
from tests.cosem_objects.strategies import aarqs, acse_apdus, damaged, understood
from tests.vectors import dlms_vectors

CONTEXT = bytes.fromhex("a109 0607 60857405080101")
RESULT_ACCEPTED = bytes.fromhex("a203 020100")
RESULT_REFUSED = bytes.fromhex("a203 020101")
NO_DIAGNOSTIC = bytes.fromhex("a305 a103 020100")
USER_INFORMATION = bytes.fromhex("be05 0403 aabbcc")


def apdu(tag: int, *fields: bytes) -> bytes:
    return bytes((tag,)) + with_length(b"".join(fields))


def field(tag: int, contents: bytes) -> bytes:
    return bytes((tag,)) + with_length(contents)


@given(acse_apdus)
def test_every_acse_apdu_comes_back_as_it_was(value: AcseApdu) -> None:
    assert acse.decode(value.encode()) == value


LONG = bytes(range(256)) * 2


@pytest.mark.parametrize("size", [0, 100, 127, 128, 255, 256, 512])
def test_long_fields_carry_their_length_in_as_many_octets_as_needed(size: int) -> None:
    aarq = Aarq(3, LONG[:size], LONG[:size], 5, LONG[:size])
    assert acse.decode(aarq.encode()) == aarq
    aare = Aare(3, 0, 14, LONG[:size], False, LONG[:size], 5, LONG[:size])
    assert acse.decode(aare.encode()) == aare
    rlrq = Rlrq(0, LONG[:size])
    assert acse.decode(rlrq.encode()) == rlrq


def test_an_aarq_of_more_than_127_octets_is_read_octet_by_octet_as_the_standard_writes_it() -> None:
    octets = bytes.fromhex("608192 a109060760857405080101 be8184 048181 aa") + bytes(128)
    assert acse.decode(octets) == Aarq(1, b"\xaa" + bytes(128))
    assert Aarq(1, b"\xaa" + bytes(128)).encode() == octets


# Fields that are not ours, and fields that come twice.

UNKNOWN = {
    "protocol-version": field(0x80, b"\x07\x80"),
    "called-AE-qualifier": field(0xA9, b"\x04\x01\x01"),
    "implementation-information": field(0xBD, b"vendor"),
    "application-context-name-list": field(0xBB, bytes(200)),
    "private": field(0xDE, b""),
}


@pytest.mark.parametrize("unknown", UNKNOWN.values(), ids=UNKNOWN.keys())
@pytest.mark.parametrize("position", range(4))
def test_a_field_that_we_do_not_know_is_skipped_wherever_it_stands(unknown: bytes, position: int) -> None:
    fields = [CONTEXT, RESULT_ACCEPTED, NO_DIAGNOSTIC, USER_INFORMATION]
    plain = acse.decode(apdu(0x61, *fields))
    fields.insert(position, unknown)
    assert acse.decode(apdu(0x61, *fields)) == plain == Aare(1, 0, 0, b"\xaa\xbb\xcc")


def test_the_calling_ae_qualifier_with_a_certificate_is_skipped() -> None:
    octets = apdu(0x60, CONTEXT, field(0xA7, b"\x04" + with_length(bytes(300))), USER_INFORMATION)
    assert acse.decode(octets) == Aarq(1, b"\xaa\xbb\xcc")


FIELDS = {
    "AARQ": (
        0x60,
        {
            "context": CONTEXT,
            "calling-AP-title": field(0xA6, b"\x04\x08MMM\0\0\0\0\1"),
            "requirements": field(0x8A, b"\x07\x80"),
            "mechanism": field(0x8B, bytes.fromhex("60857405080205")),
            "authentication": field(0xAC, b"\x80\x0812345678"),
            "user-information": USER_INFORMATION,
        },
    ),
    "AARE": (
        0x61,
        {
            "context": CONTEXT,
            "result": RESULT_ACCEPTED,
            "diagnostic": NO_DIAGNOSTIC,
            "responding-AP-title": field(0xA4, b"\x04\x08MMM\0\0\0\0\1"),
            "requirements": field(0x88, b"\x07\x80"),
            "mechanism": field(0x89, bytes.fromhex("60857405080205")),
            "authentication": field(0xAA, b"\x80\x08abcdefgh"),
            "user-information": USER_INFORMATION,
        },
    ),
    "RLRQ": (0x62, {"reason": field(0x80, b"\0"), "user-information": USER_INFORMATION}),
    "RLRE": (0x63, {"reason": field(0x80, b"\0"), "user-information": USER_INFORMATION}),
}
EACH_FIELD = [(kind, name) for kind, (_, fields) in FIELDS.items() for name in fields]


@pytest.mark.parametrize(("kind", "name"), EACH_FIELD)
def test_a_field_that_comes_twice_is_refused(kind: str, name: str) -> None:
    tag, fields = FIELDS[kind]
    assert acse.decode(apdu(tag, *fields.values()))
    with pytest.raises(RemoteProtocolError, match="twice"):
        acse.decode(apdu(tag, *fields.values(), fields[name]))


BROKEN = [b"", b"\x04", b"\x04\x05\x00", b"\xa1\x84\xff\xff\xff\xff", b"\x7f" * 40]
NOT_LOOKED_AT = {"reason", "requirements"}


@pytest.mark.parametrize(
    ("kind", "name", "contents"),
    [
        (kind, name, contents)
        for kind, name in EACH_FIELD
        for contents in BROKEN
        if name not in NOT_LOOKED_AT and (name, contents) != ("diagnostic", b"")
    ],
)
def test_a_field_with_other_contents_than_its_own_is_refused(kind: str, name: str, contents: bytes) -> None:
    tag, fields = FIELDS[kind]
    broken = {**fields, name: field(fields[name][0], contents)}
    with pytest.raises(RemoteProtocolError):
        acse.decode(apdu(tag, *broken.values()))


def test_a_name_that_is_not_one_of_dlms_is_not_repeated_at_length() -> None:
    octets = apdu(0x60, field(0xA1, b"\x06" + with_length(bytes(5000))), USER_INFORMATION)
    with pytest.raises(RemoteProtocolError) as caught:
        acse.decode(octets)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        (b"", "nothing is no ACSE APDU"),
        (b"\x60", "ends at offset 1"),
        (apdu(0x60, CONTEXT), "AARQ: without user-information"),
        (apdu(0x60, USER_INFORMATION), "application context name"),
        (apdu(0x61, CONTEXT, USER_INFORMATION), "AARE: without result"),
        (apdu(0x60, CONTEXT, USER_INFORMATION) + b"\0", "too many"),
        (apdu(0x60, CONTEXT, USER_INFORMATION)[:-1], "expected at offset"),
        (apdu(0x60, field(0xA1, b"\x06\x07" + bytes(7)), USER_INFORMATION), "not one of DLMS"),
        (apdu(0x60, CONTEXT, field(0x8B, bytes(7)), USER_INFORMATION), "mechanism name: not one of DLMS"),
        (apdu(0x61, CONTEXT, field(0xA2, b"\x02\x02\0\0")), "not one octet"),
        (apdu(0x61, CONTEXT, RESULT_ACCEPTED, field(0xA3, b"\xa3\x03\x02\x01\0")), "source A3"),
        (apdu(0x61, CONTEXT, RESULT_ACCEPTED, field(0xAA, b"\x82\x01\0")), "neither charstring nor bitstring"),
        (apdu(0x64, CONTEXT), "64 is no ACSE APDU"),
        (b"\x60\x80" + CONTEXT + USER_INFORMATION + b"\0\0", "length of 0 octets"),
        (apdu(0x62, field(0x80, b"")), "a reason of 0 octets"),
        (apdu(0x62, field(0x80, b"\0\x01")), "a reason of 2 octets"),
        (apdu(0x63, field(0x80, b"\0\x01")), "a reason of 2 octets"),
    ],
)
def test_a_malformed_acse_apdu_is_refused_with_the_reason(octets: bytes, message: str) -> None:
    with pytest.raises(RemoteProtocolError, match=message):
        acse.decode(octets)


HOLDS_NO_ELEMENT = {"reason", "requirements", "mechanism"}


@pytest.mark.parametrize(("kind", "name"), [each for each in EACH_FIELD if each[1] not in HOLDS_NO_ELEMENT])
@pytest.mark.parametrize("more", [b"\0", b"\x04\0", bytes(200)], ids=["an-octet", "another-value", "many"])
def test_octets_behind_the_value_inside_a_field_are_refused(kind: str, name: str, more: bytes) -> None:
    tag, fields = FIELDS[kind]
    contents = fields[name][2:]  # tag and a length of one octet before it
    longer = {**fields, name: field(fields[name][0], contents + more)}
    with pytest.raises(RemoteProtocolError, match="octets too many"):
        acse.decode(apdu(tag, *longer.values()))


# Saying no.


def test_a_reject_may_come_without_user_information_and_still_says_why() -> None:
    # A Gurux bug once hid exactly this.
    aare = acse.decode(apdu(0x61, CONTEXT, RESULT_REFUSED, bytes.fromhex("a305 a103 02010d")))
    assert aare == Aare(1, 1, UserDiagnostic.AUTHENTICATION_FAILURE, None)
    assert aare.diagnostic_words() == "authentication-failure (13)"


def test_a_reject_of_the_service_provider_is_told_apart_from_the_users() -> None:
    aare = acse.decode(apdu(0x61, CONTEXT, RESULT_REFUSED, bytes.fromhex("a305 a203 020102")))
    assert aare == Aare(1, 1, ProviderDiagnostic.NO_COMMON_ACSE_VERSION, None, provider_diagnostic=True)
    assert aare.diagnostic_words() == "no-common-acse-version (2)"


def test_a_result_without_diagnostic_is_taken_as_it_is() -> None:
    assert acse.decode(apdu(0x61, CONTEXT, RESULT_ACCEPTED)) == Aare(1, 0, 0)


def test_a_release_may_leave_everything_out() -> None:
    assert acse.decode(b"\x62\x00") == Rlrq(None)
    assert acse.decode(b"\x63\x00") == Rlre(None)
    assert Rlrq(None).encode() == b"\x62\x00"


def test_the_authentication_value_may_be_written_as_a_bitstring() -> None:
    octets = apdu(0x60, CONTEXT, field(0xAC, b"\x81\x0812345678"), USER_INFORMATION)
    assert acse.decode(octets) == Aarq(1, b"\xaa\xbb\xcc", authentication=b"12345678")


@pytest.mark.parametrize(
    ("number", "words"),
    [  # fact sheet 4.4
        (0, "null"),
        (1, "no-reason-given"),
        (2, "application-context-name-not-supported"),
        (3, "calling-ap-title-not-recognized"),
        (11, "authentication-mechanism-name-not-recognised"),
        (12, "authentication-mechanism-name-required"),
        (13, "authentication-failure"),
        (14, "authentication-required"),
    ],
)
def test_the_diagnostics_have_the_numbers_of_the_standard(number: int, words: str) -> None:
    assert Aare(1, 1, number).diagnostic_words() == f"{words} ({number})"


def test_a_diagnostic_that_nobody_knows_is_shown_by_its_number() -> None:
    assert Aare(1, 1, 99).diagnostic_words() == "unknown (99)"


# What comes from outside.

SAMPLES = st.sampled_from([vector.octets for vector in dlms_vectors().values() if vector.layer == "acse"])


@given(st.binary(max_size=120) | st.builds(apdu, st.integers(0x60, 0x63), st.binary(max_size=120)))
def test_arbitrary_octets_are_an_acse_apdu_or_a_remote_error(octets: bytes) -> None:
    _check_decoding(octets)


@given(damaged(SAMPLES | acse_apdus.map(lambda value: value.encode())))
def test_damaged_acse_apdus_are_an_acse_apdu_or_a_remote_error(octets: bytes) -> None:
    _check_decoding(octets)


def _check_decoding(octets: bytes) -> None:
    decoded = understood(acse.decode, octets)
    if decoded is not None:
        assert acse.decode(decoded.encode()) == decoded
        assert len(repr(decoded)) < 4 * len(octets) + 200


@given(aarqs, st.data())
def test_an_aarq_that_is_cut_is_refused(aarq: Aarq, cut: st.DataObject) -> None:
    encoded = aarq.encode()
    with pytest.raises(RemoteProtocolError):
        acse.decode(encoded[: cut.draw(st.integers(0, len(encoded) - 1))])
