"""The meter's half of an association: whatever it hears, it answers, and lets nobody in who may not."""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cosem_objects import axdr
from cosem_objects.dlms import acse
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms.acse import Aare, Aarq, Rlre, Rlrq
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionResponse,
    ConfirmedServiceError,
    Conformance,
    ExceptionResponse,
    GeneralBlockTransfer,
    GetResponse,
    InitiateRequest,
    InitiateResponse,
    MethodDescriptor,
    Request,
    SetResponse,
)
from cosem_objects.dlms.ciphered import is_ciphered
from cosem_objects.dlms.client import ClientAssociation
from cosem_objects.dlms.client import State as ClientState
from cosem_objects.dlms.conformance import SERVER_OFFERED
from cosem_objects.dlms.hls import answer_challenge
from cosem_objects.dlms.security import (
    COUNTER_MAX,
    Cipher,
    InvocationCounters,
    SecurityLayer,
)
from cosem_objects.dlms.server import ServerAssociation, State
from cosem_objects.dlms.settings import Ciphering, Protection, SecuritySettings
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError, SettingError
from cosem_objects.obis import ObisCode
from tests.cosem_objects.conversation import (
    ACTION,
    ANSWERS,
    CIPHERED_ONLY,
    CLEAR,
    CLIENT_TITLE,
    CTOS,
    DEDICATED,
    GENERAL,
    GENERAL_DEDICATED,
    GET,
    HLS_IN_CLEAR,
    LLS,
    MATRIX,
    METER_TITLE,
    OTHER_KEY,
    OTHER_TITLE,
    PASSWORD,
    SECURE,
    SET,
    STOC,
    WITHOUT_BLOCKS,
    Conversation,
    associated,
    cipher,
)
from tests.cosem_objects.strategies import acse_apdus, apdus, damaged

NOT_ASSOCIATED = ExceptionResponse(1, 1)
NOT_SUPPORTED = ExceptionResponse(2, 2)
NOT_UNDERSTOOD = ExceptionResponse(2, 3)
NOT_DECIPHERED = ExceptionResponse(1, 5)

CONFORMANCE = Conformance.GET | Conformance.SET | Conformance.ACTION
INITIATE = InitiateRequest(CONFORMANCE, 0)


def meter_of(security: SecuritySettings, counters: InvocationCounters | None = None) -> ServerAssociation:
    return ServerAssociation(security, counters or InvocationCounters(), lambda: STOC)


def aare_for(meter: ServerAssociation, aarq: Aarq) -> Aare:
    answer = meter.receive(aarq.encode())
    assert isinstance(answer, bytes)
    aare = acse.decode(answer)
    assert isinstance(aare, Aare)
    return aare


def sealed_initiate(security: SecuritySettings = SECURE, initiate: InitiateRequest = INITIATE) -> bytes:
    return SecurityLayer(security, cipher(), InvocationCounters(), CLIENT_TITLE, METER_TITLE).protect(initiate.encode())


# Who gets in.


@pytest.mark.parametrize(
    ("security", "aarq", "diagnostic"),
    [
        (CLEAR, Aarq(3, INITIATE.encode()), 2),
        (CLEAR, Aarq(2, INITIATE.encode()), 2),
        (CLEAR, Aarq(99, INITIATE.encode()), 2),
        (SECURE, Aarq(1, INITIATE.encode(), CLIENT_TITLE, 5, CTOS), 2),
        (CLEAR, Aarq(1, INITIATE.encode(), None, 1, PASSWORD), 11),
        (LLS, Aarq(1, INITIATE.encode()), 12),
        (LLS, Aarq(1, INITIATE.encode(), None, 0, PASSWORD), 12),
        (LLS, Aarq(1, INITIATE.encode(), None, 5, PASSWORD), 11),
        (LLS, Aarq(1, INITIATE.encode(), None, 99, PASSWORD), 11),
        (LLS, Aarq(1, INITIATE.encode(), None, 1, b"87654321"), 13),
        (LLS, Aarq(1, INITIATE.encode(), None, 1, PASSWORD[:-1]), 13),
        (LLS, Aarq(1, INITIATE.encode(), None, 1, PASSWORD + b"\0"), 13),
        (LLS, Aarq(1, INITIATE.encode(), None, 1, b""), 13),
        (LLS, Aarq(1, INITIATE.encode(), None, 1, None), 13),
        (HLS_IN_CLEAR, Aarq(1, INITIATE.encode(), None, 5, CTOS), 3),
        (HLS_IN_CLEAR, Aarq(1, INITIATE.encode(), OTHER_TITLE, 5, CTOS), 3),
        (HLS_IN_CLEAR, Aarq(1, INITIATE.encode(), CLIENT_TITLE[:-1], 5, CTOS), 3),
        (replace(HLS_IN_CLEAR, client_system_title=b""), Aarq(1, INITIATE.encode(), b"MMM", 5, CTOS), 3),
        (replace(HLS_IN_CLEAR, client_system_title=b""), Aarq(1, INITIATE.encode(), bytes(1000), 5, CTOS), 3),
        # Under the meter's own title both sides would seal under the same nonces.
        (replace(HLS_IN_CLEAR, client_system_title=b""), Aarq(1, INITIATE.encode(), METER_TITLE, 5, CTOS), 3),
        (HLS_IN_CLEAR, Aarq(1, INITIATE.encode(), CLIENT_TITLE, 5, None), 13),
        (HLS_IN_CLEAR, Aarq(1, INITIATE.encode(), CLIENT_TITLE, 5, b""), 13),
        (HLS_IN_CLEAR, Aarq(1, INITIATE.encode(), CLIENT_TITLE, 5, bytes(7)), 13),
        (HLS_IN_CLEAR, Aarq(1, INITIATE.encode(), CLIENT_TITLE, 5, bytes(65)), 13),
        (SECURE, Aarq(3, INITIATE.encode(), CLIENT_TITLE, 5, CTOS), 13),
        (SECURE, Aarq(3, sealed_initiate()[:-1] + b"\0", CLIENT_TITLE, 5, CTOS), 13),
        (SECURE, Aarq(3, b"\x21\x00", CLIENT_TITLE, 5, CTOS), 13),
        (SECURE, Aarq(3, b"\x41\x00", CLIENT_TITLE, 5, CTOS), 13),
        (SECURE, Aarq(3, b"\x41\x15\x30" + bytes(20), CLIENT_TITLE, 5, CTOS), 13),
        (
            SECURE,
            Aarq(3, sealed_initiate(replace(SECURE, protection=Protection.AUTHENTICATED)), CLIENT_TITLE, 5, CTOS),
            13,
        ),
        (CLEAR, Aarq(1, sealed_initiate()), 13),
    ],
)
def test_who_may_not_associate_is_told_why(security: SecuritySettings, aarq: Aarq, diagnostic: int) -> None:
    counters = InvocationCounters()
    meter = meter_of(security, counters)
    aare = aare_for(meter, aarq)
    assert (aare.result, aare.diagnostic, aare.user_information) == (1, diagnostic, None)
    assert aare.authentication is None
    assert meter.state is State.IDLE
    assert meter.receive(GET.encode()) == NOT_ASSOCIATED.encode()
    assert (counters.next_own, counters.last_received) == (1, -1)


@pytest.mark.parametrize(
    ("initiate", "error"),
    [
        (replace(INITIATE, dlms_version=5), 1),
        (replace(INITIATE, dlms_version=0), 1),
        (replace(INITIATE, conformance=Conformance(0)), 2),
        (replace(INITIATE, conformance=Conformance.READ | Conformance.WRITE), 2),
        (replace(INITIATE, pdu_size_max=1), 3),
        (replace(INITIATE, pdu_size_max=11), 3),
    ],
)
@pytest.mark.parametrize("security", [CLEAR, CIPHERED_ONLY], ids=["clear", "ciphered"])
def test_a_proposal_that_cannot_be_met_is_refused_with_the_reason_inside(
    security: SecuritySettings, initiate: InitiateRequest, error: int
) -> None:
    meter = meter_of(security)
    aarq = Aarq(1, initiate.encode())
    if security is CIPHERED_ONLY:
        aarq = Aarq(3, sealed_initiate(initiate=initiate), CLIENT_TITLE)
    aare = aare_for(meter, aarq)
    assert (aare.result, aare.diagnostic) == (1, 1)
    assert aare.user_information == ConfirmedServiceError(1, 6, error).encode()
    assert meter.state is State.IDLE


@pytest.mark.parametrize("pdu_size_max", [0, 12, 65_535])
def test_a_newer_version_and_any_honest_size_are_accepted(pdu_size_max: int) -> None:
    aare = aare_for(meter_of(CLEAR), Aarq(1, InitiateRequest(CONFORMANCE, pdu_size_max, dlms_version=7).encode()))
    assert (aare.result, aare.diagnostic) == (0, 0)


def test_the_meter_grants_what_both_can_do() -> None:
    meter = ServerAssociation(CLEAR, InvocationCounters(), lambda: STOC, pdu_size_max=500)
    proposed = InitiateRequest(Conformance(0xFFFFFF) & ~Conformance.SET, 1200)
    aare = aare_for(meter, Aarq(1, proposed.encode()))
    assert aare.user_information == InitiateResponse(SERVER_OFFERED & ~Conformance.SET, 500).encode()


@pytest.mark.parametrize("size", [8, 16, 64])
def test_a_challenge_of_8_to_64_octets_is_answered(size: int) -> None:
    conversation = Conversation(HLS_IN_CLEAR, challenge=b"C" * size)
    assert conversation.associate()


@pytest.mark.parametrize("security", [SECURE, HLS_IN_CLEAR, CIPHERED_ONLY], ids=["secure", "hls", "ciphered"])
def test_a_meter_without_a_title_of_its_own_cannot_use_keys(security: SecuritySettings) -> None:
    with pytest.raises(SettingError, match="title"):
        meter_of(replace(security, meter_system_title=b""))


def test_the_refusal_of_a_password_does_not_repeat_it() -> None:
    answer = meter_of(LLS).receive(Aarq(1, INITIATE.encode(), None, 1, b"wrong-password").encode())
    assert isinstance(answer, bytes)
    assert b"wrong-password" not in answer
    assert PASSWORD not in answer


# Before, between and after.


@pytest.mark.parametrize(
    "octets",
    [GET.encode(), SET.encode(), ACTION.encode(), b"\xc8\x00", b"\xdb\x00\x00", b"", b"\xff", b"\x61\x00", b"\x63\x00"],
)
@pytest.mark.parametrize("security", [CLEAR, LLS, SECURE], ids=["clear", "lls", "secure"])
def test_nothing_is_served_without_an_association(security: SecuritySettings, octets: bytes) -> None:
    meter = meter_of(security)
    assert meter.receive(octets) == NOT_ASSOCIATED.encode()
    conversation = associated(security)
    conversation.release()
    assert conversation.meter.receive(octets) == NOT_ASSOCIATED.encode()


@pytest.mark.parametrize(
    "request_",
    [
        GET,
        SET,
        ACTION,
        ActionRequest(MethodDescriptor(15, ObisCode.parse("0-0:40.0.0.255"), 2)),
        ActionRequest(MethodDescriptor(64, ObisCode.parse("0-0:40.0.0.255"), 1)),
    ],
    ids=["get", "set", "action", "other-method", "other-class"],
)
@pytest.mark.parametrize("security", [HLS_IN_CLEAR, SECURE, GENERAL], ids=["hls", "secure", "general"])
def test_nothing_but_the_hls_answer_is_served_before_it_was_given(
    security: SecuritySettings, request_: Request
) -> None:
    conversation = Conversation(security)
    pass_3 = conversation.client.receive(conversation.answer_of_meter(conversation.client.associate()))
    assert isinstance(pass_3, bytes)
    layer = conversation.client._layer
    octets = request_.encode() if layer is None else layer.protect(request_.encode())
    assert conversation.answer_of_meter(octets) == NOT_ASSOCIATED.encode()
    assert conversation.meter.state is State.AUTHENTICATING


@pytest.mark.parametrize(
    "data",
    [None, axdr.NULL, axdr.octet_string(b""), axdr.octet_string(bytes(17)), axdr.visible_string("x" * 17)],
    ids=repr,
)
def test_an_hls_answer_without_an_answer_is_refused_once_and_for_all(data: axdr.Data | None) -> None:
    conversation = Conversation(HLS_IN_CLEAR)
    pass_3 = conversation.client.receive(conversation.answer_of_meter(conversation.client.associate()))
    assert isinstance(pass_3, bytes)
    request = xdlms.decode(pass_3)
    assert isinstance(request, ActionRequest)
    refused = ActionResponse(3, None, request.invoke).encode()
    assert conversation.answer_of_meter(replace(request, data=data).encode()) == refused
    assert conversation.answer_of_meter(pass_3) == NOT_ASSOCIATED.encode()


def test_the_clients_own_challenge_answered_is_no_hls_answer() -> None:
    # Not f(StoC) but f(CtoS), and not under the client's title but the meter's.
    for challenge, title in ((CTOS, CLIENT_TITLE), (STOC, METER_TITLE)):
        conversation = Conversation(HLS_IN_CLEAR)
        pass_3 = conversation.client.receive(conversation.answer_of_meter(conversation.client.associate()))
        assert isinstance(pass_3, bytes)
        request = xdlms.decode(pass_3)
        assert isinstance(request, ActionRequest)
        wrong = axdr.octet_string(answer_challenge(cipher(), title, 1, challenge))
        conversation.answer_of_meter(replace(request, data=wrong).encode())
        assert conversation.meter.state is State.IDLE


def test_the_hls_answer_may_go_to_another_association_object() -> None:
    conversation = Conversation(HLS_IN_CLEAR)
    conversation.client = ClientAssociation(
        HLS_IN_CLEAR, conversation.client_counters, CTOS, association_obis=ObisCode.parse("0-0:40.0.2.255")
    )
    assert conversation.associate()


def test_a_new_aarq_ends_the_old_association() -> None:
    conversation = associated(LLS)
    conversation.to_meter(conversation.client.request(GET))
    again = Aarq(1, INITIATE.encode(), None, 1, b"wrong")
    assert aare_for(conversation.meter, again).result == 1
    assert conversation.meter.receive(GET.encode()) == NOT_ASSOCIATED.encode()
    with pytest.raises(LocalProtocolError):
        conversation.meter.respond(ANSWERS[GET])


def test_a_release_is_answered_even_without_association() -> None:
    assert meter_of(CLEAR).receive(Rlrq().encode()) == Rlre().encode()
    answer = meter_of(SECURE).receive(Rlrq().encode())
    assert isinstance(answer, bytes)
    assert isinstance(acse.decode(answer), Rlre)


def test_what_is_answered_must_have_been_asked() -> None:
    conversation = associated(CLEAR)
    with pytest.raises(LocalProtocolError, match="no request to respond to"):
        conversation.meter.respond(ANSWERS[GET])
    conversation.ask(GET, ANSWERS[GET])
    with pytest.raises(LocalProtocolError, match="no request to respond to"):
        conversation.meter.respond(ANSWERS[GET])


def test_the_answer_carries_the_invoke_id_of_its_request() -> None:
    conversation = associated(CLEAR)
    for invoke in (0x00, 0x4F, 0xC1):
        conversation.meter.receive(replace(GET, invoke=invoke).encode())
        assert conversation.meter.respond(ANSWERS[GET])[2] == invoke


# Services that are not offered.


@pytest.mark.parametrize(
    ("octets", "exception"),
    [
        ("c003c1 01 0008 0000010000ff 02 00", NOT_SUPPORTED),  # GET with list
        ("c002c1 00000001", NOT_SUPPORTED),  # GET next
        ("c102c1 0008 0000010000ff 02 00 01 00000001 02 1601", NOT_SUPPORTED),  # SET with first block
        ("c103c1 01 00000001 02 1601", NOT_SUPPORTED),  # SET with another block
        ("c104c1 01 0008 0000010000ff 02 00 01 1601", NOT_SUPPORTED),  # SET with list
        ("c105c1 01 0008 0000010000ff 02 00 01 00000001 03 011601", NOT_SUPPORTED),  # SET with list and first block
        ("c302c1 00000001", NOT_SUPPORTED),  # ACTION next
        ("c303c1 01 0073 0000132800ff 01 01 00", NOT_SUPPORTED),  # ACTION with list
        ("c304c1 0073 0000132800ff 01 01 00000001 02 1601", NOT_SUPPORTED),  # ACTION with first block
        ("c305c1 01 0073 0000132800ff 01 01 00000001 02 0100", NOT_SUPPORTED),  # ACTION with list and first block
        ("c306c1 01 00000001 02 1601", NOT_SUPPORTED),  # ACTION with another block
        ("e0810001000003c001c1", NOT_SUPPORTED),  # general block transfer
        ("e601083132333435363738c001c100080000010000ff0200", NOT_SUPPORTED),  # for a meter behind this one
        ("c401c10000", NOT_SUPPORTED),  # a response is nothing that a client sends
        ("0f00000001000000", NOT_UNDERSTOOD),  # a notification with octets too many
        ("0f000000010000", NOT_SUPPORTED),
        ("d80101", NOT_SUPPORTED),
        ("0100000006 5f1f0400 00001d 0000", NOT_SUPPORTED),  # an InitiateRequest outside an AARQ
        ("c001c1 0008 0000010000ff 02", NOT_UNDERSTOOD),
        ("c001c1 0008 0000010000ff 02 00 00", NOT_UNDERSTOOD),
        ("d900", NOT_SUPPORTED),  # ACCESS
        ("0500", NOT_SUPPORTED),  # short names: read
        ("", NOT_UNDERSTOOD),
        ("ff", NOT_SUPPORTED),
    ],
)
def test_a_service_that_was_not_agreed_is_refused_as_such(octets: str, exception: ExceptionResponse) -> None:
    for security in (CLEAR, SECURE, GENERAL):
        conversation = Conversation(security, meter_offered=WITHOUT_BLOCKS)
        conversation.associate()
        plain = bytes.fromhex(octets)
        layer = conversation.client._layer
        if layer is not None and (not plain or plain[0] not in {0xC0, 0xC1, 0xC3, 0xC4, 0x01}):
            continue  # has no ciphered form
        assert conversation.answer_of_meter(plain if layer is None else layer.protect(plain)) == exception.encode()
        assert conversation.meter.state is State.ASSOCIATED


@pytest.mark.parametrize("tag", [0x41, 0x48, 0xD0, 0xD1, 0xD2, 0xD3, 0xD4, 0xD5, 0xD7, 0xDC, 0xDD, 0xDF, 0xE0])
@pytest.mark.parametrize("security", [CLEAR, SECURE, GENERAL], ids=["clear", "secure", "general"])
def test_ciphering_that_is_not_offered_is_refused(security: SecuritySettings, tag: int) -> None:
    conversation = associated(security)
    answer = conversation.answer_of_meter(bytes((tag, 0x15, 0x30)) + bytes(20))
    assert isinstance(xdlms.decode(answer), ExceptionResponse)
    assert conversation.meter.state is State.ASSOCIATED


# Answers that do not fit the client.


@pytest.mark.parametrize(
    ("request_", "response", "instead"),
    [
        (GET, GetResponse(axdr.octet_string(bytes(100))), GetResponse(250)),
        (ACTION, ActionResponse(0, axdr.octet_string(bytes(100))), ActionResponse(0)),
        (ACTION, ActionResponse(12, axdr.octet_string(bytes(100))), ActionResponse(12)),
    ],
)
def test_an_answer_that_does_not_fit_says_so_but_never_hides_what_was_done(
    request_: Request, response: GetResponse | ActionResponse, instead: GetResponse | ActionResponse
) -> None:
    for security in (CLEAR, SECURE, GENERAL):
        conversation = Conversation(security, client_pdu_size_max=100, meter_offered=WITHOUT_BLOCKS)
        conversation.associate()
        assert replace(conversation.ask(request_, response), invoke=0xC1) == instead


def test_an_answer_that_just_fits_is_sent() -> None:
    size = len(GetResponse(axdr.octet_string(bytes(40))).encode())
    for limit, fits in ((size, True), (size - 1, False)):
        conversation = Conversation(CLEAR, client_pdu_size_max=limit, meter_offered=WITHOUT_BLOCKS)
        conversation.associate()
        answer = conversation.ask(GET, GetResponse(axdr.octet_string(bytes(40))))
        assert isinstance(answer, GetResponse)
        assert isinstance(answer.result, axdr.Data) is fits
    conversation = Conversation(CLEAR, client_pdu_size_max=12)
    conversation.associate()
    assert conversation.ask(SET, SetResponse(3)) == SetResponse(3, 0xC1)


# The end of the counters.


def test_the_last_counter_of_a_client_is_taken_and_its_replay_refused() -> None:
    conversation = Conversation(CIPHERED_ONLY, client_counters=InvocationCounters(COUNTER_MAX))
    conversation.associate()
    assert conversation.meter_counters.last_received == COUNTER_MAX
    refused = xdlms.decode(conversation.answer_of_meter(conversation.sent[0]))
    assert isinstance(refused, ExceptionResponse)
    assert (refused.state_error, refused.service_error) == (1, 6)


def test_a_replayed_beginning_leaves_nothing_that_could_use_our_counters_up() -> None:
    conversation = Conversation(SECURE)
    conversation.associate()
    before = conversation.meter_counters.next_own
    conversation.answer_of_meter(conversation.sent[0])
    released = acse.decode(conversation.answer_of_meter(Rlrq().encode()))
    assert released == Rlre()  # in clear, as there is no association
    assert conversation.meter_counters.next_own == before


@pytest.mark.parametrize("left", range(6))
@pytest.mark.parametrize("security", [SECURE, HLS_IN_CLEAR, CIPHERED_ONLY, GENERAL])
def test_a_meter_whose_own_counter_is_used_up_still_answers(security: SecuritySettings, left: int) -> None:
    conversation = Conversation(security, meter_counters=InvocationCounters(COUNTER_MAX + 1 - left))
    with suppress(RemoteProtocolError):  # the client may see that something is wrong; the meter must not stumble
        conversation.associate()
        conversation.ask(GET, ANSWERS[GET])
        conversation.release()
    assert len(conversation.answered) == len(conversation.sent)
    assert conversation.meter_counters.next_own <= COUNTER_MAX + 1


# Whatever comes.

TAGS = [0x60, 0x62, 0x21, 0xC8, 0xCB, 0xDB, 0xD0, 0xD3, 0xDC, 0xC0, 0xC1, 0xC3, 0xE0]
anything = st.one_of(
    st.binary(max_size=60),
    st.builds(bytes.__add__, st.sampled_from(TAGS).map(lambda tag: bytes((tag,))), st.binary(max_size=60)),
    apdus.map(lambda apdu: apdu.encode()),
    acse_apdus.map(lambda apdu: apdu.encode()),
)


PDU_SIZE_MAX = 80
LONG_ACTION = replace(ACTION, data=axdr.octet_string(bytes(range(90))))
"""Takes a few blocks there, and as many back."""
PROVEN = [security for security in MATRIX if security.protection is not Protection.ENCRYPTED]


class MeterUnderFire(RuleBasedStateMachine):
    """An honest client, and somebody who holds no key and may send what he likes, at any time, to one meter.

    He must get nothing from a protected association, must not open one, and must not move a counter. Encryption alone
    is left out: without a tag, whatever somebody sends deciphers to something, and counts.
    """

    @initialize(security=st.sampled_from([CLEAR, LLS, *PROVEN]))
    def install(self, security: SecuritySettings) -> None:
        self.security = security
        self.challenges = itertools.count()
        self.dedicated_keys = (b"dedicated%07d" % number for number in itertools.count())
        self.counters = InvocationCounters()
        self.meter = ServerAssociation(
            security, self.counters, lambda: b"StoC%08d" % next(self.challenges), pdu_size_max=PDU_SIZE_MAX
        )
        self.client_counters = InvocationCounters()
        self.client: ClientAssociation | None = None
        self.said: bytes | None = None
        """By the client, in the middle of blocks; the meter has not heard it yet."""
        self.heard: list[bytes] = [b""]

    @property
    def seals(self) -> bool:
        """Whether each APDU carries a tag."""
        return self.security.ciphering is not Ciphering.NONE

    @property
    def is_idle(self) -> bool:
        """Whether the client may ask."""
        return self.client is not None and self.said is None

    def honest(self, octets: bytes) -> bytes | Request:
        self.heard.append(octets)
        return self.meter.receive(octets)

    def forged(self, octets: bytes) -> None:
        before = self.counters.last_received
        was_open = self.meter.state is State.ASSOCIATED
        reaction = self.meter.receive(octets)
        if reaction is None:
            assert octets[0] == GeneralBlockTransfer.TAG
        elif not isinstance(reaction, bytes):
            assert not self.seals, "a forged request was handed to the objects"
        elif not is_ciphered(reaction):
            assert acse.decode(reaction) if reaction[0] in acse.TAGS else xdlms.decode(reaction)
        if self.seals:
            assert self.counters.last_received == before, "a forged APDU moved a counter"
        if self.seals or self.security.is_high_level:
            assert was_open or self.meter.state is not State.ASSOCIATED, "a forger got in"

    @rule()
    def the_client_associates(self) -> None:
        client = ClientAssociation(
            self.security,
            self.client_counters,
            CTOS,
            pdu_size_max=PDU_SIZE_MAX,
            dedicated_key=next(self.dedicated_keys),
        )
        event = client.receive(self._bytes(self.honest(client.associate())))
        if isinstance(event, bytes):
            client.receive(self._bytes(self.honest(event)))
        assert client.state is ClientState.ASSOCIATED
        assert self.meter.state is State.ASSOCIATED
        self.client, self.said = client, None

    @staticmethod
    def _bytes(reaction: bytes | Request) -> bytes:
        assert isinstance(reaction, bytes)
        return reaction

    @precondition(lambda self: self.is_idle and self.meter.state is State.ASSOCIATED)
    @rule(request=st.sampled_from([GET, SET, ACTION]))
    def the_client_asks(self, request: Request) -> None:
        assert self.client is not None
        reaction = self.honest(self.client.request(request))
        assert not isinstance(reaction, bytes)
        assert replace(reaction, invoke=request.invoke) == request
        assert self.client.receive(self.meter.respond(ANSWERS[request]))

    @precondition(lambda self: self.is_idle and self.meter.state is State.ASSOCIATED)
    @rule()
    def the_client_begins_something_long(self) -> None:
        assert self.client is not None
        self.said = self.client.request(LONG_ACTION)

    @precondition(lambda self: self.said is not None and self.meter.state is State.ASSOCIATED)
    @rule()
    def the_client_goes_on(self) -> None:
        assert self.client is not None
        assert self.said is not None
        reaction = self.honest(self.said)
        if not isinstance(reaction, bytes):
            assert replace(reaction, invoke=LONG_ACTION.invoke) == LONG_ACTION
            reaction = self.meter.respond(ActionResponse(0, LONG_ACTION.data))
        assert len(reaction) <= PDU_SIZE_MAX
        try:
            event = self.client.receive(reaction)
        except RemoteProtocolError:
            assert not self.seals, "somebody without a key ended the transfer"
            self.client = self.said = None
            return
        self.said = event if isinstance(event, bytes) else None
        if isinstance(event, bytes):
            assert len(event) <= PDU_SIZE_MAX
        else:
            is_whole = isinstance(event, ActionResponse) and event.returned == LONG_ACTION.data
            assert is_whole or not self.seals

    @precondition(lambda self: self.client is not None and self.said is None)
    @rule()
    def the_client_leaves(self) -> None:
        assert self.client is not None
        assert isinstance(acse.decode(self._bytes(self.honest(self.client.release()))), Rlre)
        self.client = None

    @precondition(lambda self: self.meter._asked is not None)
    @rule()
    def the_objects_answer(self) -> None:
        assert self.meter.respond(ANSWERS[GET])

    @rule(octets=anything)
    def somebody_sends_anything(self, octets: bytes) -> None:
        self.forged(octets)

    @rule(data=st.data())
    def somebody_repeats_what_he_heard(self, data: st.DataObject) -> None:
        self.forged(data.draw(st.sampled_from(self.heard)))

    @rule(data=st.data())
    def somebody_changes_what_he_heard(self, data: st.DataObject) -> None:
        self.forged(data.draw(damaged(st.sampled_from(self.heard))))

    @rule(
        plain=st.sampled_from([GET.encode(), SET.encode(), ACTION.encode(), INITIATE.encode()]),
        counter=st.integers(0, COUNTER_MAX),
        form=st.sampled_from([SECURE, GENERAL, DEDICATED, GENERAL_DEDICATED]),
        protection=st.sampled_from(Protection),
    )
    def somebody_seals_under_a_key_of_his_own(
        self, plain: bytes, counter: int, form: SecuritySettings, protection: Protection
    ) -> None:
        forger = Cipher(OTHER_KEY, OTHER_KEY)
        security = replace(form, protection=protection)
        layer = SecurityLayer(security, forger, InvocationCounters(counter), CLIENT_TITLE, METER_TITLE)
        layer.add_dedicated_key(OTHER_KEY)
        layer.form = security.ciphering
        self.forged(layer.protect(plain))

    @rule(counter=st.integers(0, COUNTER_MAX), data=st.data())
    def somebody_puts_another_counter_into_what_he_heard(self, counter: int, data: st.DataObject) -> None:
        octets = data.draw(st.sampled_from(self.heard))
        header = bytes((self.security.protection.bits, 0, 0))  # counters stay low among honest people
        before, found, after = octets.rpartition(header)
        if found:
            self.forged(before + header[:1] + counter.to_bytes(4, "big") + after[2:])

    @precondition(lambda self: self.security.is_high_level)
    @rule(data=st.one_of(st.none(), st.binary(min_size=17, max_size=17).map(axdr.octet_string)))
    def somebody_claims_to_answer_the_challenge(self, data: axdr.Data | None) -> None:
        self.forged(Aarq(1, INITIATE.encode(), CLIENT_TITLE, self.security.mechanism, CTOS).encode())
        reply = MethodDescriptor(15, ObisCode.parse("0-0:40.0.0.255"), 1)
        self.forged(ActionRequest(reply, data).encode())
        self.forged(GET.encode())

    @invariant()
    def the_meter_is_in_one_of_its_states(self) -> None:
        assert self.meter.state in State


TestMeterUnderFire = MeterUnderFire.TestCase
TestMeterUnderFire.settings = settings(
    max_examples=100, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@given(st.sampled_from([CLEAR, LLS, *MATRIX]), st.booleans(), st.lists(anything, max_size=4))
def test_no_octets_make_a_meter_stumble(security: SecuritySettings, is_associated: bool, many: list[bytes]) -> None:
    conversation = associated(security) if is_associated else Conversation(security)
    for octets in many:
        reaction = conversation.meter.receive(octets)
        assert reaction is None or isinstance(reaction, bytes | Request)
        assert reaction != b""
        assert reaction is not None or octets[0] == GeneralBlockTransfer.TAG
