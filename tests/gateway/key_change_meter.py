"""A meter that changes its key, as a table: class 115 and 116 over any wire, with a script of what goes wrong.

It knows its tokens by heart, and has no cipher: which ones are sections of which set under which key, and which are
credits. Its ledger says what was executed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from cosem_objects import axdr, payment, token_gateway
from cosem_objects.axdr import Data
from cosem_objects.clock import CosemDateTime
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionResponse,
    ActionResult,
    AttributeDescriptor,
    DataAccessResult,
    GetRequest,
    GetRequestWithList,
    GetResponse,
    GetResponseWithList,
    Request,
    Response,
)
from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.dlms.server import ServerAssociation
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.payment import KEY_ATTRIBUTES, KeyAttributes, StsAttribute
from cosem_objects.sts_token import Token, TokenClass
from cosem_objects.token_gateway import Attribute, StatusCode, TokenEncoding, TokenStatus, onehot16
from tests.transports.wires import listen_somewhere
from transports.channel import ApduChannel

OLD_KEY = KeyAttributes(
    encryption_algorithm=7,
    supply_group_code=123456,
    tariff_index=1,
    key_revision_number=1,
    key_type=2,
    key_expiry_number=255,
)
NEW_KEY = replace(OLD_KEY, key_revision_number=2)
SECTIONS = tuple(Token.from_block(TokenClass.METER_SPECIFIC_MANAGEMENT, 0x1111 * number) for number in range(1, 5))
OTHER_SECTION = Token.from_block(TokenClass.METER_SPECIFIC_MANAGEMENT, 0x7777)
"""Of no set of this meter."""
CREDIT, SECOND_CREDIT = (Token.from_block(TokenClass.CREDIT, 0x123456 + number) for number in range(2))
"""Under the new key."""


class Happens(Enum):
    """To one ``enter``."""

    NOTHING = auto()
    LOST_BEFORE = auto()
    """The line breaks before the meter has worked on the token."""
    LOST_AFTER = auto()
    """The line breaks when it has."""
    POWER_FAILURE = auto()
    """The line breaks after it, and what was stored of the set is gone."""
    FORGOTTEN = auto()
    """The time for the set is over: what was stored before is gone."""
    BUSY = auto()
    """The ACTION is refused with temporary-failure."""
    PENDING = auto()
    """Worked on, but the status stays *received*."""


@dataclass
class KeyChangeMeter:
    """One meter under its old key."""

    sections: Sequence[Token] = SECTIONS[:2]
    new_key: KeyAttributes = NEW_KEY
    """What the set brings, as the meter will show it."""
    script: Mapping[int, Happens] = field(default_factory=dict)
    """What happens to which ``enter``, counted from 1."""
    key: KeyAttributes = OLD_KEY
    kct_supported: int | None = None
    """Attribute 11 of class 116; ``None``: this meter has none."""
    unreadable: Mapping[str, DataAccessResult] = field(default_factory=dict)
    """Members of ``KeyAttributes`` that are answered otherwise."""
    changes: int = 0
    """How often the key was changed."""
    keyed_in: bool = False
    """Somebody has typed the whole set when the next token comes."""
    names_sections: bool = False
    """Whether data_value says which section was stored (``onehot16``)."""
    key_reads: int = 0
    """How often class 116 was asked for its KRN."""
    credited: list[Token] = field(default_factory=list)
    entered: list[Token] = field(default_factory=list)
    right_after_enter: Callable[[], object] = lambda: None
    channels: list[ApduChannel] = field(default_factory=list)
    """Of every association there was."""
    _stored: set[Token] = field(default_factory=set)
    _shown: tuple[bytes, StatusCode] = (b"", StatusCode.FORMAT_OK)

    async def serve(self, channel: ApduChannel) -> None:
        self.channels.append(channel)
        association = ServerAssociation(SecuritySettings(), InvocationCounters(), lambda: bytes(8))
        while True:
            asked = association.receive(await channel.receive(None))
            if isinstance(asked, bytes):
                await channel.send(asked)
            elif asked is not None:
                response = self._answer(asked)
                if response is None:
                    channel.hang_up()
                    return
                await channel.send(association.respond(response))

    def _answer(self, asked: Request) -> Response | None:
        """None: the line breaks."""
        match asked:
            case GetRequest():
                return GetResponse(self._value(asked.attribute))
            case GetRequestWithList():
                return GetResponseWithList(tuple(self._value(attribute) for attribute, _ in asked.attributes))
            case ActionRequest(data=Data() as data):
                result = self._enter(TokenEncoding.ASCII20.from_octets(data.octets))
                self.right_after_enter()
                return None if result is None else ActionResponse(result)
            case _:
                raise AssertionError(f"nobody asks for {type(asked).__name__} here")

    def _enter(self, token: Token) -> ActionResult | None:
        self.entered.append(token)
        happens = self.script.get(len(self.entered), Happens.NOTHING)
        if happens is Happens.LOST_BEFORE:
            return None
        if happens is Happens.BUSY:
            return ActionResult.TEMPORARY_FAILURE
        if happens is Happens.FORGOTTEN:
            self._stored.clear()
        status = self._work_on(token)
        self._shown = TokenEncoding.ASCII20.to_octets(token), status
        if happens is Happens.PENDING:
            self._shown = self._shown[0], StatusCode.RECEIVED
        if happens is Happens.POWER_FAILURE:
            self._stored.clear()
        lost = (Happens.LOST_AFTER, Happens.POWER_FAILURE)
        return None if happens in lost else ActionResult.SUCCESS

    def _work_on(self, token: Token) -> StatusCode:
        if token in (CREDIT, SECOND_CREDIT):
            if not self.changes:
                return StatusCode.AUTHENTICATION_FAILURE
            if token in self.credited:
                return StatusCode.VALIDATION_FAILURE
            self.credited.append(token)
            return StatusCode.EXECUTION_OK
        if self.keyed_in:
            self.key, self.changes = self.new_key, 1
        if token not in self.sections or self.changes:  # under another key than the meter's
            return StatusCode.AUTHENTICATION_FAILURE
        self._stored.add(token)
        if self._stored == set(self.sections):
            self._stored.clear()
            self.key, self.changes = self.new_key, self.changes + 1
        return StatusCode.EXECUTION_OK

    def _bits(self, octets: bytes) -> str:
        """All zero unless this meter names sections, and the last token is one that waits for others."""
        stored = {TokenEncoding.ASCII20.to_octets(section): section for section in self._stored}
        if not self.names_sections or octets not in stored:
            return "0" * 16
        return onehot16(None, section=list(SECTIONS).index(stored[octets]) + 1)

    def _value(self, place: AttributeDescriptor) -> Data | DataAccessResult:
        names = {attribute: name for name, attribute in KEY_ATTRIBUTES.items()}
        if place.class_id == payment.STS_CLASS_ID and place.attribute in names:
            name = names[place.attribute]
            self.key_reads += name == "key_revision_number"
            value = getattr(self.key, name)
            return self.unreadable.get(name, axdr.double_long_unsigned(value))
        is_kct = (place.class_id, place.attribute) == (payment.STS_CLASS_ID, StsAttribute.NO_OF_KCT_SUPPORTED)
        if is_kct and self.kct_supported is not None:
            return axdr.unsigned(self.kct_supported)
        if place.class_id != token_gateway.CLASS_ID:
            return DataAccessResult.OBJECT_UNDEFINED
        token, status = self._shown
        minutes, seconds = divmod(len(self.entered), 60)
        values = {
            Attribute.TOKEN: axdr.octet_string(token),
            Attribute.TOKEN_TIME: axdr.octet_string(
                CosemDateTime(2026, 11, 21, hour=12, minute=minutes, second=seconds).to_octets()
            ),
            Attribute.TOKEN_DELIVERY_METHOD: axdr.enum(0),
            Attribute.TOKEN_STATUS: TokenStatus(status, self._bits(token)).to_data(),
        }
        return values[Attribute(place.attribute)]


@asynccontextmanager
async def at_a_wire(meter: KeyChangeMeter, wire: str = "tcp") -> AsyncIterator[str]:
    """The meter on a real socket, and its URL."""
    async with await listen_somewhere(wire, meter.serve) as listener:
        yield listener.url
