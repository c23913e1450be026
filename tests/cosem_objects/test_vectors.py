"""Vectors from outside: our reading of the standards against bytes that others published or made.

Each is tested in both directions. The values on our side are written out by hand here, never taken from a decoder, so
that an error made twice in the same way still shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cosem_objects import axdr, payment, token_gateway
from cosem_objects.dlms import acse
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms.acse import Aare, Aarq, Rlre, Rlrq
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionResponse,
    AttributeDescriptor,
    ConfirmedServiceError,
    Conformance,
    DataNotification,
    ExceptionResponse,
    GetRequest,
    GetResponse,
    InitiateRequest,
    InitiateResponse,
    MethodDescriptor,
)
from cosem_objects.dlms.hls import answer_challenge, challenge_is_answered
from cosem_objects.dlms.security import Cipher, InvocationCounters, SecurityLayer
from cosem_objects.dlms.settings import Ciphering, Protection, SecuritySettings
from cosem_objects.obis import ObisCode
from cosem_objects.octets import OctetReader
from cosem_objects.payment import AccountModeAndStatus, Currency, CurrencyUnit
from cosem_objects.security_setup import unwrap_key, wrap_key
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import TokenEncoding, TokenStatus
from tests.vectors import Vector, dlms_key, dlms_vector, dlms_vectors

EK = dlms_key("EK_global_unicast")
AK = dlms_key("AK")
CLIENT_TITLE = dlms_key("client_system_title")
METER_TITLE = dlms_key("server_system_title")

OTHER_LAYERS = {"hdlc", "wrapper"}
"""Below the APDU: their vectors stand in ``tests/transports``."""

PROPOSED = Conformance(0x007E1F)
NEGOTIATED = Conformance(0x00501F)
INITIATE = InitiateRequest(PROPOSED, 1200)
INITIATE_WITH_KEY = InitiateRequest(PROPOSED, 1200, dedicated_key=dlms_key("dedicated_key"))
AGREED = InitiateResponse(NEGOTIATED, 500)
HLS_REPLY = MethodDescriptor(15, ObisCode.parse("0-0:40.0.0.255"), 1)
ENTER = MethodDescriptor(115, ObisCode.parse("0-0:19.40.0.255"), 1)
TOKEN = Token.parse("4864 3202 7813 1401 0686")
PUSHED = bytes.fromhex("125A8591360000000049000000110000000A5A8513D014800000000D0000000A0100")

ACSE: dict[str, Aarq | Aare | Rlrq | Rlre] = {
    "acse-01": Aarq(context=1, user_information=INITIATE.encode()),
    "acse-02": Aarq(context=1, user_information=INITIATE.encode(), mechanism=1, authentication=b"12345678"),
    "acse-04": Aarq(
        context=3,
        user_information=dlms_vector("sec-01").octets,
        calling_ap_title=METER_TITLE,
        mechanism=1,
        authentication=b"12345678",
    ),
    "acse-05": Aare(context=1, result=0, diagnostic=0, user_information=AGREED.encode()),
    "acse-07": Aare(context=1, result=1, diagnostic=1, user_information=ConfirmedServiceError(1, 6, 1).encode()),
    "acse-08": Aare(
        context=1,
        result=0,
        diagnostic=14,
        user_information=AGREED.encode(),
        mechanism=5,
        authentication=b"P6wRJ21F",
    ),
    "acse-10": Rlrq(reason=0),
    "acse-12": Rlre(reason=0),
}

XDLMS: dict[str, xdlms.Apdu] = {
    "xd-01": GetRequest(AttributeDescriptor(1, ObisCode.parse("0-0:43.1.0.255"), 2), invoke=0xC1),
    "xd-02": GetResponse(axdr.double_long_unsigned(5009), invoke=0xC1),
    "xd-04": ActionRequest(
        HLS_REPLY, axdr.octet_string(bytes.fromhex("1000001A90E6D2221FA2FD85EED61ACC22")), invoke=0xC0
    ),
    "xd-05": ActionResponse(0, axdr.octet_string(bytes.fromhex("1000001AFDE8857B728A3499106AA665D1")), invoke=0xC0),
    "xd-06": ActionResponse(0, None, invoke=0xC0),
    "xd-08": ActionRequest(HLS_REPLY, None, invoke=0xC0),
    "xd-10": DataNotification(0x000001DB, b"", axdr.octet_string(PUSHED)),
    "xd-11": ExceptionResponse(1, 6, 0x01234567),
    "tok-01": ActionRequest(ENTER, axdr.octet_string(TokenEncoding.ASCII20.to_octets(TOKEN)), invoke=0xC1),
    "tok-02": ActionRequest(ENTER, axdr.octet_string(TokenEncoding.BCD10.to_octets(TOKEN)), invoke=0xC1),
    "tok-03": ActionRequest(ENTER, axdr.octet_string(TokenEncoding.DIGITS20.to_octets(TOKEN)), invoke=0xC1),
    "tok-04": ActionRequest(ENTER, axdr.octet_string(TokenEncoding.BINARY9.to_octets(TOKEN)), invoke=0xC1),
}

IN_CLEAR = {**ACSE, **XDLMS}
CIPHERED = ("sec-01", "sec-02", "sec-04", "sec-08", "tok-05", "tok-06")
DATA = ("tok-08", "tok-09", "acc-01", "acc-02", "acc-04")
BY_HAND = ("sec-05", "sec-07", "xd-12", "tok-07")


def named(ids: Any) -> pytest.MarkDecorator:
    """The test runs for each of these vectors, under their ids."""
    return pytest.mark.parametrize("vector", [dlms_vector(vector_id) for vector_id in ids], ids=str)


def test_every_vector_is_covered() -> None:
    ours = {vector.id for vector in dlms_vectors().values() if vector.layer not in OTHER_LAYERS}
    assert ours == {*IN_CLEAR, *CIPHERED, *DATA, *BY_HAND}


@pytest.mark.parametrize("vector", dlms_vectors().values(), ids=str)
def test_every_vector_says_where_it_comes_from(vector: Vector) -> None:
    assert vector.source
    assert vector.provenance in {"published", "recomputed", "constructed"}


@named(IN_CLEAR)
def test_decoding_a_vector_gives_what_it_means(vector: Vector) -> None:
    decode = acse.decode if vector.id in ACSE else xdlms.decode
    assert decode(vector.octets) == IN_CLEAR[vector.id], vector.story


@named(IN_CLEAR)
def test_encoding_what_a_vector_means_gives_its_octets(vector: Vector) -> None:
    assert IN_CLEAR[vector.id].encode().hex() == vector.octets.hex(), vector.story


# What the file itself says a decoder must return, read from what our decoder returned.


def _seen_in_initiate(octets: bytes) -> dict[str, object]:
    initiate = xdlms.decode(octets)
    if isinstance(initiate, InitiateRequest):
        return {
            "dlms_version": initiate.dlms_version,
            "conformance": f"{initiate.conformance:06X}",
            "client_max_receive_pdu_size": initiate.pdu_size_max,
        }
    if isinstance(initiate, ConfirmedServiceError):
        assert (initiate.service, initiate.kind) == (1, 6)
        return {"service_error": {"service": "initiateError", "choice": "initiate", "value": initiate.value}}
    assert isinstance(initiate, InitiateResponse)
    return {
        "negotiated_conformance": f"{initiate.conformance:06X}",
        "server_max_receive_pdu_size": initiate.pdu_size_max,
        "vaa_name": f"{initiate.vaa_name:04X}",
    }


def _seen_in_aarq(decoded: Aarq) -> dict[str, object]:
    seen: dict[str, object] = {
        "application_context": decoded.context,
        "mechanism": int(decoded.mechanism),
        "password_ascii": (decoded.authentication or b"").decode(),
        "calling_ap_title": (decoded.calling_ap_title or b"").hex().upper(),
    }
    if decoded.user_information[0] != 0x21:
        return seen | _seen_in_initiate(decoded.user_information)
    counters = InvocationCounters()
    layer = SecurityLayer(SecuritySettings(), Cipher(EK, AK), counters, CLIENT_TITLE, METER_TITLE)
    plain = layer.unprotect(decoded.user_information)
    return seen | {
        "decrypted_user_information": plain.hex().upper(),
        "invocation_counter": counters.last_received,
        "security_control": f"{layer.control_received:02X}",
    }


def _seen_in_aare(decoded: Aare) -> dict[str, object]:
    seen = {
        "result": decoded.result,
        "diagnostic": decoded.diagnostic,
        "diagnostic_source": "acse-service-provider" if decoded.provider_diagnostic else "acse-service-user",
        "mechanism": decoded.mechanism,
        "stoc": (decoded.authentication or b"").hex().upper(),
    }
    return seen | _seen_in_initiate(decoded.user_information or b"")


def _seen_in_get(decoded: GetRequest) -> dict[str, object]:
    return {
        "class": decoded.attribute.class_id,
        "obis": str(decoded.attribute.obis),
        "attribute": decoded.attribute.attribute,
        "invoke_id_and_priority": f"{decoded.invoke:02X}",
    }


def _seen_in_action(decoded: ActionRequest) -> dict[str, object]:
    seen: dict[str, object] = {
        "class": decoded.method.class_id,
        "obis": str(decoded.method.obis),
        "method": decoded.method.method,
        "data": None if decoded.data is None else axdr.encode(decoded.data).hex().upper(),
    }
    if decoded.method.class_id == token_gateway.CLASS_ID:
        assert decoded.data is not None
        seen["encoding"] = _encoding_of(decoded.data.octets)
    return seen


def _encoding_of(octets: bytes) -> str:
    """The only encoding under which these octets are our token."""
    fitting = []
    for encoding in TokenEncoding:
        try:
            fitting += [encoding.value] if encoding.from_octets(octets) == TOKEN else []
        except ValueError:
            continue
    (encoding_name,) = fitting
    return encoding_name


def _seen_in_action_response(decoded: ActionResponse) -> dict[str, object]:
    returned = axdr.encode(decoded.returned).hex().upper() if isinstance(decoded.returned, axdr.Data) else None
    return {"result": decoded.result, "data": returned}


def _seen_in_notification(decoded: DataNotification) -> dict[str, object]:
    return {
        "long_invoke_id_and_priority": f"{decoded.long_invoke:08X}",
        "date_time": decoded.date_time or None,
        "body_type": decoded.body.type.standard_name,
        "body_len": len(decoded.body.octets),
    }


def _seen_in_get_response(decoded: GetResponse) -> dict[str, object]:
    assert isinstance(decoded.result, axdr.Data)
    return {"value": decoded.result.integer}


def _seen_in_exception(decoded: ExceptionResponse) -> dict[str, object]:
    return {
        "state_error": decoded.state_error,
        "service_error": decoded.service_error,
        "invocation_counter": decoded.invocation_counter,
    }


SEEN: dict[type, Callable[[Any], dict[str, object]]] = {
    Aarq: _seen_in_aarq,
    Aare: _seen_in_aare,
    Rlrq: lambda decoded: {"reason": decoded.reason},
    Rlre: lambda decoded: {"reason": decoded.reason},
    GetRequest: _seen_in_get,
    GetResponse: _seen_in_get_response,
    ActionRequest: _seen_in_action,
    ActionResponse: _seen_in_action_response,
    DataNotification: _seen_in_notification,
    ExceptionResponse: _seen_in_exception,
}


@named(IN_CLEAR)
def test_a_decoded_vector_shows_all_that_the_file_expects(vector: Vector) -> None:
    decoded = (acse.decode if vector.id in ACSE else xdlms.decode)(vector.octets)
    seen = SEEN[type(decoded)](decoded)
    expected = {key: value for key, value in vector.expect.items() if key != "meaning"}  # a remark, no field
    assert {key: seen[key] for key in expected} == expected, vector.story


# Ciphered APDUs: sealed by one side, opened by the other.


class Sealed:
    """One ciphered vector: its keys, its plain octets, and both sides' layers set to its counter."""

    def __init__(self, vector: Vector) -> None:
        inputs = vector.inputs
        is_push = vector.id == "sec-08"
        ek = inputs["ek_ascii"].encode() if is_push else EK
        ak = inputs["ak_ascii"].encode() if is_push else AK
        control = int(vector.expect["sc"] if is_push else inputs["sc"], 16)
        self.counter: int = vector.expect["ic"] if is_push else inputs["ic"]
        self.plain = _plain(vector)
        title = bytes.fromhex(vector.expect["system_title"] if is_push else inputs["originator_system_title"])
        settings = SecuritySettings(
            ciphering=Ciphering.GENERAL_GLO if vector.octets[0] == 0xDB else Ciphering.SERVICE_GLO,
            protection={0x10: Protection.AUTHENTICATED, 0x30: Protection.BOTH}[control],
        )
        self.sender = SecurityLayer(settings, Cipher(ek, ak), InvocationCounters(self.counter), title, b"")
        self.counters = InvocationCounters()
        self.receiver = SecurityLayer(settings, Cipher(ek, ak), self.counters, b"", title)


def _plain(vector: Vector) -> bytes:
    if vector.id == "sec-08":
        return bytes.fromhex(vector.expect["decrypted"])
    plain: str = vector.inputs["plain"]
    return dlms_vector(plain).octets if plain.startswith("tok-") else bytes.fromhex(plain)


@named(CIPHERED)
def test_sealing_the_inputs_of_a_vector_gives_its_octets(vector: Vector) -> None:
    sealed = Sealed(vector)
    assert sealed.sender.protect(sealed.plain).hex() == vector.octets.hex(), vector.story


@named(CIPHERED)
def test_opening_a_ciphered_vector_gives_its_plain_octets(vector: Vector) -> None:
    sealed = Sealed(vector)
    assert sealed.receiver.unprotect(vector.octets).hex() == sealed.plain.hex(), vector.story
    assert sealed.counters.last_received == sealed.counter


@named(CIPHERED)
def test_a_ciphered_vector_has_the_tags_that_the_file_expects(vector: Vector) -> None:
    assert vector.octets[0] == int(vector.expect.get("tag", "DB"), 16)
    assert vector.octets[-12:] == bytes.fromhex(vector.expect.get("auth_tag", vector.octets[-12:].hex()))


def test_the_plain_octets_of_the_ciphered_vectors_are_apdus_that_we_write_ourselves() -> None:
    assert INITIATE_WITH_KEY.encode() == _plain(dlms_vector("sec-01"))
    assert xdlms.decode(_plain(dlms_vector("sec-01"))) == INITIATE_WITH_KEY
    read_clock = GetRequest(AttributeDescriptor(8, ObisCode.parse("0-0:1.0.0.255"), 2), invoke=0)
    assert read_clock.encode() == _plain(dlms_vector("sec-02"))
    assert xdlms.decode(_plain(dlms_vector("sec-08"))) == XDLMS["xd-10"]


@named(["sec-05"])
def test_the_hls_gmac_answer_is_that_of_the_green_book(vector: Vector) -> None:
    title = bytes.fromhex(vector.inputs["originator_system_title"])
    challenge = bytes.fromhex(vector.inputs["challenge"])
    cipher = Cipher(EK, AK)
    assert answer_challenge(cipher, title, vector.inputs["ic"], challenge) == vector.octets, vector.story
    assert challenge_is_answered(cipher, title, challenge, vector.octets), vector.story
    # The file's own nonce and associated data, by the library alone.
    iv, aad = bytes.fromhex(vector.expect["iv"]), bytes.fromhex(vector.expect["aad"])
    gmac = AESGCM(EK).encrypt(iv, b"", aad)[:12]
    assert gmac == bytes.fromhex(vector.expect["gmac"]) == vector.octets[5:], vector.story


@named(["xd-12"])
def test_the_conformance_block_names_the_same_bits_in_both_directions(vector: Vector) -> None:
    flags = Conformance(0)
    for bit in vector.expect["bits"]:
        flags |= Conformance[bit.upper().replace("-", "_")]
    assert xdlms.encode_conformance(flags) == vector.octets, vector.story
    assert xdlms.read_conformance(OctetReader(vector.octets, "conformance")) == flags, vector.story


@named(["tok-07"])
def test_the_wrapped_token_is_the_plain_one_behind_a_header(vector: Vector) -> None:
    # The header is the business of tests/transports; what it wraps is ours.
    header, apdu = vector.octets[:8], vector.octets[8:]
    assert int.from_bytes(header[6:8], "big") == vector.expect["length"] == len(apdu), vector.story
    assert xdlms.decode(apdu) == XDLMS["tok-01"], vector.story
    assert XDLMS["tok-01"].encode() == apdu, vector.story


# Attribute values.


def test_token_status_is_a_code_and_the_exact_number_of_bits() -> None:
    for vector_id in ("tok-08", "tok-09"):
        vector = dlms_vector(vector_id)
        status = TokenStatus(vector.expect["status_code"], vector.expect["data_value_bits"])
        assert axdr.encode(status.to_data()) == vector.octets, vector.story
        assert TokenStatus.from_data(axdr.decode(vector.octets)) == status, vector.story


@named(["acc-01"])
def test_the_account_says_its_mode_and_status(vector: Vector) -> None:
    account = AccountModeAndStatus(vector.expect["payment_mode"], vector.expect["account_status"])
    assert axdr.encode(account.to_data()) == vector.octets, vector.story
    assert AccountModeAndStatus.from_data(axdr.decode(vector.octets)) == account, vector.story


@named(["acc-02"])
def test_the_account_says_its_currency(vector: Vector) -> None:
    currency = Currency(vector.expect["name"], vector.expect["scale"], CurrencyUnit(vector.expect["unit"]))
    assert axdr.encode(currency.to_data()) == vector.octets, vector.story
    assert Currency.from_data(axdr.decode(vector.octets)) == currency, vector.story


@named(["acc-04"])
def test_in_credit_is_the_first_bit_on_the_wire(vector: Vector) -> None:
    flags = frozenset(vector.expect["flags"])
    assert axdr.encode(axdr.bit_string(payment.credit_status_bits(flags))) == vector.octets, vector.story
    assert payment.credit_status_flags(axdr.decode(vector.octets).bits) == flags, vector.story


def test_a_key_is_wrapped_as_the_vector_says() -> None:
    vector = dlms_vector("sec-07")
    master, key = bytes.fromhex(vector.inputs["kek"]), bytes.fromhex(vector.inputs["key"])
    assert wrap_key(master, key) == vector.octets, vector.story
    assert unwrap_key(master, vector.octets) == key, vector.story
