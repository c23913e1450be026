"""Ciphered APDUs: octets as they come, and octets that were sealed with the right key and then damaged."""

from __future__ import annotations

from dataclasses import replace

from cosem_objects.dlms.ciphered import CipheredApdu, is_ciphered
from cosem_objects.dlms.security import Cipher, InvocationCounters, ReplayedCounterError, SecurityLayer
from cosem_objects.dlms.settings import Ciphering, Protection
from cosem_objects.errors import RemoteProtocolError
from tests.fuzz.properties import Choices, assert_harmless, assert_says_nothing_of
from tests.fuzz.settings import AK, CLIENT_TITLE, DEDICATED_KEY, EK, METER_TITLE, SECURE
from tests.vectors import dlms_vectors

SIZE_MAX = 300
FORMS = tuple(form for form in Ciphering if form is not Ciphering.NONE)
PROTECTIONS = tuple(Protection)
SECRETS = (EK, AK, DEDICATED_KEY)
_PLAIN = bytes.fromhex("C001C100080000010000FF0200")


def seeds() -> list[bytes]:
    known = [vector.octets for vector in dlms_vectors().values() if vector.octets and is_ciphered(vector.octets)]
    raw = [bytes((form, 0)) + apdu for form in range(4) for apdu in known]
    sealed = [
        bytes((form, 1 | protection << 1, how, 0, 9, 1))
        for form in range(4)
        for protection in range(3)
        for how in range(3)
    ]
    return raw + [head + _PLAIN for head in sealed]


def one_input(octets: bytes) -> None:
    choices = Choices(octets)
    form, how = choices.octet(), choices.octet()
    settings = replace(
        SECURE, ciphering=FORMS[form % len(FORMS)], protection=PROTECTIONS[(how >> 1) % len(PROTECTIONS)]
    )
    counters = InvocationCounters()
    meter = layer(counters, settings.ciphering, settings.protection, METER_TITLE, CLIENT_TITLE)
    if not how & 1:
        refuse_or_open(meter, counters, choices.rest())
        return
    client = layer(InvocationCounters(7), settings.ciphering, settings.protection, CLIENT_TITLE, METER_TITLE)
    damage = Choices(choices.take(4))
    plain = _PLAIN[:1] + choices.rest()
    sealed = client.protect(plain)
    assert CipheredApdu.parse(sealed).encode() == sealed
    if settings.protection is not Protection.ENCRYPTED:
        damaged = damage.damage(sealed)
        assert refuse_or_open(meter, counters, damaged) is None, "a damaged APDU was opened"
    assert meter.unprotect(sealed) == plain
    try:
        meter.unprotect(sealed)
    except ReplayedCounterError as error:
        assert_harmless(error, SECRETS)
    else:
        raise AssertionError("a replayed APDU was opened")


def layer(
    counters: InvocationCounters, form: Ciphering, protection: Protection, own: bytes, peer: bytes
) -> SecurityLayer:
    settings = replace(SECURE, ciphering=form, protection=protection)
    made = SecurityLayer(settings, Cipher(EK, AK), counters, own, peer)
    made.add_dedicated_key(DEDICATED_KEY)
    made.form = form
    return made


def refuse_or_open(meter: SecurityLayer, counters: InvocationCounters, apdu: bytes) -> bytes | None:
    """The plain octets, which sealed again are the same; or nothing, and then no counter has moved."""
    before = counters.last_received, meter.form_received, meter.control_received
    try:
        plain = meter.unprotect(apdu)
    except RemoteProtocolError as error:
        assert_harmless(error, (*SECRETS, _PLAIN))
        assert (counters.last_received, meter.form_received, meter.control_received) == before
        return None
    ciphered = CipheredApdu.parse(apdu)
    key = DEDICATED_KEY if ciphered.form.is_dedicated else EK
    sealed = Cipher(key, AK).seal(ciphered.control, CLIENT_TITLE, ciphered.counter, plain)
    assert sealed == ciphered.sealed, "octets that do not fit their tag were opened"
    assert_says_nothing_of([plain], repr(ciphered))
    return plain
