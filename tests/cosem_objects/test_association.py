"""A client against a meter: every way of securing an association, and all that an attacker between them may try."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cosem_objects import axdr
from cosem_objects.dlms import acse
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms.acse import Aare, Aarq, Mechanism, Rlrq
from cosem_objects.dlms.apdu import ActionResponse, Conformance, ExceptionResponse, GetResponse
from cosem_objects.dlms.client import State as ClientState
from cosem_objects.dlms.hls import answer_challenge
from cosem_objects.dlms.refusals import AssociationRefused, ServiceRefused
from cosem_objects.dlms.security import (
    Cipher,
    DecipheringError,
    ReplayedCounterError,
    WrongSystemTitleError,
)
from cosem_objects.dlms.server import State as MeterState
from cosem_objects.dlms.settings import Ciphering, Protection, SecuritySettings
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from tests.cosem_objects.conversation import (
    ACTION,
    AK,
    ANSWERS,
    CIPHERED_ONLY,
    CLEAR,
    CLIENT_TITLE,
    CTOS,
    EK,
    GENERAL,
    GET,
    HLS_IN_CLEAR,
    LLS,
    MATRIX,
    METER_TITLE,
    OTHER_KEY,
    OTHER_TITLE,
    PASSWORD,
    SECURE,
    SHA256_IN_CLEAR,
    STOC,
    TOKEN_DIGITS,
    WITHOUT_BLOCKS,
    Conversation,
    associated,
    cipher,
)


def shown(settings: SecuritySettings) -> str:
    return f"{settings.mechanism.name}-{settings.ciphering.value}-{settings.protection.value}"


every_security = pytest.mark.parametrize("settings", MATRIX, ids=shown)
every_ciphering = pytest.mark.parametrize(
    "settings", [settings for settings in MATRIX if settings.ciphering is not Ciphering.NONE], ids=shown
)
proven = pytest.mark.parametrize(
    "settings",
    [
        settings
        for settings in MATRIX
        if settings.ciphering is not Ciphering.NONE and settings.protection is not Protection.ENCRYPTED
    ],
    ids=shown,
)
"""Associations in which each APDU carries a tag."""


# What works.


@every_security
def test_an_association_opens_serves_and_ends(settings: SecuritySettings) -> None:
    conversation = Conversation(settings)
    result = conversation.associate()
    assert Conformance.GET | Conformance.SET | Conformance.ACTION in result.conformance
    assert result.meter_system_title == METER_TITLE
    for _ in range(2):
        for request, response in ANSWERS.items():
            assert replace(conversation.ask(request, response), invoke=response.invoke) == response
    conversation.release()
    assert (conversation.client.state, conversation.meter.state) == (ClientState.ENDED, MeterState.IDLE)


@every_security
def test_the_wire_shows_no_more_than_was_agreed(settings: SecuritySettings) -> None:
    conversation = associated(settings)
    conversation.ask(ACTION, ActionResponse(0, axdr.octet_string(TOKEN_DIGITS)))
    readable = settings.ciphering is Ciphering.NONE or settings.protection is Protection.AUTHENTICATED
    assert (TOKEN_DIGITS in conversation.sent[-1]) == readable
    assert (TOKEN_DIGITS in conversation.answered[-1]) == readable
    tags = {
        Ciphering.NONE: (0xC3, 0xC7),
        Ciphering.SERVICE_GLO: (0xCB, 0xCF),
        Ciphering.GENERAL_GLO: (0xDB, 0xDB),
        Ciphering.SERVICE_DED: (0xD3, 0xD7),
        Ciphering.GENERAL_DED: (0xDC, 0xDC),
    }
    assert (conversation.sent[-1][0], conversation.answered[-1][0]) == tags[settings.ciphering]


@every_ciphering
def test_each_protected_apdu_has_a_counter_of_its_own(settings: SecuritySettings) -> None:
    conversation = associated(settings)
    conversation.ask(GET, ANSWERS[GET])
    conversation.release()
    # AARQ, f(StoC) itself and its ACTION, the GET, the RLRQ; the meter likewise.
    used = 3 + {Mechanism.HLS_GMAC: 2, Mechanism.HLS_SHA256: 1}.get(settings.mechanism, 0)
    assert conversation.client_counters.next_own == conversation.meter_counters.next_own == 1 + used


def test_the_next_association_goes_on_with_the_counters() -> None:
    first = associated(SECURE)
    first.release()
    used = first.client_counters.next_own
    second = first.once_more()
    second.associate()
    second.ask(GET, ANSWERS[GET])
    assert second.client_counters.next_own == used + 4


def test_a_meter_whose_title_is_not_known_beforehand_says_it_itself() -> None:
    for settings in MATRIX[2:]:
        conversation = Conversation(replace(settings, meter_system_title=b""))
        assert conversation.associate().meter_system_title == METER_TITLE
        assert conversation.ask(GET, ANSWERS[GET])


def test_a_meter_that_expects_no_certain_client_takes_any_title() -> None:
    stranger, open_to_all = replace(SECURE, client_system_title=OTHER_TITLE), replace(SECURE, client_system_title=b"")
    conversation = Conversation(stranger, open_to_all)
    conversation.associate()
    assert conversation.ask(GET, ANSWERS[GET])


@pytest.mark.parametrize(("mirrors", "tag"), [(True, 0xDB), (False, 0xCC)])
def test_a_meter_answers_in_the_form_in_which_it_was_asked_or_always_in_its_own(mirrors: bool, tag: int) -> None:
    conversation = Conversation(GENERAL, SECURE, mirror_form=mirrors)
    conversation.associate()
    conversation.ask(GET, ANSWERS[GET])
    assert (conversation.sent[-1][0], conversation.answered[-1][0]) == (0xDB, tag)


def test_a_meter_that_wants_less_is_asked_with_more_and_answers_as_well_protected() -> None:
    conversation = Conversation(SECURE, replace(SECURE, protection=Protection.AUTHENTICATED))
    conversation.associate()
    conversation.ask(ACTION, ActionResponse(0, axdr.octet_string(TOKEN_DIGITS)))
    assert TOKEN_DIGITS not in conversation.answered[-1]


def test_the_invoke_id_runs_from_1_to_15_and_begins_again() -> None:
    conversation = associated(CLEAR)
    for _ in range(17):
        conversation.ask(GET, ANSWERS[GET])
    ids = [octets[2] & 0x0F for octets in conversation.sent[1:]]
    assert ids == [*range(1, 16), 1, 2]


# Who does not hold the key, or is somebody else.


@pytest.mark.parametrize("change", [{"ek": OTHER_KEY}, {"ak": OTHER_KEY}], ids=["ek", "ak"])
@pytest.mark.parametrize("settings", [SECURE, GENERAL, CIPHERED_ONLY], ids=shown)
def test_a_client_with_a_wrong_key_is_refused_in_the_aare(settings: SecuritySettings, change: dict[str, Any]) -> None:
    conversation = Conversation(replace(settings, **change), settings)
    with pytest.raises(AssociationRefused, match=r"authentication-failure.*check password or keys") as caught:
        conversation.associate()
    assert caught.value.diagnostic == 13
    assert conversation.meter.state is MeterState.IDLE
    assert conversation.meter_counters.last_received == -1


@pytest.mark.parametrize("change", [{"ek": OTHER_KEY}, {"ak": OTHER_KEY}], ids=["ek", "ak"])
def test_a_client_with_a_wrong_key_is_refused_at_its_hls_answer(change: dict[str, Any]) -> None:
    conversation = Conversation(replace(HLS_IN_CLEAR, **change), HLS_IN_CLEAR)
    with pytest.raises(AssociationRefused, match=r"refused our HLS answer.*check the password or keys, and the"):
        conversation.associate()
    assert conversation.client.state is ClientState.ENDED
    assert conversation.meter.state is MeterState.IDLE


@pytest.mark.parametrize("settings", [LLS, replace(SECURE, mechanism=Mechanism.LLS)], ids=shown)
@pytest.mark.parametrize("password", [b"12345679", b"1234567", b"123456789", b"x"])
def test_a_wrong_password_is_refused(settings: SecuritySettings, password: bytes) -> None:
    conversation = Conversation(replace(settings, password=password), settings)
    with pytest.raises(AssociationRefused, match="authentication-failure") as caught:
        conversation.associate()
    assert PASSWORD.decode() not in str(caught.value)
    assert conversation.meter.state is MeterState.IDLE


@pytest.mark.parametrize("settings", [SECURE, HLS_IN_CLEAR, CIPHERED_ONLY], ids=shown)
def test_a_client_of_another_title_is_refused(settings: SecuritySettings) -> None:
    conversation = Conversation(replace(settings, client_system_title=OTHER_TITLE), settings)
    with pytest.raises(AssociationRefused, match=r"calling-ap-title-not-recognized.*own system title"):
        conversation.associate()


@pytest.mark.parametrize("settings", [SECURE, HLS_IN_CLEAR, CIPHERED_ONLY], ids=shown)
def test_another_meter_than_expected_is_refused_before_anything_is_said_to_it(settings: SecuritySettings) -> None:
    conversation = Conversation(settings, replace(settings, meter_system_title=OTHER_TITLE))
    with pytest.raises(WrongSystemTitleError, match=f"{OTHER_TITLE.hex()}, {METER_TITLE.hex()} was expected"):
        conversation.associate()
    assert len(conversation.sent) == 1


@pytest.mark.parametrize(
    ("settings", "meter", "message"),
    [
        (CLEAR, LLS, "mechanism-name-required.*lls, hls-gmac or hls-sha256"),
        (CLEAR, HLS_IN_CLEAR, "mechanism-name-required"),
        (LLS, CLEAR, "not-recognised.*another security mechanism"),
        (LLS, HLS_IN_CLEAR, "not-recognised"),
        (HLS_IN_CLEAR, LLS, "not-recognised"),
        (CLEAR, SECURE, "application-context-name-not-supported.*ciphering, or none"),
        (HLS_IN_CLEAR, SECURE, "application-context-name-not-supported"),
        (SECURE, HLS_IN_CLEAR, "application-context-name-not-supported"),
        (SECURE, CLEAR, "application-context-name-not-supported"),
        (CIPHERED_ONLY, SECURE, "mechanism-name-required"),
    ],
)
def test_the_meters_refusal_says_what_to_change(
    settings: SecuritySettings, meter: SecuritySettings, message: str
) -> None:
    conversation = Conversation(settings, meter)
    with pytest.raises(AssociationRefused, match=message):
        conversation.associate()
    assert conversation.client.state is ClientState.ENDED


# The four passes of HLS, with somebody in between.


def _with_another_challenge(octets: bytes, challenge: bytes) -> bytes:
    """An AARQ or AARE as the one in between rewrites it."""
    decoded = acse.decode(octets)
    assert isinstance(decoded, Aarq | Aare)
    return replace(decoded, authentication=challenge).encode()


hls = pytest.mark.parametrize("settings", [settings for settings in MATRIX if settings.is_high_level], ids=shown)


@hls
def test_a_changed_ctos_is_found_out(settings: SecuritySettings) -> None:
    # By the client; with SHA-256 by the meter already, since both answers are made of both challenges.
    conversation = Conversation(settings)
    aarq = _with_another_challenge(conversation.client.associate(), b"XtoSXtoS")
    pass_3 = conversation.client.receive(conversation.answer_of_meter(aarq))
    assert isinstance(pass_3, bytes)
    pass_4 = conversation.answer_of_meter(pass_3)
    is_known_to_meter = settings.mechanism is Mechanism.HLS_SHA256
    words = "refused our HLS answer" if is_known_to_meter else "could not answer our HLS challenge"
    with pytest.raises(RemoteProtocolError, match=words):
        conversation.client.receive(pass_4)
    assert conversation.client.state is ClientState.ENDED
    assert (conversation.meter.state is MeterState.IDLE) is is_known_to_meter


@hls
def test_a_changed_stoc_is_found_out_by_the_meter(settings: SecuritySettings) -> None:
    conversation = Conversation(settings)
    aare = _with_another_challenge(conversation.answer_of_meter(conversation.client.associate()), b"XtoCXtoC")
    pass_3 = conversation.client.receive(aare)
    assert isinstance(pass_3, bytes)
    with pytest.raises(AssociationRefused, match="refused our HLS answer"):
        conversation.client.receive(conversation.answer_of_meter(pass_3))
    assert conversation.meter.state is MeterState.IDLE


@hls
def test_our_own_challenge_sent_back_is_not_answered(settings: SecuritySettings) -> None:
    conversation = Conversation(settings, meter_challenge=CTOS)
    aare = conversation.answer_of_meter(conversation.client.associate())
    with pytest.raises(RemoteProtocolError, match="our own challenge back"):
        conversation.client.receive(aare)
    assert len(conversation.sent) == 1


@pytest.mark.parametrize("position", range(17))
def test_every_octet_of_the_clients_answer_counts(position: int) -> None:
    conversation = Conversation(HLS_IN_CLEAR)
    pass_3 = conversation.client.receive(conversation.answer_of_meter(conversation.client.associate()))
    assert isinstance(pass_3, bytes)
    tampered = bytearray(pass_3)
    tampered[len(pass_3) - 17 + position] ^= 1
    refused = xdlms.decode(conversation.answer_of_meter(bytes(tampered)))
    assert isinstance(refused, ActionResponse)
    assert (refused.result, refused.returned) == (3, None)
    assert conversation.meter.state is MeterState.IDLE
    # And the right answer comes too late now.
    assert conversation.answer_of_meter(pass_3) == ExceptionResponse(1, 1).encode()


@pytest.mark.parametrize("position", range(17))
def test_every_octet_of_the_meters_answer_counts(position: int) -> None:
    conversation = Conversation(HLS_IN_CLEAR)
    pass_3 = conversation.client.receive(conversation.answer_of_meter(conversation.client.associate()))
    assert isinstance(pass_3, bytes)
    tampered = bytearray(conversation.answer_of_meter(pass_3))
    tampered[len(tampered) - 17 + position] ^= 1
    with pytest.raises(RemoteProtocolError, match="could not answer our HLS challenge"):
        conversation.client.receive(bytes(tampered))
    assert conversation.client.state is ClientState.ENDED


@pytest.mark.parametrize(
    "returned",
    [
        None,
        0,
        axdr.NULL,
        axdr.octet_string(b""),
        axdr.octet_string(bytes(17)),
        axdr.visible_string("x" * 17),
        axdr.octet_string(answer_challenge(cipher(), METER_TITLE, 1, STOC)),
        axdr.octet_string(answer_challenge(cipher(), CLIENT_TITLE, 1, CTOS)),
        axdr.octet_string(answer_challenge(Cipher(OTHER_KEY, AK), METER_TITLE, 1, CTOS)),
        axdr.octet_string(answer_challenge(Cipher(EK, OTHER_KEY), METER_TITLE, 1, CTOS)),
    ],
    ids=[
        "nothing",
        "an-error",
        "null",
        "empty",
        "zeros",
        "text",
        "of-the-wrong-challenge",
        "of-our-own-title",
        "of-another-ek",
        "of-another-ak",
    ],
)
def test_a_meter_that_says_success_without_the_right_answer_is_not_our_meter(returned: axdr.Data | int | None) -> None:
    conversation = Conversation(HLS_IN_CLEAR)
    conversation.client.receive(conversation.answer_of_meter(conversation.client.associate()))
    with pytest.raises(RemoteProtocolError, match="could not answer our HLS challenge"):
        conversation.client.receive(ActionResponse(0, returned, 0xC1).encode())
    assert conversation.client.state is ClientState.ENDED


@hls
def test_an_acceptance_without_the_hls_that_was_asked_for_is_refused(settings: SecuritySettings) -> None:
    for change in ({"diagnostic": 0}, {"authentication": None}, {"authentication": b""}):
        conversation = Conversation(settings)
        aare = acse.decode(conversation.answer_of_meter(conversation.client.associate()))
        assert isinstance(aare, Aare)
        with pytest.raises(RemoteProtocolError, match="without the high level security"):
            conversation.client.receive(replace(aare, **change).encode())
        assert conversation.client.state is not ClientState.ASSOCIATED


@pytest.mark.parametrize("size", [1, 7, 65, 1000])
def test_a_challenge_of_a_size_outside_the_standard_is_not_answered(size: int) -> None:
    # IEC 62056-5-3: 8 to 64 octets. A short one could be collected beforehand.
    conversation = Conversation(HLS_IN_CLEAR, meter_challenge=bytes(size))
    aare = conversation.answer_of_meter(conversation.client.associate())
    with pytest.raises(RemoteProtocolError):
        conversation.client.receive(aare)


@pytest.mark.parametrize("settings", [HLS_IN_CLEAR, SHA256_IN_CLEAR], ids=["gmac", "sha256"])
@pytest.mark.parametrize("request_", list(ANSWERS), ids=["get", "set", "action"])
def test_a_challenge_that_is_an_apdu_is_not_answered(settings: SecuritySettings, request_: xdlms.Request) -> None:
    # The answer to it would be the tag of a request that we never made, wherever authentication alone is enough.
    challenge = request_.encode()
    conversation = Conversation(settings, meter_challenge=challenge)
    aare = conversation.answer_of_meter(conversation.client.associate())
    with pytest.raises(RemoteProtocolError, match="must not be answered"):
        conversation.client.receive(aare)
    assert len(conversation.sent) == 1
    forger = Conversation(settings, challenge=challenge)
    with pytest.raises(AssociationRefused, match="authentication-failure"):
        forger.associate()


def test_a_stranger_cannot_let_one_association_answer_for_another() -> None:
    # The client opens two associations to one who holds no key. In the second he asks what the first one wants to
    # know, under the client's own title, and passes the answer on.
    unnamed = replace(HLS_IN_CLEAR, meter_system_title=b"")
    first, second = Conversation(unnamed), Conversation(unnamed, challenge=b"CtoS-two")
    first.client.associate()
    second.client.associate()
    aare = Aare(
        context=1,
        result=0,
        diagnostic=14,
        user_information=xdlms.InitiateResponse(Conformance.ACTION, 0).encode(),
        responding_ap_title=CLIENT_TITLE,
        mechanism=Mechanism.HLS_GMAC,
        authentication=STOC,
    )

    def relay() -> None:
        first.client.receive(aare.encode())
        pass_3 = second.client.receive(replace(aare, authentication=CTOS).encode())
        assert isinstance(pass_3, bytes)
        asked = xdlms.decode(pass_3)
        assert isinstance(asked, xdlms.ActionRequest)
        first.client.receive(ActionResponse(0, asked.data, 0xC1).encode())

    with pytest.raises(RemoteProtocolError):
        relay()
    assert first.client.state is not ClientState.ASSOCIATED


# Tampering, replays, forged counters.


@proven
def test_every_octet_of_a_request_counts(settings: SecuritySettings) -> None:
    conversation = associated(settings)
    request = conversation.client.request(ACTION)
    before = conversation.meter_counters.last_received
    for position in range(len(request)):
        tampered = bytearray(request)
        tampered[position] ^= 0x80
        refused = conversation.answer_of_meter(bytes(tampered))
        if position:  # the first octet may turn the request into another kind of APDU
            assert isinstance(xdlms.decode(refused), ExceptionResponse)
        assert conversation.meter_counters.last_received == before
    assert not isinstance(conversation.to_meter(request), bytes)


@proven
def test_every_octet_of_an_answer_counts(settings: SecuritySettings) -> None:
    conversation = associated(settings)
    conversation.to_meter(conversation.client.request(GET))
    answer = conversation.respond(ANSWERS[GET])
    before = conversation.client_counters.last_received
    for position in range(len(answer)):
        tampered = bytearray(answer)
        tampered[position] ^= 0x80
        with pytest.raises(RemoteProtocolError):
            conversation.client.receive(bytes(tampered))
        assert conversation.client_counters.last_received == before
    event = conversation.client.receive(answer)
    assert isinstance(event, GetResponse)
    assert event.result == axdr.double_long(5009)


@every_ciphering
def test_a_replayed_request_is_refused_with_the_counter_that_was_expected(settings: SecuritySettings) -> None:
    conversation = associated(settings)
    conversation.ask(ACTION, ANSWERS[ACTION])
    before = conversation.meter_counters.last_received
    refused = conversation.answer_of_meter(conversation.sent[-1])
    assert xdlms.decode(refused) == ExceptionResponse(1, 6, conversation.client_counters.next_own)
    assert conversation.meter_counters.last_received == before


@every_ciphering
def test_a_replayed_answer_is_refused(settings: SecuritySettings) -> None:
    conversation = associated(settings)
    conversation.ask(GET, ANSWERS[GET])
    conversation.client.request(GET)
    before = conversation.client_counters.last_received
    with pytest.raises(ReplayedCounterError):
        conversation.client.receive(conversation.answered[-1])
    assert conversation.client_counters.last_received == before


@proven
def test_a_replayed_aarq_of_yesterday_is_refused(settings: SecuritySettings) -> None:
    yesterday = associated(settings)
    yesterday.release()
    today = yesterday.once_more()
    refused = xdlms.decode(today.answer_of_meter(yesterday.sent[0]))
    assert refused == ExceptionResponse(1, 6, yesterday.meter_counters.last_received + 1)
    assert today.meter.state is MeterState.IDLE


@proven
def test_a_replayed_aare_of_yesterday_is_refused(settings: SecuritySettings) -> None:
    yesterday = associated(settings)
    yesterday.release()
    today = yesterday.once_more()
    today.client.associate()
    with pytest.raises(ReplayedCounterError):
        today.client.receive(yesterday.answered[0])
    assert today.client.state is not ClientState.ASSOCIATED


def _counter_replaced(octets: bytes, counter: int) -> bytes:
    """The APDU with another invocation counter, its tag as it was."""
    position = 1 + 1 + 1 if octets[0] not in {0xDB, 0xDC} else 1 + 9 + 1 + 1
    return octets[:position] + counter.to_bytes(4, "big") + octets[position + 4 :]


@proven
@pytest.mark.parametrize("counter", [0x7FFF_FFFF, 0xFFFF_FFFF])
def test_a_forged_counter_locks_neither_side_out(settings: SecuritySettings, counter: int) -> None:
    conversation = associated(settings)
    request = conversation.client.request(GET)
    refused = conversation.answer_of_meter(_counter_replaced(request, counter))
    assert xdlms.decode(refused) == ExceptionResponse(1, 5)
    assert not isinstance(conversation.to_meter(request), bytes)
    answer = conversation.respond(ANSWERS[GET])
    with pytest.raises(DecipheringError):
        conversation.client.receive(_counter_replaced(answer, counter))
    assert conversation.client.receive(answer)
    assert conversation.meter_counters.last_received < 10
    assert conversation.client_counters.last_received < 10


def test_a_claimed_counter_is_told_but_moves_nothing_by_itself() -> None:
    conversation = associated(SECURE)
    conversation.client.request(GET)
    before = conversation.client_counters.next_own
    with pytest.raises(ServiceRefused, match=r"expected counter 2147483647.*counter is behind") as caught:
        conversation.client.receive(ExceptionResponse(1, 6, 0x7FFF_FFFF).encode())
    assert caught.value.expected_counter == 0x7FFF_FFFF
    assert conversation.client_counters.next_own == before
    assert not conversation.client_counters.jump_to(0x7FFF_FFFF, 1 << 24)
    assert conversation.client_counters.next_own == before


def test_a_client_that_lost_its_counter_learns_it_and_gets_in() -> None:
    before = associated(SECURE)
    before.release()
    behind = Conversation(SECURE, meter_counters=before.meter_counters)
    with pytest.raises(ServiceRefused) as caught:
        behind.associate()
    claimed = caught.value.expected_counter
    assert claimed == before.meter_counters.last_received + 1
    assert behind.client_counters.jump_to(claimed, 1 << 24)
    again = behind.once_more()
    assert again.associate()
    assert again.ask(GET, ANSWERS[GET])


@every_ciphering
def test_an_answer_in_clear_is_refused_where_ciphering_was_agreed(settings: SecuritySettings) -> None:
    conversation = associated(settings)
    conversation.to_meter(conversation.client.request(GET))
    with pytest.raises(DecipheringError, match="in clear"):
        conversation.client.receive(GetResponse(axdr.NULL).encode())


@every_ciphering
def test_a_request_in_clear_is_refused_where_ciphering_was_agreed(settings: SecuritySettings) -> None:
    conversation = associated(settings)
    assert conversation.answer_of_meter(ACTION.encode()) == ExceptionResponse(1, 5).encode()


@pytest.mark.parametrize("settings", [CLEAR, LLS, HLS_IN_CLEAR], ids=shown)
def test_a_ciphered_apdu_is_refused_where_none_was_agreed(settings: SecuritySettings) -> None:
    conversation = associated(settings)
    ciphered = associated(SECURE).client.request(GET)
    assert conversation.answer_of_meter(ciphered) == ExceptionResponse(1, 5).encode()
    conversation.client.request(GET)
    with pytest.raises(RemoteProtocolError, match="without ciphering"):
        conversation.client.receive(ciphered)


@pytest.mark.parametrize("weaker", [Protection.AUTHENTICATED, Protection.ENCRYPTED])
def test_weaker_protection_than_agreed_is_refused_on_both_sides(weaker: Protection) -> None:
    opening = Conversation(replace(SECURE, protection=weaker), SECURE)
    with pytest.raises(AssociationRefused, match="authentication-failure"):
        opening.associate()
    agreed, weak = associated(SECURE), associated(replace(SECURE, protection=weaker))
    request = weak.client.request(GET)
    assert agreed.answer_of_meter(request) == ExceptionResponse(1, 5).encode()
    weak.to_meter(request)
    agreed.client.request(GET)
    with pytest.raises(DecipheringError, match="weaker than agreed"):
        agreed.client.receive(weak.respond(ANSWERS[GET]))


def test_an_aare_whose_initiate_is_in_clear_is_refused_where_ciphering_was_agreed() -> None:
    conversation = Conversation(SECURE)
    aare = acse.decode(conversation.answer_of_meter(conversation.client.associate()))
    assert isinstance(aare, Aare)
    plain = xdlms.InitiateResponse(Conformance.GET, 0).encode()
    with pytest.raises(DecipheringError, match="in clear"):
        conversation.client.receive(replace(aare, user_information=plain).encode())


def test_another_title_in_the_general_form_is_refused_on_both_sides() -> None:
    conversation = associated(GENERAL)
    request = conversation.client.request(GET)
    wrong = request[:2] + OTHER_TITLE + request[10:]
    assert conversation.answer_of_meter(wrong) == ExceptionResponse(1, 5).encode()
    conversation.to_meter(request)
    answer = conversation.respond(ANSWERS[GET])
    with pytest.raises(WrongSystemTitleError):
        conversation.client.receive(answer[:2] + OTHER_TITLE + answer[10:])
    assert conversation.client.receive(answer)


# Release.


def test_the_release_of_a_ciphered_association_carries_a_ciphered_initiate() -> None:
    conversation = associated(SECURE)
    conversation.release()
    rlrq = acse.decode(conversation.sent[-1])
    rlre = acse.decode(conversation.answered[-1])
    assert isinstance(rlrq, Rlrq)
    assert (rlrq.user_information or b"")[0] == 0x21
    assert (rlre.user_information or b"")[0] == 0x28


def test_the_release_of_a_plain_association_is_the_short_one() -> None:
    conversation = associated(CLEAR)
    conversation.release()
    assert (conversation.sent[-1].hex(), conversation.answered[-1].hex()) == ("6203800100", "6303800100")


# Sizes.


def test_a_request_larger_than_the_meter_takes_is_not_sent() -> None:
    conversation = Conversation(SECURE, meter_pdu_size_max=60, meter_offered=WITHOUT_BLOCKS)
    conversation.associate()
    assert conversation.ask(GET, ANSWERS[GET])
    large = replace(ACTION, data=axdr.octet_string(bytes(40)))
    with pytest.raises(LocalProtocolError, match="has 55 octets, 38 at most fit into an APDU for this meter"):
        conversation.client.request(large)
    assert conversation.ask(GET, ANSWERS[GET])


def test_an_answer_larger_than_the_client_takes_becomes_a_refusal() -> None:
    for settings in (CLEAR, SECURE):
        conversation = Conversation(settings, client_pdu_size_max=64, meter_offered=WITHOUT_BLOCKS)
        conversation.associate()
        answer = conversation.ask(GET, GetResponse(axdr.octet_string(bytes(64))))
        assert isinstance(answer, GetResponse)
        assert answer.result == 250
        done = conversation.ask(ACTION, ActionResponse(0, axdr.octet_string(bytes(64))))
        assert isinstance(done, ActionResponse)
        assert (done.result, done.returned) == (0, None)
        assert all(len(octets) <= 64 for octets in conversation.answered[-2:])


def test_zero_means_no_limit() -> None:
    conversation = Conversation(SECURE, client_pdu_size_max=0, meter_pdu_size_max=0)
    conversation.associate()
    huge = axdr.octet_string(bytes(70_000))
    answer = conversation.ask(replace(ACTION, data=huge), ActionResponse(0, huge))
    assert isinstance(answer, ActionResponse)
    assert answer.returned == huge
