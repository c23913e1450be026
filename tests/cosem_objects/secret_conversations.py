"""Conversations that carry secrets in every place where one can stand, and a way to find what is left of them."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from cosem_objects import axdr, token_gateway
from cosem_objects.axdr import Data
from cosem_objects.dlms.acse import Aarq
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionRequestWithFirstPblock,
    ActionRequestWithList,
    ActionRequestWithListAndFirstPblock,
    ActionRequestWithPblock,
    ActionResponse,
    AttributeDescriptor,
    Conformance,
    DataBlock,
    DataNotification,
    EventNotification,
    GeneralBlockTransfer,
    GetRequest,
    GetRequestNext,
    GetRequestWithList,
    GetResponse,
    GetResponseWithDataBlock,
    GetResponseWithList,
    InitiateRequest,
    MethodDescriptor,
    PrefixedRequest,
    PrefixedResponse,
    SetRequest,
    SetRequestWithDataBlock,
    SetRequestWithFirstDataBlock,
    SetRequestWithList,
)
from cosem_objects.dlms.ciphered import CipheredApdu
from cosem_objects.dlms.settings import AUTHENTICATED, Ciphering
from cosem_objects.obis import ObisCode
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import TokenEncoding

TOKENS = tuple(map(Token.parse, ("48643202781314010686", "23716100501183194197", "71936024518437209865")))
PASSWORD = b"correct-horse"
KEY = bytes.fromhex("c0ffee0123456789abcdef0123456789")

GATEWAY = token_gateway.DEFAULT_OBIS
ENTER = MethodDescriptor(115, GATEWAY, 1)
TOKEN = AttributeDescriptor(115, GATEWAY, 2)
STATUS = AttributeDescriptor(115, GATEWAY, 6)
SECRET = AttributeDescriptor(15, ObisCode.parse("0-0:40.0.1.255"), 7)
CHANGE_SECRET = MethodDescriptor(15, ObisCode.parse("0-0:40.0.1.255"), 2)
TRANSFER_KEY = MethodDescriptor(64, ObisCode.parse("0-0:43.0.0.255"), 2)
VENDORS_ENTER = MethodDescriptor(9000, ObisCode.parse("0-0:128.1.0.255"), 1)
VENDORS_DATA = AttributeDescriptor(1, ObisCode.parse("0-0:128.2.0.255"), 2)
LOG = AttributeDescriptor(7, ObisCode.parse("0-0:99.98.5.255"), 2)
CLOCK = AttributeDescriptor(8, ObisCode.parse("0-0:1.0.0.255"), 2)

Said = tuple[bool, bytes]
"""Whether the client says it, and the APDU."""


def tokens() -> st.SearchStrategy[bytes]:
    return st.builds(lambda token, form: form.to_octets(token), st.sampled_from(TOKENS), st.sampled_from(TokenEncoding))


def strings(octets: bytes) -> st.SearchStrategy[Data]:
    """The same octets in the types that a meter may use for them."""
    return st.sampled_from((axdr.octet_string(octets), axdr.visible_string(octets.decode("latin-1"))))


@st.composite
def exchanges(draw: st.DrawFn) -> list[Said]:
    """A question with its answer, or several, one of them with a secret."""
    make = draw(st.sampled_from(_EXCHANGES))
    octets = draw(tokens())
    invoke = 0xC0 | draw(st.integers(0, 15))
    return make(octets, draw(strings(octets)), invoke, draw(st.integers(1, 8)))


def _blocks(encoded: bytes, size: int) -> list[DataBlock]:
    pieces = [encoded[start : start + size] for start in range(0, len(encoded), size)]
    return [DataBlock(number, piece, number == len(pieces)) for number, piece in enumerate(pieces, 1)]


def _associate(octets: bytes, _value: Data, _invoke: int, _size: int) -> list[Said]:
    initiate = InitiateRequest(Conformance.GET, 0xFFFF, dedicated_key=KEY).encode()
    return [(True, Aarq(1, initiate, None, mechanism, PASSWORD).encode()) for mechanism in (0, 1)]


def _enter(_octets: bytes, value: Data, invoke: int, _size: int) -> list[Said]:
    return [
        (True, ActionRequest(ENTER, value, invoke).encode()),
        (False, ActionResponse(0, value, invoke).encode()),
        (True, ActionRequest(VENDORS_ENTER, axdr.structure(axdr.unsigned(1), value), invoke).encode()),
    ]


def _enter_with_list(_octets: bytes, value: Data, invoke: int, _size: int) -> list[Said]:
    return [(True, ActionRequestWithList((VENDORS_ENTER, ENTER), (axdr.NULL, value), invoke).encode())]


def _enter_in_blocks(_octets: bytes, value: Data, invoke: int, size: int) -> list[Said]:
    first, *others = _blocks(axdr.encode(value), size)
    rest = [(True, ActionRequestWithPblock(block, invoke).encode()) for block in others]
    return [
        (True, ActionRequestWithFirstPblock(ENTER, first, invoke).encode()),
        *rest,
        (True, ActionRequestWithListAndFirstPblock((ENTER, ENTER), first, invoke).encode()),
        *rest,
    ]


def _read_token(_octets: bytes, value: Data, invoke: int, _size: int) -> list[Said]:
    return [
        (False, GetResponse(value, invoke).encode()),  # an answer to nobody knows what
        (True, GetRequest(TOKEN, None, invoke).encode()),
        (False, GetResponse(value, invoke).encode()),
        (False, GetResponse(value, invoke).encode()),
        (True, GetRequest(CLOCK, None, invoke).encode()),
        (True, GetRequest(TOKEN, None, invoke).encode()),
        (False, GetResponse(axdr.octet_string(bytes(12)), invoke).encode()),
        (False, GetResponse(value, invoke).encode()),
        (True, GetRequest(LOG, None, invoke).encode()),
        (False, GetResponse(axdr.array(axdr.structure(axdr.octet_string(bytes(12)), value)), invoke).encode()),
    ]


def _read_with_list(_octets: bytes, value: Data, invoke: int, _size: int) -> list[Said]:
    asked = GetRequestWithList(((STATUS, None), (TOKEN, None)), invoke)
    return [
        (True, asked.encode()),
        (False, GetResponseWithList((axdr.enum(3), value), invoke).encode()),
        (True, asked.encode()),
        (False, GetResponseWithList((value,), invoke).encode()),
        (False, GetResponseWithList((axdr.enum(3), value), invoke).encode()),
    ]


def _read_in_blocks(_octets: bytes, value: Data, invoke: int, size: int) -> list[Said]:
    said: list[Said] = [(True, GetRequest(TOKEN, None, invoke).encode())]
    for block in _blocks(axdr.encode(value), size):
        answer = GetResponseWithDataBlock(block.number, block.octets, block.is_last, invoke)
        said += [(False, answer.encode()), (True, GetRequestNext(block.number, invoke).encode())]
    return said


def _write(_octets: bytes, value: Data, invoke: int, size: int) -> list[Said]:
    first, *others = _blocks(axdr.encode(value), size)
    return [
        (True, SetRequest(VENDORS_DATA, value, None, invoke).encode()),
        (True, SetRequestWithList(((CLOCK, None), (VENDORS_DATA, None)), (axdr.NULL, value), invoke).encode()),
        (True, SetRequestWithFirstDataBlock(VENDORS_DATA, first, None, invoke).encode()),
        *[(True, SetRequestWithDataBlock(block, invoke).encode()) for block in others],
        (True, SetRequest(SECRET, axdr.octet_string(PASSWORD), None, invoke).encode()),
    ]


def _change_keys(_octets: bytes, _value: Data, invoke: int, _size: int) -> list[Said]:
    keys = axdr.array(axdr.structure(axdr.enum(0), axdr.octet_string(KEY + bytes(8))))
    return [
        (True, ActionRequest(CHANGE_SECRET, axdr.octet_string(PASSWORD), invoke).encode()),
        (True, ActionRequest(TRANSFER_KEY, keys, invoke).encode()),
    ]


def _unasked(_octets: bytes, value: Data, _invoke: int, _size: int) -> list[Said]:
    return [
        (False, DataNotification(1, b"", axdr.structure(axdr.unsigned(1), value)).encode()),
        (False, EventNotification(TOKEN, value).encode()),
        (False, EventNotification(VENDORS_DATA, value, bytes(12)).encode()),
    ]


def _wrapped_up(octets: bytes, value: Data, invoke: int, _size: int) -> list[Said]:
    """Prefixed, authenticated only, in general blocks."""
    said: list[Said] = []
    for is_client, apdu in _enter(octets, value, invoke, 0)[:1] + _read_token(octets, value, invoke, 0):
        sealed = CipheredApdu(Ciphering.GENERAL_GLO, None, bytes(8), AUTHENTICATED, 1, apdu + bytes(12)).encode()
        said.append((is_client, sealed))
        prefixed = PrefixedRequest if is_client else PrefixedResponse
        said.append((is_client, prefixed(0, b"meter", apdu).encode()))
        middle = len(apdu) // 2
        said += [
            (is_client, GeneralBlockTransfer(number, 0, piece, number == 2).encode())
            for number, piece in ((1, apdu[:middle]), (2, apdu[middle:]))
        ]
    return said


_EXCHANGES = (
    _associate,
    _enter,
    _enter_with_list,
    _enter_in_blocks,
    _read_token,
    _read_with_list,
    _read_in_blocks,
    _write,
    _change_keys,
    _unasked,
    _wrapped_up,
)

conversations: st.SearchStrategy[list[Said]] = st.lists(exchanges(), min_size=1, max_size=4).map(
    lambda some: [said for exchange in some for said in exchange]
)


def _windows(octets: bytes, size: int) -> Iterable[bytes]:
    return (octets[start : start + size] for start in range(len(octets) - size + 1))


# Parts long enough that nothing else looks like them by chance.
PARTS = frozenset(
    part
    for secret, size in (
        *(
            (form.to_octets(token), 6 if form is not TokenEncoding.BINARY9 else 5)
            for token in TOKENS
            for form in TokenEncoding
        ),
        (PASSWORD, 6),
        (KEY, 6),
    )
    for part in _windows(secret, size)
)
_DIGITS = frozenset(part for token in TOKENS for part in _windows(token.digits.encode(), 9))


def remains(shown: bytes) -> list[bytes]:
    """Parts of secrets that can be seen in these bytes: as they are, in hex, in digits."""
    upper = shown.upper()
    found = [part for part in PARTS if part in shown or part.hex().upper().encode() in upper]
    return found + [digits for digits in _DIGITS if digits in shown]
