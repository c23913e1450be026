"""No token, password or key is shown: not by what holds it, and not by the errors raised about it.

Tracebacks and logs are read by many people, and a token is money.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace

import pytest

from cosem_objects import axdr
from cosem_objects.axdr import CompactArray, Data, DataType, TypeDescription
from cosem_objects.dlms import acse
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms.acse import Aare, Aarq, Mechanism, Rlre, Rlrq
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionResponse,
    Conformance,
    DataNotification,
    EventNotification,
    GetRequest,
    GetResponse,
    InitiateRequest,
    SetRequest,
)
from cosem_objects.dlms.security import Cipher, InvocationCounters, SecurityLayer
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError, SettingError, TokenFormatError
from cosem_objects.octets import with_length
from cosem_objects.profile import MeterProfile
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import TokenEncoding
from tests.cosem_objects.conversation import CLIENT_TITLE, CLOCK, ENTER, METER_TITLE, SECURE, Conversation

DIGITS = "48643202781314010686"
TOKEN = Token.parse(DIGITS)
PASSWORD = "correct-horse"
KEY = bytes.fromhex("c0ffee0123456789abcdef0123456789")


def _forms(octets: bytes) -> set[str]:
    """How octets could show up in a text."""
    whole = {octets.hex(), octets.hex().upper(), octets.hex(" "), repr(octets)[2:-1], str(list(octets))[1:-1]}
    return whole | {str(int.from_bytes(octets, "big"))}


FORBIDDEN = (
    {DIGITS, TOKEN.digits, "4864 3202 7813 1401 0686", str(TOKEN.number), f"{TOKEN.number:x}", PASSWORD}
    | {form for encoding in TokenEncoding for form in _forms(encoding.to_octets(TOKEN))}
    | _forms(PASSWORD.encode())
    | _forms(KEY)
)


def assert_shows_nothing(text: str) -> None:
    lower = text.lower()
    shown = [secret for secret in FORBIDDEN if secret.lower() in lower]
    assert not shown, f"{len(shown)} secrets in: {text}"


def test_the_forbidden_forms_are_recognised() -> None:
    for text in (DIGITS, repr(DIGITS.encode()), KEY.hex(), repr(KEY), TokenEncoding.DIGITS20.to_octets(TOKEN).hex()):
        with pytest.raises(AssertionError, match="secrets in"):
            assert_shows_nothing(f"x {text} y")


SETTINGS = replace(SECURE, mechanism=Mechanism.LLS, password=PASSWORD.encode(), ek=KEY, ak=KEY)
INITIATE = InitiateRequest(Conformance.GET, 0, KEY)
TEXTS = [axdr.octet_string(encoding.to_octets(TOKEN)) for encoding in TokenEncoding] + [
    axdr.visible_string(DIGITS),
    axdr.utf8_string(DIGITS),
    axdr.octet_string(KEY),
    axdr.visible_string(PASSWORD),
    Data(DataType.BIT_STRING, DIGITS),
]
COMPACT = Data(
    DataType.COMPACT_ARRAY, CompactArray(TypeDescription(DataType.OCTET_STRING), (axdr.octet_string(DIGITS.encode()),))
)

HOLDERS: list[object] = [
    TOKEN,
    [TOKEN],
    {"token": TOKEN},
    *TEXTS,
    axdr.array(*TEXTS),
    axdr.structure(axdr.array(*TEXTS)),
    COMPACT,
    COMPACT.value,
    *(ActionRequest(ENTER, data) for data in TEXTS),
    *(GetResponse(data) for data in TEXTS),
    ActionResponse(0, TEXTS[0]),
    SetRequest(CLOCK, TEXTS[0], (1, TEXTS[0])),
    GetRequest(CLOCK, (1, TEXTS[0])),
    DataNotification(1, b"", axdr.structure(*TEXTS)),
    EventNotification(CLOCK, TEXTS[0]),
    INITIATE,
    Aarq(1, INITIATE.encode(), CLIENT_TITLE, 1, PASSWORD.encode()),
    Aare(1, 0, 0, INITIATE.encode(), False, METER_TITLE, 5, KEY),
    Rlrq(0, INITIATE.encode()),
    Rlre(0, INITIATE.encode()),
    SETTINGS,
    Cipher(KEY, KEY),
    SecurityLayer(SETTINGS, Cipher(KEY, KEY), InvocationCounters(), CLIENT_TITLE, METER_TITLE),
    InvocationCounters(),
    Conversation(SETTINGS).client,
    Conversation(SETTINGS).meter,
    MeterProfile(),
]


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: type(holder).__name__)
def test_what_holds_a_secret_does_not_show_it(holder: object) -> None:
    assert_shows_nothing(repr(holder))
    assert_shows_nothing(str(holder))
    assert_shows_nothing(f"{holder}")


def _parse(**change: object) -> Callable[[], object]:
    good = {"mechanism": "hls-gmac", "ek": KEY.hex(), "ak": KEY.hex(), "password": PASSWORD}
    return lambda: SecuritySettings.parse(good | change)


def _misplaced(tag: int) -> bytes:
    """An AARQ in which the password stands in the place of another field."""
    password = b"\x80" + with_length(PASSWORD.encode())
    context = bytes.fromhex("a109060760857405080101")
    user_information = bytes.fromhex("be0404020100")
    contents = (b"" if tag == 0xA1 else context) + bytes((tag,)) + with_length(password) + user_information
    return b"\x60" + with_length(contents)


MISHAPS: dict[str, Callable[[], object]] = {
    "a digit too many": lambda: Token.parse(DIGITS + "1"),
    "a letter in it": lambda: Token.parse(DIGITS + "x"),
    "a letter in the middle": lambda: Token.parse(DIGITS.replace("0", "o")),
    "too large": lambda: Token(TOKEN.number << 10),
    **{
        f"{form.value} read as {encoding.value}": lambda form=form, encoding=encoding: encoding.from_octets(  # type: ignore[misc]
            form.to_octets(TOKEN)
        )
        for form in TokenEncoding
        for encoding in TokenEncoding
        if form is not encoding
    },
    "ascii with octets too many": lambda: TokenEncoding.ASCII20.from_octets(DIGITS.encode() + b"\xff"),
    "digits as bits": lambda: axdr.encode(axdr.bit_string(DIGITS)),
    "digits as a number": lambda: axdr.encode(Data(DataType.UNSIGNED, DIGITS)),
    "a number as octets": lambda: axdr.encode(Data(DataType.OCTET_STRING, TOKEN.number)),
    "a number as text": lambda: axdr.encode(Data(DataType.VISIBLE_STRING, TOKEN.number)),
    "text that is no latin-1": lambda: axdr.encode(axdr.visible_string(PASSWORD + "…")),
    "text that is no utf-8": lambda: axdr.decode(b"\x0c" + with_length(DIGITS.encode() + b"\xff")),
    "octets where a number was expected": lambda: axdr.octet_string(DIGITS.encode()).integer,
    "text where octets were expected": lambda: axdr.visible_string(DIGITS).octets,
    "a token that is cut": lambda: axdr.decode(axdr.encode(axdr.octet_string(DIGITS.encode()))[:-1]),
    "a token and more": lambda: axdr.decode(axdr.encode(axdr.octet_string(DIGITS.encode())) + DIGITS.encode()),
    "a token for an APDU": lambda: xdlms.decode(DIGITS.encode()),
    "a key for an APDU": lambda: acse.decode(KEY),
    "the password as the context name": lambda: acse.decode(_misplaced(0xA1)),
    "the password as the mechanism name": lambda: acse.decode(_misplaced(0x8B)),
    "the password as a title": lambda: acse.decode(_misplaced(0xA6)),
    "a short ek": _parse(ek=KEY.hex()[:-2]),
    "a long ak": _parse(ak=KEY.hex() + "00"),
    "an odd ek": _parse(ek=KEY.hex()[:-1]),
    "an ak that is no hex": _parse(ak=KEY.hex() + "zz"),
    "an ek as octets": _parse(ek=KEY),
    "an ek as a number": _parse(ek=int.from_bytes(KEY, "big")),
    "no ak": _parse(ak=""),
    "another suite": _parse(suite=1),
    "another mechanism": _parse(mechanism="hls-md5"),
    "a key as a title": _parse(client_system_title=KEY.hex()),
}


@pytest.mark.parametrize("mishap", MISHAPS.values(), ids=MISHAPS.keys())
def test_an_error_about_a_secret_does_not_show_it(mishap: Callable[[], object]) -> None:
    with pytest.raises((TokenFormatError, SettingError, LocalProtocolError, RemoteProtocolError)) as caught:
        mishap()
    # The messages of the whole chain, as a traceback would print them; the source lines are ours and public.
    told: list[str] = []
    error: BaseException | None = caught.value
    while error is not None:
        told += traceback.format_exception_only(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert told
    for line in told:
        assert_shows_nothing(line)
