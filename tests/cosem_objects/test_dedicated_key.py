"""Dedicated keys: made by the client for one association, known to nobody else, and worth nothing after it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects import axdr
from cosem_objects.dlms import acse
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms.acse import Aarq, Mechanism, Rlrq
from cosem_objects.dlms.apdu import Conformance, ExceptionResponse, GetResponse, InitiateRequest
from cosem_objects.dlms.ciphered import CipheredApdu
from cosem_objects.dlms.client import ClientAssociation
from cosem_objects.dlms.security import (
    COUNTER_MAX,
    DecipheringError,
    InvocationCounters,
    ReplayedCounterError,
    SecurityLayer,
)
from cosem_objects.dlms.settings import Ciphering, Protection, SecuritySettings
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from tests.cosem_objects.conversation import (
    ACTION,
    AK,
    ANSWERS,
    CLEAR,
    CLIENT_TITLE,
    CTOS,
    DEDICATED,
    DEDICATED_KEY,
    EK,
    GENERAL,
    GENERAL_DEDICATED,
    GET,
    METER_TITLE,
    OTHER_KEY,
    SECURE,
    Conversation,
    associated,
    cipher,
)

FORMS = {"service-ded": DEDICATED, "general-ded": GENERAL_DEDICATED}
both_forms = pytest.mark.parametrize("settings", FORMS.values(), ids=FORMS.keys())
GLOBAL_TAGS = {"service-ded": (0xCB, 0xCF), "general-ded": (0xDB, 0xDB)}
DEDICATED_TAGS = {"service-ded": (0xD3, 0xD7), "general-ded": (0xDC, 0xDC)}
PLAIN = bytes.fromhex("c0010000080000010000ff0200")


def control(octets: bytes) -> tuple[int, int, bytes]:
    parsed = CipheredApdu.parse(octets)
    return parsed.control, parsed.counter, parsed.sealed


# Octet for octet.

# Constructed, no vector from outside: no publication of dedicated ciphering with all its inputs was found. Inputs as in
# the Green Book's example of glo-get-request (keys, title, counter 01234567), and the dedicated key 00112233..FF. The
# test makes them once more from the formula of IEC 62056-5-3, 5.3.5, with no code of ours.
CONSTRUCTED = {
    ("service-ded", 0x30): "d01e3001234567538219d99ee74436a08744d81ec04b2df4d19fd8d8cd748873",
    ("service-ded", 0x20): "d0122001234567538219d99ee74436a08744d81e",
    ("service-ded", 0x10): "d01e1001234567c0010000080000010000ff020065c6f026027cf61564bd6a2e",
    ("general-ded", 0x30): ("dc084d4d4d0000bc614e1e3001234567538219d99ee74436a08744d81ec04b2df4d19fd8d8cd748873"),
}


def by_formula(form: str, security_control: int, title: bytes, counter: int, plain: bytes) -> bytes:
    """SC || IC || ciphertext || tag, straight from AES-GCM."""
    header = bytes((security_control,)) + counter.to_bytes(4, "big")
    nonce = title + header[1:]
    gcm = AESGCM(DEDICATED_KEY)
    if security_control == 0x30:
        sealed = gcm.encrypt(nonce, plain, header[:1] + AK)[: len(plain) + 12]
    elif security_control == 0x20:
        sealed = gcm.encrypt(nonce, plain, None)[: len(plain)]
    else:
        sealed = plain + gcm.encrypt(nonce, b"", header[:1] + AK + plain)[:12]
    body = bytes((len(header + sealed),)) + header + sealed
    return (b"\xd0" if form == "service-ded" else b"\xdc\x08" + title) + body


def layer_of(settings: SecuritySettings, own_title: bytes, peer_title: bytes, counter: int = 1) -> SecurityLayer:
    layer = SecurityLayer(settings, cipher(), InvocationCounters(counter), own_title, peer_title)
    layer.add_dedicated_key(DEDICATED_KEY)
    layer.form = settings.ciphering
    return layer


@pytest.mark.parametrize(("form", "security_control"), CONSTRUCTED)
def test_an_apdu_under_the_dedicated_key_is_what_the_formula_makes_of_it(form: str, security_control: int) -> None:
    expected = bytes.fromhex(CONSTRUCTED[form, security_control])
    assert by_formula(form, security_control, METER_TITLE, 0x01234567, PLAIN) == expected
    protection = {0x10: Protection.AUTHENTICATED, 0x20: Protection.ENCRYPTED, 0x30: Protection.BOTH}[security_control]
    settings = replace(FORMS[form], protection=protection)
    assert layer_of(settings, METER_TITLE, CLIENT_TITLE, 0x01234567).protect(PLAIN) == expected
    assert layer_of(settings, CLIENT_TITLE, METER_TITLE).unprotect(expected) == PLAIN


def test_a_general_form_without_a_title_is_that_of_whom_one_talks_to() -> None:
    # Constructed as above, the title left out.
    octets = bytes.fromhex("dc001e3001234567538219d99ee74436a08744d81ec04b2df4d19fd8d8cd748873")
    assert layer_of(GENERAL_DEDICATED, CLIENT_TITLE, METER_TITLE).unprotect(octets) == PLAIN


@given(st.sampled_from(sorted(FORMS)), st.sampled_from(Protection), st.integers(0, COUNTER_MAX), st.binary(max_size=90))
def test_any_apdu_under_the_dedicated_key_is_what_the_formula_makes_of_it(
    form: str, protection: Protection, counter: int, more: bytes
) -> None:
    plain = b"\xc0" + more
    settings = replace(FORMS[form], protection=protection)
    sealed = layer_of(settings, CLIENT_TITLE, METER_TITLE, counter).protect(plain)
    assert sealed == by_formula(form, protection.bits, CLIENT_TITLE, counter, plain)


def test_every_service_has_its_dedicated_tag() -> None:
    # IEC 62056-5-3, tag list; Gurux.DLMS.Python's Command.py has the same.
    tags = {0xC0: 0xD0, 0xC1: 0xD1, 0xC2: 0xD2, 0xC3: 0xD3, 0xC4: 0xD4, 0xC5: 0xD5, 0xC7: 0xD7, 0x0E: 0x4E}
    for plain_tag, tag in tags.items():
        client, meter = layer_of(DEDICATED, CLIENT_TITLE, METER_TITLE), layer_of(DEDICATED, METER_TITLE, CLIENT_TITLE)
        sealed = client.protect(bytes((plain_tag, 1, 2)))
        assert sealed[0] == tag
        assert meter.unprotect(sealed) == bytes((plain_tag, 1, 2))
    # What opens and closes an association is under the global key, and in the form that it always has.
    for plain_tag, tag in {0x01: 0x21, 0x08: 0x28}.items():
        assert layer_of(GENERAL_DEDICATED, CLIENT_TITLE, METER_TITLE).protect(bytes((plain_tag, 1)))[0] == tag
    # And what has no form of its own takes the general one.
    assert layer_of(DEDICATED, CLIENT_TITLE, METER_TITLE).protect(b"\x0f\0\0\0\1\0\0")[0] == 0xDC


# The association.


@pytest.mark.parametrize("in_hls", [False, True], ids=["pass 3 global", "pass 3 dedicated"])
@pytest.mark.parametrize("form", FORMS)
def test_hls_pass_3_is_under_either_key_and_all_after_it_under_the_dedicated_one(form: str, in_hls: bool) -> None:
    conversation = Conversation(FORMS[form], dedicated_key_in_hls=in_hls)
    conversation.associate()
    tags = DEDICATED_TAGS if in_hls else GLOBAL_TAGS
    assert (conversation.sent[1][0], conversation.answered[1][0]) == tags[form]
    conversation.ask(ACTION, ANSWERS[ACTION])
    assert (conversation.sent[2][0], conversation.answered[2][0]) == DEDICATED_TAGS[form]
    conversation.release()
    assert conversation.answered[0][0] == 0x61
    rlrq = acse.decode(conversation.sent[-1])
    assert isinstance(rlrq, Rlrq)
    assert (rlrq.user_information or b"")[0] == 0x21


@both_forms
def test_the_key_goes_to_the_meter_under_the_global_key(settings: SecuritySettings) -> None:
    conversation = associated(settings)
    aarq = acse.decode(conversation.sent[0])
    assert isinstance(aarq, Aarq)
    assert DEDICATED_KEY not in conversation.sent[0]
    layer = SecurityLayer(SECURE, cipher(), InvocationCounters(), METER_TITLE, CLIENT_TITLE)
    initiate = xdlms.decode(layer.unprotect(aarq.user_information))
    assert isinstance(initiate, InitiateRequest)
    assert initiate.dedicated_key == DEDICATED_KEY
    global_only = associated(SECURE)
    aarq = acse.decode(global_only.sent[0])
    assert isinstance(aarq, Aarq)
    layer = SecurityLayer(SECURE, cipher(), InvocationCounters(), METER_TITLE, CLIENT_TITLE)
    initiate = xdlms.decode(layer.unprotect(aarq.user_information))
    assert isinstance(initiate, InitiateRequest)
    assert initiate.dedicated_key is None


@both_forms
@pytest.mark.parametrize("key", [b"", bytes(15), bytes(17), bytes(32)], ids=len)
def test_a_client_without_a_key_of_the_right_size_does_not_begin(settings: SecuritySettings, key: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="needs a dedicated key"):
        ClientAssociation(settings, InvocationCounters(), CTOS, dedicated_key=key)


@pytest.mark.parametrize("mirrors", [True, False])
@pytest.mark.parametrize("own", Ciphering, ids=lambda form: form.value)
@pytest.mark.parametrize("asked", [SECURE, GENERAL, DEDICATED, GENERAL_DEDICATED], ids=lambda s: s.ciphering.value)
def test_a_meter_answers_in_the_form_in_which_it_was_asked_or_in_its_own(
    asked: SecuritySettings, own: Ciphering, mirrors: bool
) -> None:
    if own is Ciphering.NONE:
        return
    conversation = Conversation(asked, replace(asked, ciphering=own), mirror_form=mirrors)
    conversation.associate()
    conversation.ask(GET, ANSWERS[GET])
    has_key = asked.ciphering.is_dedicated
    form = asked.ciphering if mirrors else own if has_key else own.with_global_key
    assert CipheredApdu.parse(conversation.answered[-1]).form is form


@pytest.mark.parametrize("settings", [SECURE, GENERAL, CLEAR], ids=["service", "general", "clear"])
@pytest.mark.parametrize("asked", FORMS.values(), ids=FORMS.keys())
def test_a_dedicated_apdu_without_a_dedicated_key_is_refused(
    settings: SecuritySettings, asked: SecuritySettings
) -> None:
    conversation = associated(settings)
    before = conversation.meter_counters.last_received
    sealed = layer_of(asked, CLIENT_TITLE, METER_TITLE, 1000).protect(GET.encode())
    assert conversation.answer_of_meter(sealed) == ExceptionResponse(1, 5).encode()
    assert conversation.meter_counters.last_received == before
    conversation.to_meter(conversation.client.request(GET))
    answer = layer_of(asked, METER_TITLE, CLIENT_TITLE, 1000).protect(GetResponse(axdr.NULL, 0xC1).encode())
    with pytest.raises(RemoteProtocolError, match=r"dedicated key that was never agreed|without ciphering"):
        conversation.client.receive(answer)
    assert conversation.client.receive(conversation.respond(ANSWERS[GET]))


@pytest.mark.parametrize("released", [True, False], ids=["released", "cut off"])
@both_forms
def test_the_key_of_the_association_before_is_worth_nothing(settings: SecuritySettings, released: bool) -> None:
    before = associated(settings)
    before.ask(GET, ANSWERS[GET])
    old_layer = before.client._layer
    assert old_layer is not None
    if released:
        before.release()
    # Neither in an association with another one, nor in one without.
    for next_settings in (settings, SECURE):
        after = Conversation(
            next_settings,
            client_counters=before.client_counters,
            meter_counters=before.meter_counters,
            dedicated_key=OTHER_KEY,
        )
        after.meter = before.meter
        after.associate()
        for octets in (old_layer.protect(GET.encode()), before.sent[2]):
            assert after.answer_of_meter(octets) == ExceptionResponse(1, 5).encode()


@pytest.mark.parametrize("key", [b"", b"short", bytes(15), bytes(17), bytes(32), bytes(255)], ids=len)
def test_a_dedicated_key_of_another_size_is_none(key: bytes) -> None:
    conversation = Conversation(SECURE)
    layer = SecurityLayer(SECURE, cipher(), InvocationCounters(), CLIENT_TITLE, METER_TITLE)
    initiate = InitiateRequest(Conformance.GET, 0, key).encode()
    aarq = Aarq(3, layer.protect(initiate), CLIENT_TITLE, Mechanism.HLS_GMAC, CTOS).encode()
    assert acse.decode(conversation.answer_of_meter(aarq))
    answer = conversation.answer_of_meter(layer_of(DEDICATED, CLIENT_TITLE, METER_TITLE, 5).protect(GET.encode()))
    assert answer == ExceptionResponse(1, 5).encode()


def test_a_dedicated_key_where_nothing_is_ciphered_is_not_used() -> None:
    conversation = Conversation(CLEAR)
    aarq = Aarq(1, InitiateRequest(Conformance.GET, 0, DEDICATED_KEY).encode()).encode()
    assert acse.decode(conversation.answer_of_meter(aarq))
    answer = conversation.answer_of_meter(layer_of(DEDICATED, CLIENT_TITLE, METER_TITLE).protect(GET.encode()))
    assert answer == ExceptionResponse(1, 5).encode()
    assert conversation.to_meter(GET.encode()) == GET


# Counters.


@both_forms
def test_our_counter_goes_on_under_the_dedicated_key_or_begins_at_0(settings: SecuritySettings) -> None:
    going_on = associated(settings)
    going_on.ask(GET, ANSWERS[GET])
    assert control(going_on.sent[-1])[1] == control(going_on.sent[-2])[1] + 1 == 4
    anew = Conversation(settings, restart_dedicated_counter=True)
    anew.associate()
    for expected in range(3):
        anew.ask(GET, ANSWERS[GET])
        assert control(anew.sent[-1])[1] == expected
    # The global key's goes on by itself: AARQ, f(StoC), pass 3; then the RLRQ.
    assert anew.client_counters.next_own == 4
    anew.release()
    assert anew.client_counters.next_own == 5


@both_forms
@pytest.mark.parametrize("start", [0, 1, 1_000_000, COUNTER_MAX])
def test_any_start_of_the_other_sides_counter_is_taken_under_a_new_key(settings: SecuritySettings, start: int) -> None:
    conversation = associated(settings)
    asked = layer_of(settings, CLIENT_TITLE, METER_TITLE, start).protect(GET.encode())
    assert conversation.to_meter(asked) == GET
    conversation.client.request(GET)
    answer = layer_of(settings, METER_TITLE, CLIENT_TITLE, start).protect(GetResponse(axdr.NULL, 0xC2).encode())
    assert conversation.client.receive(answer) == GetResponse(axdr.NULL, 0xC2)


@both_forms
def test_a_replay_under_the_dedicated_key_is_refused_on_both_sides(settings: SecuritySettings) -> None:
    for restarts in (False, True):
        conversation = Conversation(settings, restart_dedicated_counter=restarts)
        conversation.associate()
        conversation.ask(ACTION, ANSWERS[ACTION])
        request, answer = conversation.sent[-1], conversation.answered[-1]
        expected = control(request)[1] + 1
        assert conversation.answer_of_meter(request) == ExceptionResponse(1, 6, expected).encode()
        conversation.client.request(ACTION)
        with pytest.raises(ReplayedCounterError):
            conversation.client.receive(answer)


@both_forms
def test_what_comes_under_one_key_does_not_move_the_counter_of_the_other(settings: SecuritySettings) -> None:
    conversation = associated(settings)
    before = conversation.meter_counters.last_received
    conversation.to_meter(layer_of(settings, CLIENT_TITLE, METER_TITLE, COUNTER_MAX).protect(GET.encode()))
    assert conversation.meter_counters.last_received == before
    conversation.release()
    assert conversation.once_more().associate()


@both_forms
def test_every_octet_under_the_dedicated_key_counts(settings: SecuritySettings) -> None:
    client, meter = layer_of(settings, CLIENT_TITLE, METER_TITLE), layer_of(settings, METER_TITLE, CLIENT_TITLE)
    sealed = client.protect(PLAIN)
    for position in range(len(sealed)):
        with pytest.raises(RemoteProtocolError):
            meter.unprotect(sealed[:position] + bytes((sealed[position] ^ 0x80,)) + sealed[position + 1 :])
    assert meter.unprotect(sealed) == PLAIN


def test_the_authentication_key_counts_under_the_dedicated_key_too() -> None:
    settings = replace(DEDICATED, ak=OTHER_KEY)
    sealed = layer_of(settings, CLIENT_TITLE, METER_TITLE).protect(PLAIN)
    with pytest.raises(DecipheringError, match="tag"):
        layer_of(DEDICATED, METER_TITLE, CLIENT_TITLE).unprotect(sealed)


def test_an_apdu_under_one_key_does_not_pass_for_one_under_the_other() -> None:
    layer = layer_of(DEDICATED, CLIENT_TITLE, METER_TITLE)
    sealed = layer.protect(PLAIN)
    layer.form = Ciphering.SERVICE_GLO
    under_global = layer.protect(PLAIN)
    meter = layer_of(DEDICATED, METER_TITLE, CLIENT_TITLE)
    for octets in (b"\xc8" + sealed[1:], b"\xd0" + under_global[1:]):
        with pytest.raises(DecipheringError, match="tag"):
            meter.unprotect(octets)


# Nothing shows it.


def _mishaps() -> list[Callable[[], object]]:
    conversation = associated(DEDICATED)
    layer = conversation.client._layer
    assert layer is not None
    sealed = layer.protect(PLAIN)
    no_key = SecurityLayer(DEDICATED, cipher(), InvocationCounters(), CLIENT_TITLE, METER_TITLE)
    no_key.form = Ciphering.SERVICE_DED
    initiate = InitiateRequest(Conformance.GET, 0, DEDICATED_KEY).encode()
    return [
        lambda: ClientAssociation(DEDICATED, InvocationCounters(), CTOS, dedicated_key=DEDICATED_KEY[:-1]),
        lambda: layer.unprotect(sealed),
        lambda: no_key.protect(PLAIN),
        lambda: xdlms.decode(initiate[:-1]),
        lambda: xdlms.decode(initiate + b"\0"),
        lambda: acse.decode(initiate),
    ]


@pytest.mark.parametrize("mishap", range(6))
def test_no_error_shows_the_dedicated_key(mishap: int) -> None:
    with pytest.raises((LocalProtocolError, RemoteProtocolError)) as caught:
        _mishaps()[mishap]()
    told = "".join(traceback.format_exception_only(caught.value)).lower()
    for form in (DEDICATED_KEY.hex(), repr(DEDICATED_KEY)[2:-1].lower(), DEDICATED_KEY[:8].hex()):
        assert form not in told


def test_nothing_that_holds_the_dedicated_key_shows_it() -> None:
    conversation = associated(GENERAL_DEDICATED)
    initiate = InitiateRequest(Conformance.GET, 0, DEDICATED_KEY)
    holders = [
        conversation.client,
        conversation.meter,
        conversation.client._layer,
        conversation.meter._layer,
        initiate,
        Aarq(1, initiate.encode()),
        conversation.settings,
    ]
    for holder in holders:
        shown = (repr(holder) + str(holder)).lower()
        assert DEDICATED_KEY.hex() not in shown
        assert repr(DEDICATED_KEY)[2:-1].lower() not in shown
        assert EK.hex() not in shown


def test_without_a_challenge_an_answer_under_the_global_key_is_refused() -> None:
    """It may be one of another day; the dedicated key alone is fresh."""
    settings = replace(DEDICATED, mechanism=Mechanism.NONE)
    meter = replace(settings, ciphering=Ciphering.SERVICE_GLO, meter_system_title=METER_TITLE)
    conversation = Conversation(settings, meter, mirror_form=False)
    conversation.associate()
    with pytest.raises(DecipheringError, match="under the global key"):
        conversation.ask(GET, ANSWERS[GET])
