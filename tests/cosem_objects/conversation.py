"""A client and a meter back to back: the bytes of one go to the other, and every one of them is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cosem_objects import axdr
from cosem_objects.dlms.acse import Mechanism
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionResponse,
    AttributeDescriptor,
    Conformance,
    GetRequest,
    GetResponse,
    MethodDescriptor,
    Request,
    Response,
    SetRequest,
    SetResponse,
)
from cosem_objects.dlms.client import Associated, ClientAssociation, Event, Released
from cosem_objects.dlms.conformance import CLIENT_OFFERED, SERVER_OFFERED
from cosem_objects.dlms.security import Cipher, InvocationCounters
from cosem_objects.dlms.server import ServerAssociation
from cosem_objects.dlms.settings import Ciphering, Protection, SecuritySettings
from cosem_objects.obis import ObisCode
from tests.vectors import dlms_key

EK = dlms_key("EK_global_unicast")
AK = dlms_key("AK")
OTHER_KEY = bytes(range(100, 116))
CLIENT_TITLE = dlms_key("client_system_title")
METER_TITLE = dlms_key("server_system_title")
OTHER_TITLE = bytes.fromhex("4D4D4D0000BC614F")
DEDICATED_KEY = dlms_key("dedicated_key")
PASSWORD = b"12345678"
CTOS = b"CtoSCtoS"
STOC = b"P6wRJ21F"

CLEAR = SecuritySettings()
LLS = SecuritySettings(mechanism=Mechanism.LLS, password=PASSWORD)
SECURE = SecuritySettings(
    mechanism=Mechanism.HLS_GMAC,
    ciphering=Ciphering.SERVICE_GLO,
    password=PASSWORD,
    ek=EK,
    ak=AK,
    client_system_title=CLIENT_TITLE,
    meter_system_title=METER_TITLE,
)
GENERAL = replace(SECURE, ciphering=Ciphering.GENERAL_GLO)
DEDICATED = replace(SECURE, ciphering=Ciphering.SERVICE_DED)
GENERAL_DEDICATED = replace(SECURE, ciphering=Ciphering.GENERAL_DED)
HLS_IN_CLEAR = replace(SECURE, ciphering=Ciphering.NONE)
SHA256_IN_CLEAR = replace(HLS_IN_CLEAR, mechanism=Mechanism.HLS_SHA256, ek=b"", ak=b"")
CIPHERED_ONLY = replace(SECURE, mechanism=Mechanism.NONE)

MECHANISMS = (Mechanism.NONE, Mechanism.LLS, Mechanism.HLS_GMAC, Mechanism.HLS_SHA256)
MATRIX = [replace(SECURE, mechanism=mechanism, ciphering=Ciphering.NONE) for mechanism in MECHANISMS] + [
    replace(SECURE, mechanism=mechanism, ciphering=ciphering, protection=protection)
    for mechanism in MECHANISMS
    for ciphering in Ciphering
    if ciphering is not Ciphering.NONE
    for protection in Protection
]
"""Every mechanism with every form and strength of ciphering."""

CLOCK = AttributeDescriptor(8, ObisCode.parse("0-0:1.0.0.255"), 2)
ENTER = MethodDescriptor(115, ObisCode.parse("0-0:19.40.0.255"), 1)
TOKEN_DIGITS = b"48643202781314010686"
GET = GetRequest(CLOCK)
SET = SetRequest(CLOCK, axdr.octet_string(bytes(12)))
ACTION = ActionRequest(ENTER, axdr.octet_string(TOKEN_DIGITS))
ANSWERS: dict[Request, Response] = {
    GET: GetResponse(axdr.double_long(5009)),
    SET: SetResponse(0),
    ACTION: ActionResponse(0, axdr.enum(3)),
}


def cipher() -> Cipher:
    return Cipher(EK, AK)


WITHOUT_BLOCKS = Conformance.GET | Conformance.SET | Conformance.ACTION
"""What a meter of few words offers."""
STEPS_MAX = 1_000
"""Blocks that any conversation here may need."""


class Conversation:
    """``settings`` of the client; the meter has the same, and its title, unless told otherwise."""

    def __init__(
        self,
        settings: SecuritySettings = CLEAR,
        meter: SecuritySettings | None = None,
        *,
        client_counters: InvocationCounters | None = None,
        meter_counters: InvocationCounters | None = None,
        challenge: bytes = CTOS,
        meter_challenge: bytes = STOC,
        client_pdu_size_max: int = 0xFFFF,
        meter_pdu_size_max: int = 0xFFFF,
        mirror_form: bool = True,
        offered: Conformance = CLIENT_OFFERED,
        meter_offered: Conformance = SERVER_OFFERED,
        dedicated_key: bytes = DEDICATED_KEY,
        restart_dedicated_counter: bool = False,
        dedicated_key_in_hls: bool = False,
    ) -> None:
        self.settings = settings
        self.client_counters = InvocationCounters() if client_counters is None else client_counters
        self.meter_counters = InvocationCounters() if meter_counters is None else meter_counters
        self.client = ClientAssociation(
            settings,
            self.client_counters,
            challenge,
            pdu_size_max=client_pdu_size_max,
            offered=offered,
            dedicated_key=dedicated_key,
            restart_dedicated_counter=restart_dedicated_counter,
            dedicated_key_in_hls=dedicated_key_in_hls,
        )
        self.meter = ServerAssociation(
            replace(settings, meter_system_title=METER_TITLE) if meter is None else meter,
            self.meter_counters,
            lambda: meter_challenge,
            pdu_size_max=meter_pdu_size_max,
            mirror_form=mirror_form,
            offered=meter_offered,
        )
        self.sent: list[bytes] = []
        """By the client, in order."""
        self.answered: list[bytes] = []
        """By the meter, in order."""

    def to_meter(self, octets: bytes) -> bytes | Request:
        self.sent.append(octets)
        reaction = self.meter.receive(octets)
        assert reaction is not None
        if isinstance(reaction, bytes):
            self.answered.append(reaction)
        return reaction

    def answer_of_meter(self, octets: bytes) -> bytes:
        """What the meter answers by itself."""
        reaction = self.to_meter(octets)
        assert isinstance(reaction, bytes)
        return reaction

    def once_more(self) -> Conversation:
        """A new association of the same two, whose counters go on."""
        return Conversation(self.settings, client_counters=self.client_counters, meter_counters=self.meter_counters)

    def associate(self) -> Associated:
        event = self.client.receive(self.answer_of_meter(self.client.associate()))
        if isinstance(event, bytes):
            event = self.client.receive(self.answer_of_meter(event))
        assert isinstance(event, Associated)
        return event

    def respond(self, response: Response) -> bytes:
        octets = self.meter.respond(response)
        self.answered.append(octets)
        return octets

    def ask(self, request: Request, response: Response) -> Response:
        """One request, as the meter understood it compared with what was asked; returns what the client got. Blocks go
        to and fro by themselves."""

        def answer(understood: Request) -> Response:
            assert replace(understood, invoke=request.invoke) == request
            return response

        event = self.go_on(self.client.request(request), answer)
        assert isinstance(event, Response)
        return event

    def go_on(self, octets: bytes, answer: Callable[[Request], Response]) -> Event:
        """From an APDU of the client on, until the client has something to tell. ``answer``: what the objects say;
        they are asked once at most."""
        times_asked = 0
        for _ in range(STEPS_MAX):
            reaction = self.to_meter(octets)
            if not isinstance(reaction, bytes):
                times_asked += 1
                reaction = self.respond(answer(reaction))
            event = self.client.receive(reaction)
            if not isinstance(event, bytes):
                assert times_asked <= 1
                return event
            octets = event
        raise AssertionError("a conversation without end")

    def release(self) -> None:
        event = self.client.receive(self.answer_of_meter(self.client.release()))
        assert isinstance(event, Released)


def associated(settings: SecuritySettings = SECURE) -> Conversation:
    """A conversation whose association stands."""
    conversation = Conversation(settings)
    conversation.associate()
    return conversation
