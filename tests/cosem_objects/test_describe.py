"""What an APDU says in words: the vectors, what a conversation adds, what must not be shown, and any octets at all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosem_objects import axdr
from cosem_objects.axdr import CompactArray, Data
from cosem_objects.dlms import acse
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionResponse,
    ActionResponseWithPblock,
    AttributeDescriptor,
    DataBlock,
    DataNotification,
    EventNotification,
    GeneralBlockTransfer,
    GetRequest,
    GetRequestWithList,
    GetResponse,
    GetResponseWithDataBlock,
    GetResponseWithList,
    InitiateRequest,
    MethodDescriptor,
    PrefixedRequest,
    SetRequest,
    SetRequestWithDataBlock,
    SetRequestWithFirstDataBlock,
    SetResponse,
)
from cosem_objects.dlms.ciphered import CipheredApdu
from cosem_objects.dlms.describe import Context, Keys, Node, Place, Source, describe_apdu, describe_data
from cosem_objects.dlms.security import Cipher
from cosem_objects.dlms.settings import Ciphering
from cosem_objects.obis import ObisCode
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import TokenEncoding
from tests.cosem_objects import strategies
from tests.transports.vectors import FILE, vectors

VECTORS = json.loads(FILE.read_text())["vectors"]
FILE_KEYS = json.loads(FILE.read_text())["keys"]
EK, AK = bytes.fromhex(FILE_KEYS["EK_global_unicast"]), bytes.fromhex(FILE_KEYS["AK"])
CLIENT, METER = bytes.fromhex("4D4D4D0000000001"), bytes.fromhex("4D4D4D0000BC614E")
KEYS = Keys(EK, AK, client_system_title=CLIENT, meter_system_title=METER)

GATEWAY = ObisCode.parse("0-0:19.40.0.255")
TOKEN = AttributeDescriptor(115, GATEWAY, 2)
STATUS = AttributeDescriptor(115, GATEWAY, 6)
ENTER = MethodDescriptor(115, GATEWAY, 1)
COUNTER = AttributeDescriptor(1, ObisCode.parse("0-0:43.1.0.255"), 2)
EXECUTED = axdr.structure(axdr.enum(3), axdr.bit_string("01"))


def nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from nodes(child)


def field(tree: Node, name: str) -> Node:
    found = [node for node in nodes(tree) if node.name == name]
    assert found, f"no {name} in\n{tree.to_text()}"
    return found[0]


def said(tree: Node) -> list[str]:
    """``name: value`` of all nodes."""
    return [f"{node.name}: {node.value}" for node in nodes(tree)]


def problems(tree: Node) -> list[str]:
    return [node.value for node in tree.problems()]


# Vectors.

Check = Callable[[Any, Node], bool]


def _says(name: str, form: str = "{}") -> Check:
    return lambda expected, tree: form.format(expected) in field(tree, name).value


def _is(name: str) -> Check:
    """The raw octets of a node."""
    return lambda expected, tree: (field(tree, name).octets or b"").hex().upper() == expected


def _mechanism(expected: int, tree: Node) -> bool:
    if expected == 0:
        return not any(node.name == "mechanism-name" for node in nodes(tree))
    return field(tree, "mechanism-name").value.endswith(f"({expected})")


def _data(expected: str | None, tree: Node) -> bool:
    names = ("method-invocation-parameters", "return-parameters")
    (shown,) = (node for node in nodes(tree) if node.name in names)
    return shown.value == "none" if expected is None else (shown.octets or b"").hex().upper() == expected


def _service_error(expected: Any, tree: Node) -> bool:
    if isinstance(expected, int):
        return field(tree, "service-error").value.endswith(f"({expected})")
    (error,) = (node for node in nodes(tree) if node.name == "confirmed-service-error" and node.children)
    return all(word in node.value for word, node in zip(map(str, expected.values()), error.children, strict=True))


def _inner(expected: str, tree: Node) -> bool:
    """All that is announced inside is read there."""
    inside = describe_apdu(bytes.fromhex(expected), Context(show_secrets=True))
    return set(said(inside)) <= set(said(tree)) and not problems(tree)


def _flag_names(name: str) -> Check:
    return lambda expected, tree: f"({', '.join(expected)})" in field(tree, name).value


EXPECTED: dict[str, Check] = {
    "application_context": _says("application-context-name", "({})"),
    "mechanism": _mechanism,
    "dlms_version": _says("proposed-dlms-version-number"),
    "conformance": _says("proposed-conformance"),
    "negotiated_conformance": _says("negotiated-conformance"),
    "client_max_receive_pdu_size": _says("client-max-receive-pdu-size", "{} octets"),
    "server_max_receive_pdu_size": _says("server-max-receive-pdu-size", "{} octets"),
    "password_ascii": _says("calling-authentication-value", '"{}"'),
    "calling_ap_title": _says("calling-AP-title"),
    "invocation_counter": _says("invocation-counter"),
    "security_control": _says("security-control", "{} "),
    "decrypted_user_information": _inner,
    "result": lambda expected, tree: any(
        node.name in ("result", "action-result") and node.value.endswith(f"({expected})") for node in nodes(tree)
    ),
    "diagnostic_source": _says("result-source-diagnostic", "{}:"),
    "diagnostic": _says("result-source-diagnostic", "({})"),
    "vaa_name": _says("vaa-name"),
    "service_error": _service_error,
    "stoc": _says("responding-authentication-value"),
    "reason": _says("reason", "({})"),
    "auth_tag": _is("authentication"),
    "system_title": _says("system-title"),
    "sc": _says("security-control", "{} "),
    "ic": _says("invocation-counter"),
    "plain": _inner,
    "decrypted": _inner,
    "class": lambda expected, tree: any(
        node.octets is not None and node.octets[:2] == expected.to_bytes(2, "big")
        for node in nodes(tree)
        if node.name in ("attribute", "method")
    ),
    "obis": lambda expected, tree: any(expected in words for words in said(tree)),
    "attribute": _says("attribute", "(attribute {})"),
    "method": _says("method", "(method {})"),
    "invoke_id_and_priority": _is("invoke-id-and-priority"),
    "value": _says("data"),
    "data": _data,
    "long_invoke_id_and_priority": _says("long-invoke-id-and-priority"),
    "date_time": lambda _, tree: field(tree, "date-time").value == "none",
    "body_type": _says("notification-body"),
    "body_len": lambda expected, tree: field(tree, "notification-body").size == 2 + expected,
    "state_error": _says("state-error", "({})"),
    "token": lambda expected, tree: (
        any(f"…{expected[-4:]}" in words for words in said(tree))
        or any(
            (node.octets or b"")[2:] == encoding.to_octets(Token.parse(expected))
            for node in nodes(tree)
            for encoding in TokenEncoding
        )
    ),
    "tag": lambda expected, tree: tree.offset == 0 and tree.name == _CIPHERED_NAMES[expected],
    "originator_system_title": lambda expected, tree: f"sender {expected}" in field(tree, "authentication").value,
}
_CIPHERED_NAMES = {"21": "glo-initiate-request", "C8": "glo-get-request", "CB": "glo-action-request"} | {
    "DB": "general-glo-ciphering"
}
# What a vector says about itself, and not about a tree.
NOT_IN_A_TREE = {"meaning", "encoding", "ek_ascii", "ak_ascii"}
APDU_VECTORS = [
    vector
    for vector in VECTORS
    if vector["layer"] in ("acse", "xdlms", "security", "token-gateway") and vector["id"][:3] != "wra"
    # Neither APDUs nor parts that stand alone: an f(StoC), a wrapped key, a conformance block, a wrapper, data.
    if vector["id"] not in ("sec-05", "sec-07", "xd-12", "tok-07", "tok-08", "tok-09")
]


@pytest.mark.parametrize("vector", APDU_VECTORS, ids=lambda vector: str(vector["id"]))
def test_all_that_a_vector_expects_can_be_seen_in_the_tree(vector: dict[str, Any]) -> None:
    inputs = vector.get("inputs") or {}
    expect = {**inputs, **vector["expect"]}
    ek = inputs.get("ek_ascii", "").encode() or EK
    ak = inputs.get("ak_ascii", "").encode() or AK
    title = bytes.fromhex(inputs.get("originator_system_title", "4D4D4D0000BC614E"))
    plain = {entry["id"]: entry["hex"] for entry in VECTORS}
    if "plain" in expect:
        expect["plain"] = plain.get(expect["plain"], expect["plain"])
    tree = describe_apdu(
        bytes.fromhex(vector["hex"]), Context(Keys(ek, ak, client_system_title=title), show_secrets=True)
    )
    assert not problems(tree)
    for key, expected in expect.items():
        assert key in NOT_IN_A_TREE or EXPECTED[key](expected, tree), f"{key} {expected}\n{tree.to_text()}"


@pytest.mark.parametrize(
    ("vector_id", "place", "words"),
    [
        ("tok-08", Place(115, 6), ["status_code: enum execution-ok (3)", "data_value: bit-string (empty)"]),
        ("tok-09", Place(115, 6), ["status_code: enum validation-failure (6)", "data_value: bit-string 01000000"]),
        ("acc-01", Place(111, 2), ["payment_mode: enum prepayment (2)", "account_status: enum active (2)"]),
        ("acc-02", Place(111, 15), ['name: utf8-string "ZAR"', "scale: integer -5", "unit: enum monetary (2)"]),
        ("acc-04", Place(111, 4), ["current_credit_status: bit-string 10000000 (in_credit)"]),
    ],
)
def test_a_bare_value_is_named_by_class_and_attribute(vector_id: str, place: Place, words: list[str]) -> None:
    (octets,) = (bytes.fromhex(vector["hex"]) for vector in VECTORS if vector["id"] == vector_id)
    tree, size = describe_data(Source(octets), Context(), place)
    assert size == len(octets)
    assert set(words) <= set(said(tree))


def test_every_conformance_bit_has_its_name() -> None:
    block = vectors("xdlms")["xd-12"]
    tree = describe_apdu(bytes.fromhex("01000000065F1F0400007E1FFFFF"), Context())
    assert field(tree, "proposed-conformance").value == "007E1F " + ", ".join(block.expect["bits"])


# Conversations.


def conversation(context: Context, *apdus: xdlms.Apdu) -> list[Node]:
    return [describe_apdu(apdu.encode(), context) for apdu in apdus]


def test_an_answer_gets_its_names_from_the_request_with_its_invoke_id() -> None:
    status, counter = GetRequest(STATUS, invoke=0xC1), GetRequest(COUNTER, invoke=0xC2)
    answers = GetResponse(axdr.double_long_unsigned(7), invoke=0x42), GetResponse(EXECUTED, invoke=0xC1)
    *_, number, executed = conversation(Context(), status, counter, *answers)
    assert "value: double-long-unsigned 7" in said(number)
    assert "status_code: enum execution-ok (3)" in said(executed)


def test_an_answer_whose_request_was_not_captured_gets_no_name_of_an_older_one() -> None:
    *_, second = conversation(Context(), GetRequest(STATUS), GetResponse(EXECUTED), GetResponse(EXECUTED))
    assert "data: structure of 2" in said(second)


def test_a_list_is_named_position_by_position() -> None:
    request = GetRequestWithList(((STATUS, None), (COUNTER, None), (TOKEN, None)))
    _, answer = conversation(Context(), request, GetResponseWithList((EXECUTED, 3, axdr.octet_string(b""))))
    assert {"token_status: structure of 2", "value: read-write-denied (3)", "token: octet-string (empty)"} <= set(
        said(answer)
    )


def test_an_event_names_its_own_value() -> None:
    (tree,) = conversation(Context(), EventNotification(STATUS, EXECUTED))
    assert "status_code: enum execution-ok (3)" in said(tree)


def test_what_enter_gives_back_is_read_as_a_status() -> None:
    request = ActionRequest(ENTER, axdr.octet_string(b"\x01"))
    _, answer = conversation(Context(), request, ActionResponse(0, EXECUTED))
    assert {"action-result: success (0)", "status_code: enum execution-ok (3)"} <= set(said(answer))


@pytest.mark.parametrize("size", [1, 3, 100])
def test_blocks_of_an_answer_are_put_together(size: int) -> None:
    octets = axdr.encode(EXECUTED)
    parts = [octets[start : start + size] for start in range(0, len(octets), size)]
    blocks = [
        GetResponseWithDataBlock(number, part, number == len(parts)).encode() for number, part in enumerate(parts, 1)
    ]
    context = Context()
    conversation(context, GetRequest(STATUS))
    trees = [describe_apdu(block, context) for block in blocks]
    assert "status_code: enum execution-ok (3)" in said(trees[-1])
    assert not any(problems(tree) for tree in trees)


def test_blocks_of_a_request_and_of_a_method_are_put_together() -> None:
    octets = axdr.encode(EXECUTED)
    context = Context()
    _, last, _, returned = conversation(
        context,
        SetRequestWithFirstDataBlock(STATUS, DataBlock(1, octets[:2])),
        SetRequestWithDataBlock(DataBlock(2, octets[2:], is_last=True)),
        ActionRequest(ENTER, axdr.octet_string(b"\x01")),
        ActionResponseWithPblock(DataBlock(1, b"\x00\x01\x00" + octets, is_last=True)),
    )
    assert "status_code: enum execution-ok (3)" in said(last)
    assert "status_code: enum execution-ok (3)" in said(returned)


def test_a_missing_block_is_said() -> None:
    *_, last = conversation(
        Context(), GetResponseWithDataBlock(1, b"\x02"), GetResponseWithDataBlock(3, b"\x02", is_last=True)
    )
    assert problems(last) == ["block 3 came after block 1: the whole cannot be read"]


def test_general_block_transfer_keeps_both_directions_apart() -> None:
    request, answer = GetRequest(STATUS).encode(), GetResponse(EXECUTED).encode()
    context = Context()
    for number, (ours, theirs) in enumerate(((request[:5], answer[:5]), (request[5:], answer[5:])), 1):
        is_last = number == 2
        describe_apdu(GeneralBlockTransfer(number, 0, ours, is_last).encode(), context, "client")
        tree = describe_apdu(GeneralBlockTransfer(number, 0, theirs, is_last).encode(), context, "server")
    assert "status_code: enum execution-ok (3)" in said(tree)


def test_an_apdu_behind_a_gateway_prefix_is_read() -> None:
    (tree,) = conversation(Context(), PrefixedRequest(1, b"METER-01", GetRequest(STATUS).encode()))
    assert any("token_status (attribute 6)" in words for words in said(tree))
    assert 'physical-device-address: 4D455445522D3031 "METER-01"' in said(tree)


def test_offsets_are_those_of_the_input_even_through_blocks() -> None:
    octets = axdr.encode(axdr.structure(axdr.enum(3), axdr.octet_string(b"ABCDEFGH")))
    first, second = octets[:3], octets[3:]
    messages = [GetResponseWithDataBlock(1, first).encode(), GetResponseWithDataBlock(2, second, is_last=True).encode()]
    captured = b"".join(messages)
    context = Context()
    describe_apdu(Source(messages[0], 0), context)
    tree = describe_apdu(Source(messages[1], len(messages[0])), context)
    whole = field(tree, "put together")
    (letters,) = (node for node in nodes(whole) if '"ABCDEFGH"' in node.value)
    assert captured[letters.offset :].startswith(b"\x09\x08")


OBJECT_LIST = AttributeDescriptor(15, ObisCode.parse("0-0:40.0.0.255"), 2)
OBJECT = axdr.structure(
    axdr.long_unsigned(115),
    axdr.unsigned(0),
    axdr.octet_string(GATEWAY.octets),
    axdr.structure(
        axdr.array(axdr.structure(axdr.integer(2), axdr.enum(1), axdr.NULL)),
        axdr.array(axdr.structure(axdr.integer(1), axdr.boolean(True))),
    ),
)


def test_an_object_list_says_what_may_be_done_with_each_object() -> None:
    _, answer = conversation(Context(), GetRequest(OBJECT_LIST), GetResponse(axdr.array(OBJECT)))
    assert {
        "class_id: long-unsigned 115 (Token gateway)",
        "logical_name: octet-string 0000132800FF = 0-0:19.40.0.255 (token gateway)",
        "access_mode: enum read-only (1)",
        "method_access_mode: boolean true",
    } <= set(said(answer))


def test_the_answers_to_challenges_show_their_counters() -> None:
    reply = MethodDescriptor(15, ObisCode.parse("0-0:40.0.0.255"), 1)
    ours, theirs = (axdr.octet_string(b"\x10" + bytes((0, 0, 0, counter)) + bytes(12)) for counter in (7, 9))
    asked, answered = conversation(Context(), ActionRequest(reply, ours), ActionResponse(0, theirs))
    assert "security control 10, invocation counter 7" in field(asked, "method-invocation-parameters").value
    assert "security control 10, invocation counter 9" in field(answered, "return-parameters").value


# Ciphering.


def glo(plain: bytes, title: bytes, *, control: int = 0x30, ek: bytes = EK, form: Ciphering | None = None) -> bytes:
    form = form or Ciphering.SERVICE_GLO
    return CipheredApdu(form, plain[0], title, control, 5, Cipher(ek, AK).seal(control, title, 5, plain)).encode()


def test_a_request_is_opened_with_the_clients_title_and_an_answer_with_the_meters() -> None:
    context = Context(KEYS)
    for plain, title in ((GetRequest(STATUS).encode(), CLIENT), (GetResponse(EXECUTED).encode(), METER)):
        tree = describe_apdu(glo(plain, title), context)
        assert not problems(tree)
    assert "status_code: enum execution-ok (3)" in said(tree)


def test_titles_and_the_dedicated_key_are_learnt_from_the_conversation() -> None:
    dedicated = bytes(range(16))
    context = Context(Keys(EK, AK))
    initiate = InitiateRequest(xdlms.Conformance.GET, 0, dedicated).encode()
    aarq = acse.Aarq(3, glo(initiate, CLIENT), CLIENT, acse.Mechanism.HLS_GMAC, b"challenge").encode()
    assert not problems(describe_apdu(aarq, context))
    sealed = glo(GetRequest(STATUS).encode(), CLIENT, ek=dedicated, form=Ciphering.SERVICE_DED)
    tree = describe_apdu(sealed, context)
    assert any("token_status (attribute 6)" in words for words in said(tree))


def test_a_title_named_in_general_ciphering_serves_for_what_comes_after_it() -> None:
    context = Context(Keys(EK, AK))
    describe_apdu(glo(GetResponse(EXECUTED).encode(), METER, form=Ciphering.GENERAL_GLO), context)
    assert "authentication: tag fits, sender 4D4D4D0000BC614E" in said(
        describe_apdu(glo(GetResponse(EXECUTED).encode(), METER), context)
    )


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (Keys(), "no key given"),
        (Keys(EK, AK), "the system title of the meter is not known"),
        (Keys(bytes(16), AK, meter_system_title=METER), "does not fit: another key"),
        (Keys(EK, AK, meter_system_title=CLIENT), "does not fit: another key"),
        (Keys(EK, bytes(16), meter_system_title=METER), "the encryption key seems right, the authentication key wrong"),
        (Keys(bytes(32), AK, meter_system_title=METER), "a key of 16 octets is needed for suite 0"),
    ],
)
def test_what_cannot_be_opened_shows_its_header_and_says_why(keys: Keys, words: str) -> None:
    tree = describe_apdu(glo(GetResponse(EXECUTED).encode(), METER), Context(keys))
    assert {"security-control: 30 authenticated, encrypted, suite 0", "invocation-counter: 5"} <= set(said(tree))
    assert any(words in line for line in said(tree))
    assert bool(problems(tree)) is ("not known" not in words and "no key" not in words)


def test_what_is_only_authenticated_can_be_read_without_keys() -> None:
    tree = describe_apdu(glo(GetResponse(EXECUTED).encode(), METER, control=0x10), Context())
    assert "authentication: no key given: tag not checked" in said(tree)
    assert not problems(tree)


def test_without_the_authentication_key_the_text_is_shown_and_the_tag_not_checked() -> None:
    tree = describe_apdu(glo(GetResponse(EXECUTED).encode(), METER), Context(Keys(EK, meter_system_title=METER)))
    assert "authentication: tag not checked (no authentication key given)" in said(tree)
    assert "enum 3" in {node.value for node in nodes(tree)}


# Secrets.

DIGITS = "48643202781314010686"
PASSWORD, KEY = b"open sesame!", bytes.fromhex("0F1E2D3C4B5A69788796A5B4C3D2E1F0")


def assert_hidden(tree: Node, *secrets: bytes) -> None:
    for shown in (tree.to_text(), json.dumps(tree.to_json(), ensure_ascii=False), repr(tree)):
        squeezed = shown.upper().replace(" ", "").replace("\n", "")
        for secret in secrets:
            assert secret.hex().upper() not in squeezed
            assert secret.decode("latin-1").upper().replace(" ", "") not in squeezed
            assert "".join(map(str, secret)) not in squeezed or len(secret) != 20


def _carriers(octets: bytes) -> list[list[xdlms.Apdu]]:
    """Everything in which a token can travel."""
    value = axdr.octet_string(octets)
    whole = axdr.encode(value)
    half = len(whole) // 2
    sealed = Cipher(EK, AK).seal(0x10, METER, 1, GetResponse(value).encode())
    assert octets in sealed
    return [
        [ActionRequest(ENTER, value)],
        [GetRequest(TOKEN), GetResponse(value)],
        [GetResponse(value)],
        [SetRequest(TOKEN, value), SetResponse(0)],
        [SetRequest(AttributeDescriptor(1, GATEWAY, 2), value)],
        [GetRequestWithList(((STATUS, None), (TOKEN, None))), GetResponseWithList((EXECUTED, value))],
        [EventNotification(TOKEN, value)],
        [DataNotification(1, b"", axdr.structure(axdr.enum(1), value))],
        [GetRequest(AttributeDescriptor(115, GATEWAY, 0)), GetResponse(axdr.structure(axdr.NULL, value))],
        [GetResponseWithDataBlock(1, whole[:half]), GetResponseWithDataBlock(2, whole[half:], is_last=True)],
        [GetResponseWithDataBlock(1, whole)],
        [GeneralBlockTransfer(1, 0, ActionRequest(ENTER, value).encode(), is_last=True)],
        [GeneralBlockTransfer(1, 0, ActionRequest(ENTER, value).encode())],
        [PrefixedRequest(1, b"", ActionRequest(ENTER, value).encode())],
    ]


@pytest.mark.parametrize("encoding", TokenEncoding)
def test_a_token_is_shown_by_its_last_four_digits_wherever_it_travels(encoding: TokenEncoding) -> None:
    octets = encoding.to_octets(Token.parse(DIGITS))
    for apdus in _carriers(octets):
        trees = conversation(Context(), *apdus)
        for tree in trees:
            assert_hidden(tree, octets, DIGITS.encode())
        shown = conversation(Context(show_secrets=True), *apdus)
        assert any(octets.hex().upper() in line for tree in shown for line in said(tree))


def test_a_token_in_a_text_or_a_number_is_hidden_too() -> None:
    for value in (
        axdr.visible_string("token 4864 3202 7813 1401 0686 accepted"),
        axdr.utf8_string(DIGITS),
        axdr.octet_string(b"4864-3202-7813-1401-0686"),
        axdr.long64_unsigned(17_293_822_569_102_704_640),
    ):
        (tree,) = conversation(Context(), GetResponse(value))
        assert_hidden(tree, DIGITS.encode(), b"4864-3202-7813-1401-0686", b"17293822569102704640")
        assert "(token" in tree.to_text()


def test_a_vendors_token_is_known_by_its_place() -> None:
    octets = bytes(range(0x41, 0x41 + 43))
    (tree,) = conversation(Context(), ActionRequest(ENTER, axdr.octet_string(octets)))
    assert_hidden(tree, octets)
    assert "method-invocation-parameters: octet-string (token, 43 octets)" in said(tree)


def test_a_token_that_is_entered_digit_by_digit_is_hidden_too() -> None:
    digits = axdr.array(*(axdr.unsigned(int(digit)) for digit in DIGITS))
    (tree,) = conversation(Context(), ActionRequest(ENTER, digits))
    shown = [node.value for node in nodes(tree) if node.name.startswith("[")]
    assert shown == ["unsigned (token, 1 octet)"] * 20
    assert not any(node.octets for node in nodes(tree) if node.name.startswith("["))


LN = ObisCode.parse("0-0:40.0.0.255")


@pytest.mark.parametrize(
    "apdu",
    [
        acse.Aarq(1, InitiateRequest(xdlms.Conformance.GET, 0).encode(), None, acse.Mechanism.LLS, PASSWORD),
        acse.Aarq(1, InitiateRequest(xdlms.Conformance.GET, 0).encode(), None, 2, PASSWORD),
        InitiateRequest(xdlms.Conformance.GET, 0, KEY),
        SetRequest(AttributeDescriptor(15, LN, 7), axdr.octet_string(PASSWORD)),
        ActionRequest(MethodDescriptor(15, LN, 2), axdr.octet_string(KEY)),
        ActionRequest(
            MethodDescriptor(64, LN, 2), axdr.array(axdr.structure(axdr.enum(0), axdr.octet_string(KEY + b"\1" * 8)))
        ),
    ],
    ids=["password", "manufacturer's", "dedicated key", "LLS secret", "HLS secret", "wrapped key"],
)
def test_passwords_and_keys_are_not_shown(apdu: acse.AcseApdu | xdlms.Apdu) -> None:
    tree = describe_apdu(apdu.encode(), Context())
    assert not problems(tree)
    assert_hidden(tree, PASSWORD, KEY)
    assert "(secret, " in tree.to_text()
    open_tree = describe_apdu(apdu.encode(), Context(show_secrets=True)).to_text()
    assert any(secret.hex().upper() in open_tree for secret in (PASSWORD, KEY))


def test_a_challenge_is_no_secret() -> None:
    aarq = acse.Aarq(1, b"\x01", None, acse.Mechanism.HLS_GMAC, b"P6wRJ21F")
    assert '"P6wRJ21F"' in describe_apdu(aarq.encode(), Context()).to_text()


def test_neither_keys_nor_contexts_show_what_they_hold() -> None:
    shown = repr(KEYS) + repr(Context(KEYS)) + repr(Source(KEY))
    assert EK.hex() not in shown.lower().replace("\\x", "")
    assert repr(EK) not in shown


# Words.


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("090C07EA0B15060E322E0CFFC480", "octet-string 2026-11-21T14:50:46.12+01:00 (deviation -60, daylight saving)"),
        ("090CFFFFFFFFFFFFFFFFFF8000FF", "octet-string not specified"),
        ("190C07EA0B15060E322E00800001"[0:2] + "07EA0B15060E322E00800001", "date-time 2026-11-21T14:50:46 (invalid)"),
        ("1A07EA0B1506", "date 2026-11-21"),
        ("1B0E322EFF", "time 14:50:46"),
        ("09060000132800FF", "octet-string 0000132800FF = 0-0:19.40.0.255 (token gateway)"),
        ("0906000102030405", "octet-string 000102030405"),
        ("0904414243FF", "octet-string 414243FF"),
        ("0A03411B42", 'visible-string "A\\u{1b}B"'),
        ("0405A8", "bit-string 10101"),
        ("0301", "boolean true"),
        ("00", "null-data"),
        ("16FF", "enum 255"),
    ],
)
def test_values_are_said_as_a_person_would_say_them(data: str, words: str) -> None:
    tree, _ = describe_data(Source(bytes.fromhex(data)), Context())
    assert tree.value == words


def test_an_unknown_tag_names_it_and_what_it_may_be() -> None:
    tree = describe_apdu(bytes.fromhex("D901"), Context())
    assert problems(tree) == ["no APDU that is known here begins with D9 (access-request)"]


def test_an_error_tells_the_offset_in_the_input_and_keeps_what_was_read() -> None:
    tree = describe_apdu(Source(bytes.fromhex("C401C10006000013"), 100), Context())
    (problem,) = tree.problems()
    assert (problem.offset, problem.value) == (105, "get-response: 4 octets expected at offset 105, 3 are left")
    assert field(tree, "invoke-id-and-priority").offset == 102


def test_text_and_json_hold_the_same() -> None:
    tree = describe_apdu(bytes.fromhex("C401C1000202160304020140"), Context())
    assert tree.to_json()["name"] == "get-response-normal"
    assert tree.to_text().splitlines()[:3] == [
        "   0  get-response-normal",
        "   2    invoke-id-and-priority: id 1, confirmed, high priority",
        "   4    data:                   structure of 2",
    ]


# Any octets.


def leaves_of(data: Data) -> Iterator[bytes]:
    """The encodings of all values that hold no others, except inside compact-arrays, which have no tags there."""
    if isinstance(data.value, tuple):
        for element in data.value:
            yield from leaves_of(element)
    elif not isinstance(data.value, CompactArray):
        yield axdr.encode(data)


def data_of(thing: object) -> Iterator[Data]:
    if isinstance(thing, Data):
        yield thing
    elif isinstance(thing, tuple):
        for part in thing:
            yield from data_of(part)
    elif hasattr(thing, "__dataclass_fields__"):
        for name in thing.__dataclass_fields__:
            yield from data_of(getattr(thing, name))


WHOLE = {
    name: strategy
    for name, strategy in {**strategies.SERVICES, **strategies.OTHERS}.items()
    if "first" not in name and not name.endswith(("with-datablock", "with-pblock", "block-transfer"))
}
"""All that carries no pieces: of a piece nobody can say whether it is right."""
PIECES = (GetResponseWithDataBlock, GeneralBlockTransfer, xdlms.PrefixedRequest, xdlms.PrefixedResponse)


@pytest.mark.parametrize("name", {**strategies.SERVICES, **strategies.OTHERS, **strategies.PREFIXED})
@settings(max_examples=15)
@given(data=st.data())
def test_every_form_of_every_apdu_has_the_name_of_the_standard(name: str, data: st.DataObject) -> None:
    apdu = data.draw({**strategies.SERVICES, **strategies.OTHERS, **strategies.PREFIXED}[name])
    assert describe_apdu(apdu.encode(), Context()).name == name


@given(st.one_of(*WHOLE.values()))
def test_every_value_of_an_apdu_is_shown(apdu: xdlms.Apdu) -> None:
    tree = describe_apdu(apdu.encode(), Context(show_secrets=True))
    assert not problems(tree)
    shown = [node.octets for node in nodes(tree) if node.octets is not None]
    for data in data_of(apdu):
        for leaf in leaves_of(data):
            assert leaf in shown
    for name in ("attribute", "method"):
        if hasattr(apdu, name):
            assert getattr(apdu, name).encode() in shown
    if hasattr(apdu, "invoke"):
        assert bytes((apdu.invoke,)) in shown


@given(strategies.damaged(st.one_of(*WHOLE.values()).map(lambda apdu: apdu.encode())))
def test_words_and_decoder_agree_on_what_an_apdu_is(octets: bytes) -> None:
    tree = describe_apdu(octets, Context())
    decoded = None if not octets else strategies.understood(xdlms.decode, octets)
    if not isinstance(decoded, PIECES) and not hasattr(decoded, "block"):
        knows_it = xdlms.TAG_NAMES.keys() & {*octets[:1]}
        assert (not problems(tree)) == (decoded is not None) or not knows_it, tree.to_text()


any_octets = st.one_of(
    st.binary(max_size=200),
    strategies.damaged(strategies.apdus.map(lambda apdu: apdu.encode())),
    strategies.damaged(strategies.acse_apdus.map(lambda apdu: apdu.encode())),
    strategies.damaged(strategies.acse_apdus.map(lambda apdu: glo(apdu.encode(), METER, form=Ciphering.GENERAL_GLO))),
    strategies.damaged(st.sampled_from([bytes.fromhex(vector["hex"]) for vector in APDU_VECTORS])),
)


@given(st.lists(any_octets, max_size=3), st.booleans())
def test_any_octets_become_a_tree(messages: list[bytes], show_secrets: bool) -> None:
    context = Context(KEYS, show_secrets=show_secrets)
    for octets in messages:
        tree = describe_apdu(octets, context)
        assert tree.to_text()
        assert json.loads(json.dumps(tree.to_json()))
        assert all(0 <= node.offset <= 600 + sum(map(len, messages)) for node in nodes(tree))


@pytest.mark.parametrize("head", ["E60000", "E0810001000081", "02"])
def test_nesting_has_an_end(head: str) -> None:
    tree = describe_apdu(bytes.fromhex(head) * 2000, Context())
    assert len(list(nodes(tree))) < 100
    assert problems(tree)


@pytest.mark.parametrize(
    "value",
    [
        b"\x01\x83" + (70_000).to_bytes(3, "big") + bytes(70_000),
        b"\x13\x11\x83" + (70_000).to_bytes(3, "big") + bytes(70_000),
        b"\x01\x46" + 70 * (b"\x02\x82\x03\xe8" + bytes(1000)),
        b"\x01\x46" + 70 * (b"\x13\x11\x82\x03\xe8" + bytes(1000)),
    ],
    ids=["array", "compact-array", "structures", "compact-arrays"],
)
def test_of_very_many_values_the_first_are_shown_and_what_follows_is_read(value: bytes) -> None:
    listed = bytes.fromhex("C403C102 00") + value + bytes.fromhex("00 1107")
    tree = describe_apdu(listed, Context())
    assert not problems(tree)
    assert 50_000 <= len(list(nodes(tree))) <= 50_100
    assert any(re.fullmatch(r"… \d+ more", node.name) for node in nodes(tree))
    assert said(tree)[-1].endswith("unsigned 7")


def test_blocks_do_not_gather_for_ever() -> None:
    context, number = Context(), 0
    block = bytes(60_000)
    for number in range(1, 100):
        tree = describe_apdu(GetResponseWithDataBlock(number, block).encode(), context)
        if problems(tree):
            break
    assert "blocks of more than 1048576 octets together" in problems(tree)
    assert number < 20
