"""Associations to fuzz with: keys and titles that are known, and every way of securing an association."""

from __future__ import annotations

from dataclasses import replace

from cosem_objects import axdr
from cosem_objects.dlms.acse import Mechanism
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionResponse,
    ActionResponseWithList,
    AttributeDescriptor,
    Conformance,
    GetRequest,
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
from cosem_objects.dlms.client import ClientAssociation, State
from cosem_objects.dlms.conformance import CLIENT_OFFERED
from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.dlms.server import ServerAssociation
from cosem_objects.dlms.settings import Ciphering, Protection, SecuritySettings
from cosem_objects.errors import LocalProtocolError
from cosem_objects.obis import ObisCode
from tests.vectors import dlms_key

EK = dlms_key("EK_global_unicast")
AK = dlms_key("AK")
DEDICATED_KEY = bytes(range(100, 116))
CLIENT_TITLE = dlms_key("client_system_title")
METER_TITLE = dlms_key("server_system_title")
PASSWORD = b"a password of lab"
CTOS = b"CtoSCtoS"
STOC = b"P6wRJ21F"
SECRETS = (EK, AK, DEDICATED_KEY, PASSWORD)

SECURE = SecuritySettings(
    mechanism=Mechanism.HLS_GMAC,
    ciphering=Ciphering.SERVICE_GLO,
    password=PASSWORD,
    ek=EK,
    ak=AK,
    client_system_title=CLIENT_TITLE,
    meter_system_title=METER_TITLE,
)
MECHANISMS = (Mechanism.NONE, Mechanism.LLS, Mechanism.HLS_GMAC, Mechanism.HLS_SHA256)
SETTINGS = [replace(SECURE, mechanism=mechanism, ciphering=Ciphering.NONE) for mechanism in MECHANISMS] + [
    replace(SECURE, mechanism=mechanism, ciphering=ciphering, protection=protection)
    for mechanism in (Mechanism.NONE, Mechanism.HLS_GMAC)
    for ciphering in Ciphering
    if ciphering is not Ciphering.NONE
    for protection in Protection
]

_GENERAL_BLOCKS = Conformance.GET | Conformance.SET | Conformance.ACTION | Conformance.GENERAL_BLOCK_TRANSFER
_CLOCK = AttributeDescriptor(8, ObisCode.parse("0-0:1.0.0.255"), 2)
_ENTER = MethodDescriptor(115, ObisCode.parse("0-0:19.40.0.255"), 1)
_LONG = axdr.octet_string(bytes(range(200)))
REQUESTS: tuple[Request, ...] = (
    GetRequest(_CLOCK),
    SetRequest(_CLOCK, axdr.octet_string(bytes(12))),
    ActionRequest(_ENTER, axdr.octet_string(b"48643202781314010686")),
    GetRequestWithList(((_CLOCK, None), (_CLOCK, None))),
    SetRequest(_CLOCK, _LONG),
    ActionRequest(_ENTER, _LONG),
)
RELEASE = 0xFF
"""Instead of a request."""


def has_tags(settings: SecuritySettings) -> bool:
    """Whether each APDU proves who sent it."""
    return settings.ciphering is not Ciphering.NONE and settings.protection is not Protection.ENCRYPTED


class Pair:
    """A client and a meter of the same settings, and what they count.

    Both take APDUs of ``pdu_size_max`` octets. ``general_blocks``: the client knows no other blocks.
    """

    def __init__(self, settings: SecuritySettings, pdu_size_max: int, *, general_blocks: bool = False) -> None:
        self.client_counters = InvocationCounters()
        self.meter_counters = InvocationCounters()
        self.client = ClientAssociation(
            settings,
            self.client_counters,
            CTOS,
            pdu_size_max=pdu_size_max,
            offered=_GENERAL_BLOCKS if general_blocks else CLIENT_OFFERED,
            dedicated_key=DEDICATED_KEY if settings.ciphering.is_dedicated else b"",
        )
        self.meter = ServerAssociation(settings, self.meter_counters, lambda: STOC, pdu_size_max=pdu_size_max)

    def associate(self) -> None:
        """The association stands: nobody disturbs it."""
        said: object = self.client.associate()
        while isinstance(said, bytes):
            answer = self.meter.receive(said)
            assert isinstance(answer, bytes)
            said = self.client.receive(answer)

    def ask(self, choice: int) -> bytes:
        """What the client may say now by itself; nothing where it cannot."""
        try:
            if self.client.state is State.IDLE:
                return self.client.associate()
            return self.client.release() if choice == RELEASE else self.client.request(REQUESTS[choice % len(REQUESTS)])
        except LocalProtocolError:  # not the time for it, too long, or not agreed upon
            return b""


def response_to(request: Request, *, is_long: bool) -> Response:
    """What objects might say: right in kind and number."""
    value = _LONG if is_long else axdr.double_long_unsigned(5009)
    match request:
        case GetRequest():
            return GetResponse(value)
        case GetRequestWithList():
            return GetResponseWithList(tuple(value for _ in request.attributes))
        case SetRequest():
            return SetResponse(0)
        case SetRequestWithList():
            return SetResponseWithList(tuple(0 for _ in request.attributes))
        case ActionRequest():
            return ActionResponse(0, value)
        case _:
            return ActionResponseWithList(tuple((0, value) for _ in request.methods))
