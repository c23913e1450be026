"""The client's half of an association: what it may send when, and what it makes of a meter's answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects import axdr
from cosem_objects.dlms import acse
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms.acse import Aare, Aarq, ApplicationContext, Mechanism, Rlre
from cosem_objects.dlms.apdu import (
    ActionRequestNextPblock,
    ActionResponse,
    ConfirmedServiceError,
    Conformance,
    DataNotification,
    EventNotification,
    ExceptionResponse,
    GeneralBlockTransfer,
    GetRequestNext,
    GetResponse,
    InitiateResponse,
    Notification,
    Request,
    Response,
    SetResponse,
)
from cosem_objects.dlms.client import (
    Associated,
    ClientAssociation,
    Released,
    State,
)
from cosem_objects.dlms.refusals import AssociationRefused, ServiceRefused
from cosem_objects.dlms.security import (
    DecipheringError,
    InvocationCounters,
    ReplayedCounterError,
    SecurityLayer,
    WrongSystemTitleError,
)
from cosem_objects.dlms.settings import Ciphering, Protection, SecuritySettings
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError, SettingError
from tests.cosem_objects.conversation import (
    ACTION,
    ANSWERS,
    CIPHERED_ONLY,
    CLEAR,
    CLIENT_TITLE,
    CLOCK,
    CTOS,
    GENERAL,
    GET,
    HLS_IN_CLEAR,
    LLS,
    MATRIX,
    METER_TITLE,
    PASSWORD,
    SECURE,
    SET,
    Conversation,
    associated,
    cipher,
)
from tests.cosem_objects.strategies import apdus, damaged, understood

PUSH = DataNotification(1, b"", axdr.double_long(5))
EVENT = EventNotification(CLOCK, axdr.double_long(5))
AGREED = InitiateResponse(Conformance.GET | Conformance.ACTION, 500)


def _nothing(_: Conversation) -> bytes:
    return b""


def _authenticating(conversation: Conversation) -> bytes:
    event = conversation.client.receive(conversation.answer_of_meter(conversation.client.associate()))
    assert isinstance(event, bytes)
    return event


def _associated(conversation: Conversation) -> bytes:
    conversation.associate()
    return b""


def _waiting(conversation: Conversation) -> bytes:
    conversation.associate()
    return conversation.client.request(GET)


def _releasing(conversation: Conversation) -> bytes:
    conversation.associate()
    return conversation.client.release()


def _ended(conversation: Conversation) -> bytes:
    conversation.associate()
    conversation.release()
    return b""


WAYS: dict[State, Callable[[Conversation], bytes]] = {
    State.IDLE: _nothing,
    State.ASSOCIATING: lambda conversation: conversation.client.associate(),
    State.AUTHENTICATING: _authenticating,
    State.ASSOCIATED: _associated,
    State.WAITING: _waiting,
    State.RELEASING: _releasing,
    State.ENDED: _ended,
}
"""How to get there, and what the client has sent last that is not answered yet."""


def in_state(state: State, settings: SecuritySettings = SECURE) -> Conversation:
    """A conversation whose client is in this state."""
    conversation = Conversation(settings)
    WAYS[state](conversation)
    assert conversation.client.state is state
    return conversation


def states(*left_out: State) -> pytest.MarkDecorator:
    """The test runs in every state but these."""
    return pytest.mark.parametrize(
        "state", [state for state in State if state not in left_out], ids=lambda state: state.name
    )


# What may be sent when.


@states(State.IDLE)
def test_an_association_is_opened_once(state: State) -> None:
    conversation = in_state(state)
    with pytest.raises(LocalProtocolError, match=f"not allowed while {state.name.lower()}"):
        conversation.client.associate()


@states(State.ASSOCIATED)
def test_requests_and_the_release_need_an_association_that_stands(state: State) -> None:
    conversation = in_state(state)
    before = conversation.client_counters.next_own
    for request in (GET, SET, ACTION):
        with pytest.raises(LocalProtocolError, match="only when associated"):
            conversation.client.request(request)
    with pytest.raises(LocalProtocolError, match="only when associated"):
        conversation.client.release()
    assert conversation.client.state is state
    assert conversation.client_counters.next_own == before


@states(State.ASSOCIATING, State.AUTHENTICATING, State.WAITING, State.RELEASING)
def test_what_nobody_asked_for_is_the_meters_fault(state: State) -> None:
    for octets in (GetResponse(axdr.NULL).encode(), Rlre().encode(), b"", b"\xff"):
        conversation = in_state(state)
        with pytest.raises(RemoteProtocolError, match="nothing asked for"):
            conversation.client.receive(octets)
        assert conversation.client.state is state


@pytest.mark.parametrize("settings", [SECURE, HLS_IN_CLEAR, CIPHERED_ONLY])
def test_a_client_without_a_title_of_its_own_cannot_use_keys(settings: SecuritySettings) -> None:
    with pytest.raises((SettingError, LocalProtocolError), match="title"):
        ClientAssociation(replace(settings, client_system_title=b""), InvocationCounters(), CTOS).associate()


def test_a_used_up_counter_ends_what_can_be_sent() -> None:
    conversation = Conversation(SECURE, client_counters=InvocationCounters(1 << 32))
    with pytest.raises(LocalProtocolError, match="used up"):
        conversation.client.associate()


# The meter says no.


@pytest.mark.parametrize(
    ("diagnostic", "words", "advice"),
    [
        (0, "null (0)", ""),
        (1, "no-reason-given (1)", "check client SAP, security and keys"),
        (2, "application-context-name-not-supported (2)", "the meter wants ciphering, or none"),
        (3, "calling-ap-title-not-recognized (3)", "check the client's own system title"),
        (4, "calling-ap-invocation-identifier-not-recognized (4)", ""),
        (11, "authentication-mechanism-name-not-recognised (11)", "another security mechanism"),
        (12, "authentication-mechanism-name-required (12)", "lls, hls-gmac or hls-sha256"),
        (13, "authentication-failure (13)", "check password or keys, protection, and the system titles"),
        (14, "authentication-required (14)", "high level security"),
        (99, "unknown (99)", ""),
    ],
)
@pytest.mark.parametrize("settings", [CLEAR, SECURE], ids=["clear", "secure"])
def test_a_refusal_says_what_the_meter_said_and_what_to_do(
    settings: SecuritySettings, diagnostic: int, words: str, advice: str
) -> None:
    conversation = in_state(State.ASSOCIATING, settings)
    with pytest.raises(AssociationRefused) as caught:
        conversation.client.receive(Aare(1, 1, diagnostic).encode())
    assert f"refused the association: {words}" in str(caught.value)
    assert advice in str(caught.value)
    assert str(caught.value).count(";") == (1 if advice else 0)
    assert (caught.value.diagnostic, caught.value.transient) == (diagnostic, False)
    assert conversation.client.state is State.ENDED


def test_a_transient_refusal_and_one_of_the_provider_are_told_apart() -> None:
    conversation = in_state(State.ASSOCIATING)
    with pytest.raises(AssociationRefused, match=r"no-common-acse-version \(2\)") as caught:
        conversation.client.receive(Aare(1, 2, 2, provider_diagnostic=True).encode())
    assert (caught.value.diagnostic, caught.value.transient) == (None, True)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1, "initiate error: DLMS version too low"),
        (2, "initiate error: incompatible conformance"),
        (3, "initiate error: PDU size too short"),
        (4, "initiate error: refused by the VDE handler"),
        (9, "initiate error: value 9"),
    ],
)
def test_a_refusal_passes_on_the_reason_inside(value: int, words: str) -> None:
    conversation = in_state(State.ASSOCIATING, CLEAR)
    inside = ConfirmedServiceError(1, 6, value).encode()
    with pytest.raises(AssociationRefused, match=words):
        conversation.client.receive(Aare(1, 1, 1, inside).encode())


CIPHERED_REASON = SecurityLayer(SECURE, cipher(), InvocationCounters(), METER_TITLE, CLIENT_TITLE).protect(
    ConfirmedServiceError(1, 6, 2).encode()
)


@pytest.mark.parametrize("meter_title", [METER_TITLE, b""], ids=["title-known", "title-not-known"])
@pytest.mark.parametrize("responding_title", [METER_TITLE, None], ids=["title-said", "title-not-said"])
def test_the_reason_in_clear_is_heard_where_ciphering_was_asked(
    meter_title: bytes, responding_title: bytes | None
) -> None:
    # Whoever refuses an association may not have the keys for more.
    conversation = in_state(State.ASSOCIATING, replace(SECURE, meter_system_title=meter_title))
    aare = Aare(3, 1, 1, ConfirmedServiceError(1, 6, 3).encode(), responding_ap_title=responding_title)
    with pytest.raises(AssociationRefused, match="initiate error: PDU size too short"):
        conversation.client.receive(aare.encode())


@pytest.mark.parametrize("meter_title", [METER_TITLE, b""], ids=["title-known", "title-not-known"])
@pytest.mark.parametrize("responding_title", [METER_TITLE, None], ids=["title-said", "title-not-said"])
@pytest.mark.parametrize(
    "inside",
    [
        b"",
        b"\xff",
        b"\x2e\x00",
        b"\x2e\x15\x30" + bytes(20),
        b"\x28\x15\x30" + bytes(20),
        b"\xdb\x00\x15\x30" + bytes(20),
        b"\xdb\x08" + METER_TITLE + b"\x15\x30" + bytes(20),
        b"\x0e",
        AGREED.encode(),
        CIPHERED_REASON,
    ],
    ids=["empty", "no-apdu", "cut", "error", "initiate", "general", "titled", "cut-error", "in-clear", "right"],
)
def test_a_refusal_stays_a_refusal_whatever_is_inside(
    meter_title: bytes, responding_title: bytes | None, inside: bytes
) -> None:
    conversation = in_state(State.ASSOCIATING, replace(SECURE, meter_system_title=meter_title))
    aare = Aare(3, 1, 13, inside, responding_ap_title=responding_title)
    with pytest.raises(AssociationRefused, match="authentication-failure") as caught:
        conversation.client.receive(aare.encode())
    if inside == CIPHERED_REASON and (meter_title or responding_title):
        assert "initiate error: incompatible conformance" in str(caught.value)
    else:
        assert conversation.client_counters.last_received == -1


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (ExceptionResponse(1, 5), r"deciphering-error \(5\): check the keys"),
        (ExceptionResponse(1, 6, 7), r"counter-error \(6\), expected counter 7: our invocation counter is behind"),
        (ExceptionResponse(1, 1), r"operation-not-possible \(1\): not associated"),
        (ExceptionResponse(2, 2), r"service-unknown \(2\), service-not-supported \(2\)$"),
        (ConfirmedServiceError(1, 6, 1), "initiate error: DLMS version too low"),
    ],
)
@states(State.IDLE, State.ASSOCIATED, State.ENDED)
def test_a_refused_service_is_told_in_clear_at_any_time_and_ends_the_association(
    state: State, refusal: ExceptionResponse | ConfirmedServiceError, words: str
) -> None:
    conversation = in_state(state)
    before = conversation.client_counters.next_own, conversation.client_counters.last_received
    with pytest.raises(ServiceRefused, match=words) as caught:
        conversation.client.receive(refusal.encode())
    assert caught.value.response == refusal
    assert caught.value.expected_counter == getattr(refusal, "invocation_counter", None)
    assert conversation.client.state is State.ENDED
    assert (conversation.client_counters.next_own, conversation.client_counters.last_received) == before


def test_a_service_error_inside_an_accepting_aare_is_a_refusal() -> None:
    conversation = in_state(State.ASSOCIATING, CLEAR)
    with pytest.raises(ServiceRefused):
        conversation.client.receive(Aare(1, 0, 0, ConfirmedServiceError(1, 6, 1).encode()).encode())
    assert conversation.client.state is not State.ASSOCIATED


# An AARE that says yes, but not to what was asked.


@pytest.mark.parametrize(
    ("settings", "aare", "message"),
    [
        (CLEAR, Aare(3, 0, 0, AGREED.encode()), "application context 3, not 1"),
        (SECURE, Aare(1, 0, 14, AGREED.encode(), False, METER_TITLE, 5, b"P6wRJ21F"), "application context 1, not 3"),
        (CLEAR, Aare(1, 0, 0), "an empty APDU"),
        (CLEAR, Aare(1, 0, 0, GetResponse(axdr.NULL).encode()), "an InitiateResponse was expected"),
        (CLEAR, Aare(1, 0, 0, b"\xff"), "unknown tag FF"),
        (CLEAR, Aare(1, 0, 0, CIPHERED_REASON), "without ciphering"),
        (LLS, Aare(2, 0, 0, AGREED.encode()), "application context 2, not 1"),
        (SECURE, Aare(3, 0, 14, CIPHERED_REASON, False, b"MMM", 5, b"P6wRJ21F"), "no system title of 8 octets"),
        (
            replace(SECURE, meter_system_title=b""),
            Aare(3, 0, 14, CIPHERED_REASON, False, None, 5, b"P6wRJ21F"),
            "no system title of 8 octets",
        ),
        (CIPHERED_ONLY, Aare(3, 0, 0, AGREED.encode(), False, METER_TITLE), "in clear"),
    ],
)
def test_a_yes_to_something_else_is_no_association(settings: SecuritySettings, aare: Aare, message: str) -> None:
    conversation = in_state(State.ASSOCIATING, settings)
    with pytest.raises(RemoteProtocolError, match=message):
        conversation.client.receive(aare.encode())
    assert conversation.client.state is not State.ASSOCIATED


@pytest.mark.parametrize("settings", [SECURE, HLS_IN_CLEAR, CIPHERED_ONLY], ids=["secure", "hls", "ciphered"])
def test_a_meter_that_calls_itself_by_our_own_title_is_not_believed(settings: SecuritySettings) -> None:
    # Both sides would then seal under the same nonces, and our own answers could be passed off as the meter's.
    conversation = Conversation(replace(settings, meter_system_title=b""))
    aare = acse.decode(conversation.answer_of_meter(conversation.client.associate()))
    assert isinstance(aare, Aare)
    with pytest.raises(WrongSystemTitleError):
        conversation.client.receive(replace(aare, responding_ap_title=CLIENT_TITLE).encode())
    assert conversation.client.state is not State.ASSOCIATED


# Answers that do not belong to the question.


@pytest.mark.parametrize("settings", [CLEAR, SECURE, GENERAL], ids=["clear", "secure", "general"])
@pytest.mark.parametrize("difference", range(1, 16))
def test_an_answer_to_another_question_is_not_ours(settings: SecuritySettings, difference: int) -> None:
    conversation = associated(settings)
    asked = conversation.to_meter(conversation.client.request(GET))
    assert not isinstance(asked, bytes)
    right, other = asked.invoke & 15, asked.invoke & 15 ^ difference
    conversation.meter._asked = replace(asked, invoke=other)
    with pytest.raises(RemoteProtocolError, match=f"an answer to invoke-id {other}; {right} was asked"):
        conversation.client.receive(conversation.respond(ANSWERS[GET]))
    assert conversation.client.state is State.WAITING


@pytest.mark.parametrize("settings", [CLEAR, SECURE, GENERAL], ids=["clear", "secure", "general"])
def test_a_refused_read_is_taken_under_any_invoke_id_but_nothing_else_is(settings: SecuritySettings) -> None:
    # Gurux' servers refuse a GET under invoke-id 1, whatever was asked.
    refusals: dict[Request, Response] = {GET: GetResponse(3), SET: SetResponse(3), ACTION: ActionResponse(3)}
    for request, refusal in refusals.items():
        conversation = associated(settings)
        asked = conversation.to_meter(conversation.client.request(request))
        assert not isinstance(asked, bytes)
        conversation.meter._asked = replace(asked, invoke=asked.invoke ^ 7)
        answer = conversation.respond(refusal)
        if request is GET:
            assert conversation.client.receive(answer) == replace(refusal, invoke=asked.invoke ^ 7)
        else:
            with pytest.raises(RemoteProtocolError, match="was asked"):
                conversation.client.receive(answer)


@pytest.mark.parametrize("priority", [0x00, 0x40, 0x80, 0xC0])
def test_the_priority_of_an_answer_does_not_matter(priority: int) -> None:
    conversation = associated(CLEAR)
    conversation.client.request(GET)
    assert conversation.client.receive(GetResponse(axdr.NULL, priority | 1).encode())
    assert conversation.client.state is State.ASSOCIATED


@pytest.mark.parametrize("request_", [GET, SET, ACTION], ids=["get", "set", "action"])
@pytest.mark.parametrize(
    "answer",
    [
        GetResponse(axdr.NULL),
        SetResponse(0),
        ActionResponse(0),
        GET,
        ACTION,
        xdlms.InitiateRequest(Conformance.GET, 0),
        AGREED,
    ],
    ids=lambda answer: type(answer).__name__,
)
def test_an_answer_of_another_kind_is_refused(request_: Request, answer: xdlms.Apdu) -> None:
    conversation = associated(CLEAR)
    conversation.client.request(request_)
    if type(answer) is type(ANSWERS[request_]):
        assert conversation.client.receive(answer.encode()) == answer
        return
    with pytest.raises(RemoteProtocolError, match=f"a {type(answer).__name__} where another answer was expected"):
        conversation.client.receive(answer.encode())
    assert conversation.client.state is State.WAITING


def test_a_late_answer_to_an_earlier_question_is_not_taken_for_the_next() -> None:
    conversation = associated(SECURE)
    conversation.to_meter(conversation.client.request(GET))
    late = conversation.respond(GetResponse(axdr.double_long(1)))
    with pytest.raises(RemoteProtocolError):
        conversation.client.receive(late[:-1])  # the first try ends in doubt; the client stays where it was
    assert conversation.client.receive(late)
    conversation.client.request(GET)
    with pytest.raises(ReplayedCounterError):
        conversation.client.receive(late)


@pytest.mark.parametrize(
    ("asked", "octets", "message"),
    [
        (GET, "c403c1 01 00 1103", "a GetResponseWithList where another answer was expected"),
        (GET, "c404c1 01 00 1103", r"get-response: choice 4, expected normal \(1\), with-datablock \(2\), with-list"),
        (GET, "c402c1 01 00000001 02 00", r"block choice 2, expected octets \(0\) or an error \(1\)"),
        (SET, "c502c1 00000001", "block 1 was confirmed, 0 was sent"),
        (SET, "c505c1 01 00", "a SetResponseWithList where another answer was expected"),
        (SET, "c504c1 01 00 00000001", "a SetResponseLastDataBlockWithList where another answer was expected"),
        (SET, "c506c1 00", r"set-response: choice 6, expected 1 \(normal\) to 5"),
        (ACTION, "c704c1 00000001", "block 1 was confirmed, 0 was sent"),
        (ACTION, "c703c1 01 0000", "a ActionResponseWithList where another answer was expected"),
        (ACTION, "c705c1 00", r"action-response: choice 5, expected 1 \(normal\) to 4"),
    ],
)
def test_blocks_and_lists_that_do_not_answer_the_question_are_named(asked: Request, octets: str, message: str) -> None:
    conversation = associated(CLEAR)
    conversation.client.request(asked)
    with pytest.raises(RemoteProtocolError, match=message):
        conversation.client.receive(bytes.fromhex(octets))
    assert conversation.client.state is State.WAITING


# Notifications.


@pytest.mark.parametrize("notification", [PUSH, EVENT], ids=["data", "event"])
@pytest.mark.parametrize("settings", [CLEAR, SECURE, GENERAL], ids=["clear", "secure", "general"])
@states(State.IDLE, State.ASSOCIATED, State.ENDED)
def test_a_notification_in_between_is_reported_and_changes_nothing(
    state: State, settings: SecuritySettings, notification: Notification
) -> None:
    settings = settings if state is not State.AUTHENTICATING or settings is not CLEAR else HLS_IN_CLEAR
    conversation = in_state(state, settings)
    before = conversation.client_counters.next_own, conversation.client_counters.last_received
    assert conversation.client.receive(notification.encode()) == notification
    assert conversation.client.state is state
    assert (conversation.client_counters.next_own, conversation.client_counters.last_received) == before


@pytest.mark.parametrize("settings", [SECURE, GENERAL], ids=["secure", "general"])
def test_a_ciphered_notification_in_between_is_opened_and_counted(settings: SecuritySettings) -> None:
    conversation = associated(settings)
    request = conversation.client.request(GET)
    layer = SecurityLayer(GENERAL, cipher(), conversation.meter_counters, METER_TITLE, CLIENT_TITLE)
    before = conversation.client_counters.last_received
    pushed = layer.protect(PUSH.encode())
    assert conversation.client.receive(pushed) == PUSH
    assert conversation.client_counters.last_received == before + 1
    with pytest.raises(ReplayedCounterError):
        conversation.client.receive(pushed)
    with pytest.raises(DecipheringError):
        conversation.client.receive(layer.protect(PUSH.encode())[:-1] + b"\0")
    conversation.to_meter(request)
    assert conversation.client.receive(conversation.respond(ANSWERS[GET]))


@pytest.mark.parametrize("settings", [CLEAR, SECURE, GENERAL], ids=["clear", "secure", "general"])
@pytest.mark.parametrize("notification", [PUSH, EVENT], ids=["data", "event"])
def test_a_ciphered_notification_before_the_aare_is_passed_over(
    settings: SecuritySettings, notification: Notification
) -> None:
    """A meter that called in has often something to say of its own when we associate with it."""
    conversation = Conversation(settings)
    asked = conversation.client.associate()
    layer = SecurityLayer(SECURE, cipher(), conversation.meter_counters, METER_TITLE, CLIENT_TITLE)
    before = conversation.client_counters.last_received
    assert conversation.client.receive(layer.protect(notification.encode())) is None
    assert conversation.client.state is State.ASSOCIATING
    assert conversation.client_counters.last_received == before
    assert conversation.client.receive(conversation.answer_of_meter(asked))


def test_after_a_notification_the_answer_is_still_awaited() -> None:
    for settings in (CLEAR, SECURE):
        conversation = associated(settings)
        conversation.to_meter(conversation.client.request(GET))
        for _ in range(3):
            assert conversation.client.receive(PUSH.encode()) == PUSH
        event = conversation.client.receive(conversation.respond(ANSWERS[GET]))
        assert isinstance(event, GetResponse)
        assert conversation.client.state is State.ASSOCIATED


# Release.


@pytest.mark.parametrize("octets", [b"\x63\x00", b"\x63\x03\x80\x01\x00", b"\x63\x03\x80\x01\x01"])
def test_any_release_response_ends_it(octets: bytes) -> None:
    conversation = in_state(State.RELEASING)
    assert conversation.client.receive(octets) == Released()
    assert conversation.client.state is State.ENDED


@pytest.mark.parametrize("octets", [b"\x63", b"\x63\x05\x80", b"\x62\x00", b"\xff"])
def test_a_broken_release_response_is_refused(octets: bytes) -> None:
    conversation = in_state(State.RELEASING, CLEAR)
    with pytest.raises(RemoteProtocolError):
        conversation.client.receive(octets)


def test_an_answer_that_comes_after_the_release_was_asked_is_refused() -> None:
    conversation = in_state(State.RELEASING, CLEAR)
    with pytest.raises(RemoteProtocolError, match="where another answer was expected"):
        conversation.client.receive(GetResponse(axdr.NULL).encode())


# The AARQ.


def test_the_client_offers_what_it_can_do_and_no_more() -> None:
    for settings, general in ((CLEAR, False), (SECURE, False), (GENERAL, True)):
        conversation = Conversation(settings)
        conversation.associate()
        offered = conversation.client._associated
        assert offered is not None
        assert (Conformance.GENERAL_PROTECTION in offered.conformance) is general


@pytest.mark.parametrize("settings", MATRIX)
def test_the_aarq_says_how_the_association_is_to_be_secured(settings: SecuritySettings) -> None:
    aarq = acse.decode(Conversation(settings).client.associate())
    assert isinstance(aarq, Aarq)
    is_ciphered = settings.ciphering is not Ciphering.NONE
    context = ApplicationContext.LOGICAL_NAME_CIPHERED if is_ciphered else ApplicationContext.LOGICAL_NAME
    assert aarq.context == context
    assert aarq.user_information[0] == (0x21 if is_ciphered else 0x01)
    assert aarq.mechanism == settings.mechanism
    assert aarq.calling_ap_title == (CLIENT_TITLE if settings.needs_titles else None)
    authentication = {
        Mechanism.NONE: None,
        Mechanism.LLS: PASSWORD,
        Mechanism.HLS_GMAC: CTOS,
        Mechanism.HLS_SHA256: CTOS,
    }
    assert aarq.authentication == authentication[settings.mechanism]


# Whatever comes.

reachable = st.sampled_from(
    [
        (state, settings)
        for settings in (CLEAR, LLS, *MATRIX, replace(SECURE, meter_system_title=b""))
        for state in State
        if state is not State.AUTHENTICATING or settings.is_high_level
    ]
)


@given(reachable, st.lists(st.binary(max_size=60) | apdus.map(lambda apdu: apdu.encode()), min_size=1, max_size=4))
def test_no_octets_in_any_state_raise_anything_but_a_remote_error(
    start: tuple[State, SecuritySettings], many: list[bytes]
) -> None:
    state, settings = start
    conversation = in_state(state, settings)
    before = conversation.client_counters.last_received
    for octets in many:
        event = understood(conversation.client.receive, octets)
        assert event is None or isinstance(event, bytes | Notification | Response | Released | Associated)
        if isinstance(event, bytes):  # a question for more blocks, which is all that anybody can make it say
            is_general = octets[0] == GeneralBlockTransfer.TAG == event[0]
            assert is_general or isinstance(xdlms.decode(event), GetRequestNext | ActionRequestNextPblock)
        if settings.ciphering is not Ciphering.NONE and settings.protection is not Protection.ENCRYPTED:
            assert not isinstance(event, Response | Associated)
            assert conversation.client_counters.last_received == before


@given(reachable, st.data())
def test_damaged_answers_in_any_state_raise_nothing_but_a_remote_error(
    start: tuple[State, SecuritySettings], data: st.DataObject
) -> None:
    state, settings = start
    conversation = Conversation(settings)
    sent = WAYS[state](conversation)
    answer = conversation.meter.receive(sent)
    octets = answer if isinstance(answer, bytes) else conversation.respond(ANSWERS[GET])
    event = understood(conversation.client.receive, data.draw(damaged(st.just(octets))))
    if isinstance(event, Response) and settings.ciphering is not Ciphering.NONE:
        # Only a longer form of a length, or an empty title, can leave a sealed answer what it was.
        assert settings.protection is Protection.ENCRYPTED or replace(event, invoke=0xC1) == ANSWERS[GET]
