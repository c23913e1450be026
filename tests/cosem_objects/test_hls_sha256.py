"""HLS with SHA-256: each side proves that it knows the secret, to the other and to nobody else."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects import axdr
from cosem_objects.dlms import acse
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms.acse import Aare, Aarq, Mechanism
from cosem_objects.dlms.apdu import ActionRequest, ActionResponse, ExceptionResponse
from cosem_objects.dlms.client import State as ClientState
from cosem_objects.dlms.hls import Challenged, Secrets, is_challenge
from cosem_objects.dlms.refusals import AssociationRefused
from cosem_objects.dlms.security import InvocationCounters, WrongSystemTitleError
from cosem_objects.dlms.server import State as MeterState
from cosem_objects.dlms.settings import Ciphering, SecuritySettings
from cosem_objects.errors import RemoteProtocolError
from tests.cosem_objects.conversation import (
    ANSWERS,
    CLIENT_TITLE,
    CTOS,
    GET,
    METER_TITLE,
    OTHER_TITLE,
    PASSWORD,
    SECURE,
    SHA256_IN_CLEAR,
    STOC,
    Conversation,
    associated,
)

CIPHERED = replace(SECURE, mechanism=Mechanism.HLS_SHA256)
both = pytest.mark.parametrize("settings", [SHA256_IN_CLEAR, CIPHERED], ids=["clear", "ciphered"])
NO_COUNTERS = InvocationCounters(1 << 32)
"""Used up: SHA-256 needs none."""


def sides(secret: bytes = PASSWORD, ctos: bytes = CTOS, stoc: bytes = STOC) -> tuple[Challenged, Challenged]:
    secrets = Secrets(Mechanism.HLS_SHA256, None, secret)
    return (
        Challenged(secrets, CLIENT_TITLE, METER_TITLE, ctos, stoc),
        Challenged(secrets, METER_TITLE, CLIENT_TITLE, stoc, ctos),
    )


def pass_3(conversation: Conversation) -> ActionRequest:
    """What a client says after the AARE, taken apart; without ciphering."""
    said = conversation.client.receive(conversation.answer_of_meter(conversation.client.associate()))
    assert isinstance(said, bytes)
    decoded = xdlms.decode(said)
    assert isinstance(decoded, ActionRequest)
    return decoded


def test_the_answers_are_what_the_formula_makes_of_secret_titles_and_challenges() -> None:
    # Constructed, no vector from outside: none with all its inputs was found. The formula is that of the Green Book
    # (tables of the HLS mechanisms) as Gurux.DLMS.Net, Gurux.DLMS.Python and a meter's firmware have it.
    client, meter = sides(b"12345678", b"K56iVagY", b"P6wRJ21F")
    f_stoc = hashlib.sha256(b"12345678" + CLIENT_TITLE + METER_TITLE + b"P6wRJ21F" + b"K56iVagY").digest()
    f_ctos = hashlib.sha256(b"12345678" + METER_TITLE + CLIENT_TITLE + b"K56iVagY" + b"P6wRJ21F").digest()
    assert f_stoc.hex() == "67342baa6815da654eefbb879b6a23da0d2bb0404abbb1a738631241a6b96516"
    assert f_ctos.hex() == "5da97807e1b30b5d95a5b48bda34c4232130f761e57c316ccdef70322605a90d"
    assert (client.answer(NO_COUNTERS), meter.answer(NO_COUNTERS)) == (f_stoc, f_ctos)
    assert meter.is_answered(f_stoc)
    assert client.is_answered(f_ctos)


def test_the_four_passes_carry_them() -> None:
    conversation = associated(SHA256_IN_CLEAR)
    f_stoc = hashlib.sha256(PASSWORD + CLIENT_TITLE + METER_TITLE + STOC + CTOS).digest()
    f_ctos = hashlib.sha256(PASSWORD + METER_TITLE + CLIENT_TITLE + CTOS + STOC).digest()
    aarq, aare = acse.decode(conversation.sent[0]), acse.decode(conversation.answered[0])
    assert isinstance(aarq, Aarq)
    assert isinstance(aare, Aare)
    assert (aarq.mechanism, aarq.authentication, aarq.calling_ap_title) == (6, CTOS, CLIENT_TITLE)
    assert (aare.mechanism, aare.authentication, aare.responding_ap_title) == (6, STOC, METER_TITLE)
    assert conversation.sent[1].hex() == f"c301c1000f0000280000ff01010920{f_stoc.hex()}"
    assert conversation.answered[1].hex() == f"c701c10001000920{f_ctos.hex()}"
    assert conversation.ask(GET, ANSWERS[GET])
    assert conversation.client_counters.next_own == conversation.meter_counters.next_own == 1


@given(st.binary(min_size=1, max_size=80), st.binary(min_size=8, max_size=64), st.binary(min_size=8, max_size=64))
def test_whoever_knows_the_secret_is_believed_and_whoever_knows_another_is_not(
    secret: bytes, ctos: bytes, stoc: bytes
) -> None:
    client, meter = sides(secret, ctos, stoc)
    assert meter.is_answered(client.answer(NO_COUNTERS))
    assert client.is_answered(meter.answer(NO_COUNTERS))
    stranger, forger = sides(secret + b"x", ctos, stoc)
    assert not meter.is_answered(stranger.answer(NO_COUNTERS))
    assert not client.is_answered(forger.answer(NO_COUNTERS))
    # Neither answer does for the other side, not even where both challenges are the same.
    assert not client.is_answered(client.answer(NO_COUNTERS))
    assert not meter.is_answered(meter.answer(NO_COUNTERS))


def test_every_bit_of_an_answer_counts_and_its_length() -> None:
    client, meter = sides()
    answer = client.answer(NO_COUNTERS)
    for bit in range(256):
        forged = bytearray(answer)
        forged[bit // 8] ^= 1 << bit % 8
        assert not meter.is_answered(bytes(forged))
    for other in (b"", answer[:-1], answer + b"\0", answer.hex().encode()):
        assert not meter.is_answered(other)


@both
def test_a_wrong_secret_is_refused_by_the_meter(settings: SecuritySettings) -> None:
    conversation = Conversation(replace(settings, password=b"12345679"), settings)
    with pytest.raises(AssociationRefused, match="refused our HLS answer") as caught:
        conversation.associate()
    assert "1234567" not in str(caught.value)
    assert conversation.meter.state is MeterState.IDLE
    assert conversation.client.state is ClientState.ENDED


def test_a_meter_that_does_not_know_the_secret_is_not_our_meter() -> None:
    # It lets everybody in, to hear what they send.
    conversation = Conversation(SHA256_IN_CLEAR)
    pass_3(conversation)
    for secret in (b"", b"12345679", PASSWORD + b"\0"):
        again = Conversation(SHA256_IN_CLEAR)
        pass_3(again)
        forged = sides(secret)[1].answer(NO_COUNTERS)
        with pytest.raises(RemoteProtocolError, match="could not answer our HLS challenge"):
            again.client.receive(ActionResponse(0, axdr.octet_string(forged), 0xC1).encode())
        assert again.client.state is ClientState.ENDED


def test_a_success_that_proves_nothing_is_not_believed() -> None:
    for returned in (None, 0, axdr.NULL, axdr.octet_string(b""), axdr.octet_string(bytes(32)), axdr.octet_string(CTOS)):
        conversation = Conversation(SHA256_IN_CLEAR)
        pass_3(conversation)
        with pytest.raises(RemoteProtocolError, match="could not answer our HLS challenge"):
            conversation.client.receive(ActionResponse(0, returned, 0xC1).encode())


def test_our_own_answer_sent_back_proves_nothing() -> None:
    conversation = Conversation(SHA256_IN_CLEAR)
    said = pass_3(conversation)
    with pytest.raises(RemoteProtocolError, match="could not answer our HLS challenge"):
        conversation.client.receive(ActionResponse(0, said.data, 0xC1).encode())


def test_our_own_challenge_sent_back_is_not_answered() -> None:
    conversation = Conversation(SHA256_IN_CLEAR, meter_challenge=CTOS)
    aare = conversation.answer_of_meter(conversation.client.associate())
    with pytest.raises(RemoteProtocolError, match="our own challenge back"):
        conversation.client.receive(aare)
    assert len(conversation.sent) == 1


@both
def test_another_client_or_meter_than_expected_is_refused(settings: SecuritySettings) -> None:
    client = Conversation(replace(settings, client_system_title=OTHER_TITLE), settings)
    with pytest.raises(AssociationRefused, match="calling-ap-title-not-recognized"):
        client.associate()
    meter = Conversation(settings, replace(settings, meter_system_title=OTHER_TITLE))
    with pytest.raises(WrongSystemTitleError):
        meter.associate()
    assert len(meter.sent) == 1


def test_the_titles_are_part_of_the_proof() -> None:
    # Somebody in between gives the client another title for the meter, and the meter another for the client.
    settings = replace(SHA256_IN_CLEAR, meter_system_title=b"", client_system_title=CLIENT_TITLE)
    open_meter = replace(SHA256_IN_CLEAR, client_system_title=b"")
    conversation = Conversation(settings, open_meter)
    aarq = acse.decode(conversation.client.associate())
    assert isinstance(aarq, Aarq)
    aare = conversation.answer_of_meter(replace(aarq, calling_ap_title=OTHER_TITLE).encode())
    said = conversation.client.receive(aare)
    assert isinstance(said, bytes)
    with pytest.raises(AssociationRefused, match="refused our HLS answer"):
        conversation.client.receive(conversation.answer_of_meter(said))
    conversation = Conversation(settings, open_meter)
    decoded = acse.decode(conversation.answer_of_meter(conversation.client.associate()))
    assert isinstance(decoded, Aare)
    said = conversation.client.receive(replace(decoded, responding_ap_title=OTHER_TITLE).encode())
    assert isinstance(said, bytes)
    with pytest.raises(AssociationRefused, match="refused our HLS answer"):
        conversation.client.receive(conversation.answer_of_meter(said))


def test_a_meter_that_calls_itself_by_our_title_is_not_answered() -> None:
    conversation = Conversation(replace(SHA256_IN_CLEAR, meter_system_title=b""))
    aare = acse.decode(conversation.answer_of_meter(conversation.client.associate()))
    assert isinstance(aare, Aare)
    with pytest.raises(WrongSystemTitleError):
        conversation.client.receive(replace(aare, responding_ap_title=CLIENT_TITLE).encode())


def test_the_answer_of_yesterday_is_worth_nothing_today() -> None:
    yesterday = associated(SHA256_IN_CLEAR)
    today = Conversation(SHA256_IN_CLEAR, meter_challenge=b"another1")
    today.answer_of_meter(yesterday.sent[0])
    refused = xdlms.decode(today.answer_of_meter(yesterday.sent[1]))
    assert refused == ActionResponse(3, None, 0xC1)
    assert today.answer_of_meter(GET.encode()) == ExceptionResponse(1, 1).encode()


def test_a_second_try_needs_a_new_challenge() -> None:
    conversation = Conversation(SHA256_IN_CLEAR)
    right = pass_3(conversation)
    wrong = replace(right, data=axdr.octet_string(bytes(32)))
    assert xdlms.decode(conversation.answer_of_meter(wrong.encode())) == ActionResponse(3, None, 0xC1)
    assert conversation.answer_of_meter(right.encode()) == ExceptionResponse(1, 1).encode()


@pytest.mark.parametrize("size", [0, 1, 7, 65])
def test_challenges_outside_8_to_64_octets_are_not_answered(size: int) -> None:
    meter = Conversation(SHA256_IN_CLEAR, challenge=b"C" * size)
    with pytest.raises(AssociationRefused, match="authentication-failure"):
        meter.associate()
    client = Conversation(SHA256_IN_CLEAR, meter_challenge=b"S" * size)
    aare = client.answer_of_meter(client.client.associate())
    with pytest.raises(RemoteProtocolError, match=r"must not be answered|without the high level security"):
        client.client.receive(aare)
    assert not is_challenge(b"C" * size)


def test_the_other_mechanism_is_not_taken_for_it() -> None:
    for mine, theirs in ((CIPHERED, SECURE), (SECURE, CIPHERED)):
        conversation = Conversation(mine, theirs)
        with pytest.raises(AssociationRefused, match="authentication-mechanism-name-not-recognised"):
            conversation.associate()


def test_the_secret_is_neither_on_the_wire_nor_shown() -> None:
    secret = b"correct-horse-battery"
    for form in (Ciphering.NONE, Ciphering.SERVICE_GLO):
        conversation = associated(replace(CIPHERED, ciphering=form, password=secret))
        assert all(secret not in octets for octets in (*conversation.sent, *conversation.answered))
        challenged = conversation.client._challenged
        for holder in (conversation.settings, conversation.client, conversation.meter, challenged):
            assert "correct" not in repr(holder)
        assert challenged is not None
        assert "correct" not in repr(challenged.secrets)
