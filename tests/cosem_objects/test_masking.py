"""Masked APDUs: what may be seen of a conversation by people who must not see its secrets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosem_objects import axdr
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionResponse,
    AttributeDescriptor,
    GetRequest,
    GetRequestWithList,
    GetResponse,
    GetResponseWithDataBlock,
    GetResponseWithList,
    MethodDescriptor,
    PrefixedRequest,
    PrefixedResponse,
    SetRequest,
)
from cosem_objects.dlms.describe import Keys
from cosem_objects.dlms.masking import MASK, Masker, TraceDescriber, apdu_name
from cosem_objects.obis import ObisCode
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import TokenEncoding
from tests.cosem_objects.secret_conversations import (
    CLOCK,
    ENTER,
    GATEWAY,
    STATUS,
    TOKEN,
    TOKENS,
    VENDORS_DATA,
    Said,
    conversations,
    remains,
)
from tests.cosem_objects.strategies import acse_apdus, apdus, damaged
from tests.vectors import Vector, dlms_vectors

DIGITS = b"48643202781314010686"
STRING = axdr.octet_string(DIGITS)


def masked(*asked_before: bytes, apdu: bytes) -> bytes:
    masker = Masker()
    for before in asked_before:
        masker.mask(before)
    return masker.mask(apdu)


# By hand: what is hidden, and what stays.

AARQ_LLS = (
    "6036A1090607608574050801018A0207808B0760857405080201AC0A80083132333435363738BE10040E01000000065F1F0400001E1DFFFF"
)
CASES = {
    "a token that is entered": (
        "C301C100730000132800FF0101090A48643202781314010686",
        "C301C100730000132800FF0101090A2A2A2A2A2A2A2A2A2A2A",
    ),
    "a token that is entered, authenticated only": (
        "CB2A1000000001C301C100730000132800FF0101090A48643202781314010686D1D2D3D4D5D6D7D8D9DADBDC",
        "CB2A1000000001C301C100730000132800FF0101090A2A2A2A2A2A2A2A2A2A2AD1D2D3D4D5D6D7D8D9DADBDC",
    ),
    "a password": (AARQ_LLS, AARQ_LLS.replace("3132333435363738", "2A" * 8)),
    "a dedicated key": (
        "01011000112233445566778899AABBCCDDEEFF0000065F1F0400007E1F04B0",
        "0101102A2A2A2A2A2A2A2A2A2A2A2A2A2A2A2A0000065F1F0400007E1F04B0",
    ),
    "wrapped keys": (
        "C301C100400000 2B0000FF 02 01 0101 0202 1600 0918 " + "77" * 24,
        "C301C100400000 2B0000FF 02 01 0101 0202 162A 0918 " + "2A" * 24,
    ),
    "a string in an answer to nobody knows what": ("C401C1000904DEADBEEF", "C401C10009042A2A2A2A"),
    "a long number in an answer to nobody knows what": ("C401C1001500000000DEADBEEF", "C401C100152A2A2A2A2A2A2A2A"),
    "whatever is behind an unknown tag": ("D90102030405", "D92A2A2A2A2A"),
    "all of what cannot be read": ("C301C100730000132800FF0101FF48", "C32A2A2A2A2A2A2A2A2A2A2A2A2A2A"),
    "all of what goes on too long": ("C401C1001600DEAD", "C42A2A2A2A2A2A2A"),
    "what is compressed": (
        "CB1E9000000001C001C100080000010000FF0200D1D2D3D4D5D6D7D8D9DADBDC",
        "CB1E9000000001" + "2A" * 25,
    ),
    "a block of general block transfer": ("E08100010000 04DEADBEEF", "E08100010000 042A2A2A2A"),
    "a string in a notification": ("0F00000001000914" + DIGITS.hex(), "0F00000001000914" + "2A" * 20),
}
OPEN = {
    "a question": "C001C100730000132800FF0200",
    "an answer of numbers": "C401C1000600001391",
    "what is encrypted": "CB1A3000000001DEADBEEFDEADBEEFDEADBEEFDEADBEEFDEADBEEFDE",
    "a date-time in a notification": "0F0000000100090C07EA0B15060E1601550000FF",
    "an answer to a challenge": "C301C1000F0000280000FF010109111000000001D1D2D3D4D5D6D7D8D9DADBDC",
    "a refusal": "D80101",
    "a release": "6203800100",
    "what was written": "C501C100",
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_secrets_are_overwritten(case: tuple[str, str]) -> None:
    wire, shown = map(bytes.fromhex, case)
    assert Masker().mask(wire).hex() == shown.hex()


@pytest.mark.parametrize("wire", OPEN.values(), ids=OPEN.keys())
def test_what_is_no_secret_can_be_seen(wire: str) -> None:
    assert Masker().mask(bytes.fromhex(wire)).hex().upper() == wire


def test_an_answer_is_shown_as_its_question_deserves() -> None:
    status = GetResponse(axdr.structure(axdr.enum(3), axdr.bit_string("0" * 16))).encode()
    assert masked(GetRequest(STATUS).encode(), apdu=status) == status
    serial = GetResponse(axdr.octet_string(b"SIM00000001")).encode()
    assert masked(GetRequest(VENDORS_DATA).encode(), apdu=serial) == serial
    token = GetResponse(STRING).encode()
    assert masked(GetRequest(TOKEN).encode(), apdu=token) == token[:-20] + MASK * 20
    listed = GetResponseWithList((axdr.octet_string(b"SIM00000001"), STRING)).encode()
    asked = GetRequestWithList(((VENDORS_DATA, None), (TOKEN, None))).encode()
    assert masked(asked, apdu=listed) == listed[:-20] + MASK * 20


@pytest.mark.parametrize("digits", [DIGITS, b"4864 3202 7813 1401 0686", b"4864-3202-7813-1401-0686"], ids=str)
def test_a_token_that_the_meter_repeats_somewhere_else_is_hidden(digits: bytes) -> None:
    asked = GetRequest(VENDORS_DATA).encode()
    for value in (axdr.octet_string, lambda octets: axdr.visible_string(octets.decode("ascii"))):
        answer = GetResponse(axdr.structure(value(b"entered: " + digits + b" ok"), axdr.unsigned(7))).encode()
        assert masked(asked, apdu=answer) == answer.replace(digits, MASK * len(digits))


@pytest.mark.parametrize("size", [1, 3, 8, 15, 30])
def test_a_token_that_is_repeated_across_blocks_is_hidden(size: int) -> None:
    octets = axdr.encode(axdr.structure(axdr.octet_string(b"entered: " + DIGITS + b" ok"), axdr.long_unsigned(4711)))
    parts = [octets[start : start + size] for start in range(0, len(octets), size)]
    masker, shown = Masker(), b""
    masker.mask(GetRequest(VENDORS_DATA).encode())
    for number, part in enumerate(parts, 1):
        block = GetResponseWithDataBlock(number, part, number == len(parts)).encode()
        shown += masker.mask(block)[-len(part) :]
    digits_shown = bytes(octet for octet in shown if octet in b"0123456789")
    assert len(digits_shown) <= 6
    assert b"entered:" in shown
    assert shown.endswith(b"ok" + octets[-3:])


def test_18_digits_and_other_text_can_be_seen() -> None:
    for value in (axdr.octet_string(b"000000000000000001"), axdr.visible_string("2026-11-21 12:30:45 alarm 17")):
        answer = GetResponse(value).encode()
        assert masked(GetRequest(VENDORS_DATA).encode(), apdu=answer) == answer


def test_more_values_than_anybody_can_read_are_hidden_at_once() -> None:
    answer = GetResponse(axdr.NULL).encode()[:-1] + bytes((1, 0x83)) + (300_000).to_bytes(3, "big") + bytes(300_000)
    assert masked(GetRequest(VENDORS_DATA).encode(), apdu=answer) == answer[:1] + MASK * (len(answer) - 1)


def test_all_attributes_at_once_hold_the_token() -> None:
    everything = GetResponse(axdr.structure(axdr.octet_string(GATEWAY.octets), STRING)).encode()
    shown = masked(GetRequest(AttributeDescriptor(115, GATEWAY, 0)).encode(), apdu=everything)
    assert DIGITS not in shown


def test_all_attributes_at_once_hold_a_short_secret_too() -> None:
    everything = GetResponse(axdr.structure(axdr.octet_string(bytes(6)), axdr.octet_string(b"short"))).encode()
    asked = GetRequest(AttributeDescriptor(15, ObisCode.parse("0-0:40.0.0.255"), 0)).encode()
    assert b"short" not in masked(asked, apdu=everything)


def test_a_new_association_forgets_the_questions_of_the_one_before() -> None:
    answer = GetResponse(axdr.octet_string(b"SIM00000001")).encode()
    assert b"SIM" not in masked(GetRequest(VENDORS_DATA).encode(), bytes.fromhex(AARQ_LLS), apdu=answer)


def test_a_description_shows_what_the_masker_has_left() -> None:
    describer = TraceDescriber(Keys())
    answer = ActionResponse(0, axdr.visible_string(TOKENS[0].number.to_bytes(9, "big").decode("latin-1"))).encode()
    node = describer.describe(answer, Masker().mask(answer), "server")
    assert node is not None
    assert not remains((node.to_text() + str(node.to_json())).encode())
    shown = TraceDescriber(Keys(), shows_secrets=True).describe(answer, answer, "server")
    assert shown is not None
    assert remains(str(shown.to_json()).encode())


def test_what_is_authenticated_only_is_described_unless_it_holds_a_secret() -> None:
    secret, shown = (bytes.fromhex(case) for case in CASES["a token that is entered, authenticated only"])
    assert TraceDescriber(Keys()).describe(secret, shown, "client") is None
    question = bytes.fromhex("C81E1000000001C001C100080000010000FF0200D1D2D3D4D5D6D7D8D9DADBDC")
    assert Masker().mask(question) == question
    assert TraceDescriber(Keys()).describe(question, question, "client") is not None


def test_what_is_left_over_in_the_user_information_is_hidden() -> None:
    left_over = bytes.fromhex("6015A109060760857405080101BE0804026203DEADBEEF")
    assert not set(left_over[-4:]) & set(Masker().mask(left_over)[1:])


def test_a_second_answer_to_one_question_is_one_to_something_unknown() -> None:
    answer = GetResponse(axdr.octet_string(b"SIM00000001")).encode()
    masker = Masker()
    masker.mask(GetRequest(VENDORS_DATA).encode())
    assert masker.mask(answer) == answer
    assert b"SIM" not in masker.mask(answer)


def test_two_questions_under_one_invoke_id_are_both_secret_if_one_is() -> None:
    answer = GetResponse(axdr.octet_string(b"SIM00000001")).encode()
    masker = Masker()
    for asked in (TOKEN, VENDORS_DATA):
        masker.mask(GetRequest(asked).encode())
    assert [b"SIM" in masker.mask(answer) for _ in range(3)] == [False] * 3


def test_devices_behind_one_prefix_are_told_apart() -> None:
    masker = Masker()
    masker.mask(PrefixedRequest(0, b"one", GetRequest(TOKEN).encode()).encode())
    masker.mask(PrefixedRequest(0, b"two", GetRequest(VENDORS_DATA).encode()).encode())
    answer = GetResponse(axdr.octet_string(b"SIM00000001")).encode()
    two = PrefixedResponse(0, b"two", answer).encode()
    assert masker.mask(two) == two
    one = PrefixedResponse(0, b"one", answer).encode()
    assert masker.mask(one) == one[:-11] + MASK * 11


def test_objects_of_a_vendor_can_be_secrets_too() -> None:
    masker = Masker([VENDORS_DATA.obis])
    masker.mask(GetRequest(VENDORS_DATA).encode())
    assert masker.mask(GetResponse(axdr.unsigned(7)).encode()).endswith(b"\x11*")
    written = SetRequest(VENDORS_DATA, axdr.unsigned(7)).encode()
    assert masker.mask(written) == written[:-1] + MASK
    handed = ActionRequest(MethodDescriptor(9000, VENDORS_DATA.obis, 1), axdr.unsigned(7)).encode()
    assert masker.mask(handed) == handed[:-1] + MASK
    assert masker.mask(ActionResponse(0, axdr.unsigned(7)).encode()).endswith(b"\x11*")


def test_what_is_written_is_shown_unless_it_may_be_a_token() -> None:
    for value in (axdr.octet_string(bytes(12)), axdr.octet_string(b"short"), axdr.long64_unsigned(1)):
        written = SetRequest(CLOCK, value).encode()
        assert (Masker().mask(written) == written) is (value.type is not axdr.DataType.LONG64_UNSIGNED)


# Vectors and properties.


@pytest.mark.parametrize("vector", dlms_vectors().values(), ids=str)
def test_no_vector_loses_an_octet_or_shows_its_password(vector: Vector) -> None:
    shown = Masker().mask(vector.octets)
    assert len(shown) == len(vector.octets)
    assert b"12345678" not in shown


@given(st.binary(max_size=80) | apdus.map(lambda apdu: apdu.encode()) | damaged(apdus.map(lambda apdu: apdu.encode())))
def test_masking_overwrites_and_does_nothing_else(octets: bytes) -> None:
    shown = Masker().mask(octets)
    assert len(shown) == len(octets)
    assert shown[:1] == octets[:1]
    assert all(one in (other, MASK[0]) for one, other in zip(shown, octets, strict=True))


@given(acse_apdus.map(lambda apdu: apdu.encode()))
def test_an_association_is_masked_in_place(octets: bytes) -> None:
    shown = Masker().mask(octets)
    assert all(one in (other, MASK[0]) for one, other in zip(shown, octets, strict=True))


@given(conversations, st.data())
def test_no_conversation_shows_its_secrets(said: list[Said], data: st.DataObject) -> None:
    """Also if some of it was not heard."""
    masker = Masker()
    lost = data.draw(st.sets(st.integers(0, len(said) - 1), max_size=3))
    for number, (_, apdu) in enumerate(said):
        if number not in lost:
            assert not remains(masker.mask(apdu)), apdu.hex()


@settings(max_examples=400)
@given(
    damaged(
        st.sampled_from(
            [ActionRequest(ENTER, value).encode() for value in (STRING, axdr.visible_string(DIGITS.decode()))]
        )
    )
)
def test_a_damaged_token_is_still_a_secret(octets: bytes) -> None:
    assert not remains(Masker().mask(octets)), octets.hex()


# Names.

NAMES = {
    "C001C100730000132800FF0200": "get-request",
    AARQ_LLS: "aarq",
    "CB1A3000000001DEADBEEFDEADBEEFDEADBEEFDEADBEEFDEADBEEFDE": "glo-action-request",
    "DB00 05 3000000001": "general-glo-ciphering",
    "D905": "tag D9",
    "": "empty",
}


@pytest.mark.parametrize(("wire", "name"), NAMES.items(), ids=NAMES.values())
def test_an_apdu_has_a_name(wire: str, name: str) -> None:
    assert apdu_name(bytes.fromhex(wire)) == name


def test_the_search_for_remains_finds_them() -> None:
    assert remains(ActionRequest(ENTER, STRING).encode())
    assert remains(DIGITS.hex().encode())
    assert remains(b"4864 3202 7813 1401 0686".replace(b" ", b""))
    assert not remains(Masker().mask(ActionRequest(ENTER, STRING).encode()))
    assert ObisCode.parse("0-0:19.40.0.255") == GATEWAY


@pytest.mark.parametrize("encoding", TokenEncoding)
def test_a_token_is_hidden_wherever_it_is_read_and_however_it_is_coded(encoding: TokenEncoding) -> None:
    """A vendor's object may show the last token, too."""
    token = encoding.to_octets(Token.parse("48643202781314010686"))
    answer = GetResponse(axdr.structure(axdr.octet_string(b"before"), axdr.octet_string(token))).encode()
    shown = masked(GetRequest(VENDORS_DATA).encode(), apdu=answer)
    assert shown == answer[: -len(token)] + MASK * len(token)


def test_a_serial_number_of_ten_digits_can_be_read() -> None:
    answer = GetResponse(axdr.octet_string(b"1234567890")).encode()
    assert masked(GetRequest(VENDORS_DATA).encode(), apdu=answer) == answer
