"""Ciphering, challenges and counters: what is forged, replayed or weaker is refused and moves nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cosem_objects.dlms.acse import Mechanism
from cosem_objects.dlms.ciphered import is_ciphered
from cosem_objects.dlms.hls import answer_challenge, challenge_is_answered
from cosem_objects.dlms.security import (
    COUNTER_MAX,
    Cipher,
    DecipheringError,
    InvocationCounters,
    ReplayedCounterError,
    SecurityLayer,
    WrongSystemTitleError,
)
from cosem_objects.dlms.settings import Ciphering, Protection, SecuritySettings
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError, SettingError
from tests.cosem_objects.conversation import (
    AK,
    CLIENT_TITLE,
    DEDICATED,
    EK,
    GENERAL,
    GENERAL_DEDICATED,
    METER_TITLE,
    OTHER_KEY,
    OTHER_TITLE,
    SECURE,
    SHA256_IN_CLEAR,
    STOC,
    cipher,
)
from tests.cosem_objects.strategies import damaged, understood

# Settings.

KEYS = {"ek": EK.hex(), "ak": AK.hex()}
TITLES = {"client_system_title": CLIENT_TITLE.hex(), "meter_system_title": METER_TITLE.hex()}


@pytest.mark.parametrize(
    ("mapping", "settings"),
    [
        ({}, SecuritySettings()),
        ({"mechanism": None, "ciphering": "", "ek": None, "suite": None}, SecuritySettings()),
        ({"mechanism": "none", "suite": 0, "ciphering": "none"}, SecuritySettings()),
        ({"mechanism": "lls", "password": "12345678"}, SecuritySettings(Mechanism.LLS, password=b"12345678")),
        ({"mechanism": "lls", "password": 12345678}, SecuritySettings(Mechanism.LLS, password=b"12345678")),
        ({"mechanism": "lls", "password": "pässword"}, SecuritySettings(Mechanism.LLS, password="pässword".encode())),
        (KEYS | TITLES | {"mechanism": "hls-gmac"}, replace(SECURE, password=b"")),
        (KEYS | TITLES | {"mechanism": "hls-gmac", "suite": "0", "protection": "both"}, replace(SECURE, password=b"")),
        (
            KEYS | TITLES | {"mechanism": "hls-gmac", "ciphering": "general-glo", "protection": "auth"},
            replace(GENERAL, password=b"", protection=Protection.AUTHENTICATED),
        ),
        (
            KEYS | TITLES | {"ciphering": "none", "mechanism": "hls-gmac"},
            replace(SECURE, password=b"", ciphering=Ciphering.NONE),
        ),
        (KEYS | TITLES | {"mechanism": "hls-gmac", "ciphering": "service-ded"}, replace(DEDICATED, password=b"")),
        (
            KEYS | TITLES | {"mechanism": "hls-gmac", "ciphering": "general-ded"},
            replace(GENERAL_DEDICATED, password=b""),
        ),
        (TITLES | {"mechanism": "hls-sha256", "password": "12345678"}, SHA256_IN_CLEAR),
        (KEYS | TITLES, replace(SECURE, password=b"", mechanism=Mechanism.NONE)),
        (
            KEYS | TITLES | {"ek": EK.hex(" ").upper(), "protection": "enc"},
            replace(SECURE, password=b"", mechanism=Mechanism.NONE, protection=Protection.ENCRYPTED),
        ),
    ],
)
def test_settings_are_read_from_their_words(mapping: dict[str, Any], settings: SecuritySettings) -> None:
    assert SecuritySettings.parse(mapping) == settings


GOOD = KEYS | TITLES | {"mechanism": "hls-gmac"}
SECRET_KEY = "c0ffee00c0ffee00c0ffee00c0ffee"


@pytest.mark.parametrize(
    ("change", "names", "secret"),
    [
        ({"ek": SECRET_KEY}, "ek", SECRET_KEY),
        ({"ek": SECRET_KEY + "0011"}, "ek", SECRET_KEY),
        ({"ak": SECRET_KEY}, "ak", SECRET_KEY),
        ({"ak": SECRET_KEY + "0"}, "ak", SECRET_KEY),
        ({"ek": SECRET_KEY + "xx"}, "ek", SECRET_KEY),
        ({"ek": bytes.fromhex(SECRET_KEY)}, "ek", SECRET_KEY),
        ({"ek": int(SECRET_KEY, 16)}, "ek", str(int(SECRET_KEY, 16))),
        ({"ek": [SECRET_KEY]}, "ek", SECRET_KEY),
        ({"ek": ""}, "ek", None),
        ({"ak": ""}, "ak", None),
        ({"ak": None}, "ak", None),
        ({"ek": "", "ak": ""}, "ek", None),
        ({"mechanism": "none", "ak": ""}, "ak", None),
        ({"mechanism": "none", "ek": "", "ak": "", "ciphering": "service-glo"}, "ek", None),
        ({"client_system_title": "4D4D4D00"}, "system-title", None),
        ({"client_system_title": "4D4D4D000000000100"}, "system-title", None),
        ({"meter_system_title": "4D4D4D000000000"}, "meter-system-title", None),
        ({"meter_system_title": "MMM00001"}, "meter-system-title", None),
        ({"meter_system_title": CLIENT_TITLE.hex()}, "meter-system-title", None),
        ({"mechanism": "lls"}, "lls", None),
        ({"mechanism": "lls", "password": ""}, "lls", None),
        ({"mechanism": "hls"}, "hls", None),
        ({"mechanism": "HLS-GMAC"}, "security: expected one of none, lls", None),
        ({"mechanism": "hls-sha256"}, "hls-sha256: a password is needed", None),
        ({"mechanism": "hls-sha256", "ek": "", "ak": "", "password": ""}, "hls-sha256: a password is needed", None),
        ({"mechanism": "hls-sha256", "password": "x", "ciphering": "service-ded", "ak": ""}, "ak", None),
        ({"mechanism": "hls-ecdsa"}, "hls-ecdsa: not supported yet", None),
        ({"mechanism": 5}, "security: expected one of none, lls", None),
        ({"mechanism": ["hls-gmac"]}, "security", None),
        ({"suite": 1}, "suite 1", None),
        ({"suite": "2"}, "suite 2", None),
        ({"suite": 0.5}, "suite", None),
        ({"ciphering": "general-ded", "mechanism": "none", "ek": ""}, "general-ded: both keys are needed", None),
        ({"ciphering": "service-ded", "mechanism": "none", "ek": ""}, "service-ded: both keys are needed", None),
        ({"ciphering": "glo"}, "glo", None),
        ({"ciphering": 5}, "ciphering: expected one of none", None),
        ({"ciphering": ["none"]}, "ciphering", None),
        ({"protection": "none"}, "protection", None),
        ({"protection": "auth+enc"}, "protection", None),
        ({"protection": ["both"]}, "protection", None),
    ],
)
def test_a_bad_setting_is_refused_by_name_and_without_the_secret(
    change: dict[str, Any], names: str, secret: str | None
) -> None:
    with pytest.raises(SettingError) as caught:
        SecuritySettings.parse(GOOD | change)
    message = str(caught.value)
    assert names in message
    assert "\n" not in message
    assert secret is None or secret not in message
    assert EK.hex() not in message


# Counters.


def test_our_own_counter_only_rises_and_ends() -> None:
    counters = InvocationCounters(COUNTER_MAX - 1)
    assert [counters.take(), counters.take()] == [COUNTER_MAX - 1, COUNTER_MAX]
    for _ in range(2):
        with pytest.raises(LocalProtocolError, match="used up"):
            counters.take()


@pytest.mark.parametrize(
    ("start", "claimed", "jump_max", "moved", "after"),
    [
        (10, 11, 100, True, 11),
        (10, 110, 100, True, 110),
        (10, 111, 100, False, 10),
        (10, COUNTER_MAX, 1 << 24, False, 10),
        (10, 0x7FFF_FFFF, 1 << 24, False, 10),
        (10, 10, 100, True, 10),
        (10, 9, 100, True, 10),
        (10, 0, 0, True, 10),
        (10, 11, 0, False, 10),
        (10, 1 << 40, 1 << 24, False, 10),
    ],
)
def test_a_claimed_counter_moves_ours_forward_at_most_by_the_limit(
    start: int, claimed: int, jump_max: int, moved: bool, after: int
) -> None:
    counters = InvocationCounters(start)
    assert counters.jump_to(claimed, jump_max) is moved
    assert counters.next_own == after


@pytest.mark.parametrize(("last", "received", "is_new"), [(-1, 0, True), (5, 6, True), (5, 5, False), (5, 0, False)])
def test_a_received_counter_is_new_only_above_the_last(last: int, received: int, is_new: bool) -> None:
    counters = InvocationCounters(last_received=last)
    if is_new:
        counters.check(received)
    else:
        with pytest.raises(ReplayedCounterError, match=f"{received} was received, at least {last + 1}") as caught:
            counters.check(received)
        assert caught.value.expected == last + 1
    assert counters.last_received == last


@given(st.lists(st.tuples(st.sampled_from(["take", "jump", "accept"]), st.integers(0, COUNTER_MAX)), max_size=20))
def test_no_counter_ever_goes_back(steps: list[tuple[str, int]]) -> None:
    counters = InvocationCounters()
    for step, number in steps:
        before = counters.next_own, counters.last_received
        if step == "take":
            if before[0] <= COUNTER_MAX:
                assert counters.take() == before[0]
        elif step == "jump":
            counters.jump_to(number, 1 << 24)
        else:
            counters.accept(number)
        assert counters.next_own >= before[0]
        assert counters.last_received >= before[1]


# The cipher.

CONTROLS = [0x10, 0x20, 0x30]
PLAIN = bytes.fromhex("c001c1000100002b0100ff0200")


@given(st.sampled_from(CONTROLS), st.integers(0, COUNTER_MAX), st.binary(max_size=300))
def test_what_is_sealed_can_be_opened(control: int, counter: int, plain: bytes) -> None:
    sealed = cipher().seal(control, CLIENT_TITLE, counter, plain)
    assert cipher().open(control, CLIENT_TITLE, counter, sealed) == plain
    assert len(sealed) == len(plain) + (12 if control & 0x10 else 0)
    assert (sealed[: len(plain)] == plain) or control & 0x20 or not plain


@pytest.mark.parametrize("control", [0x10, 0x30])
def test_every_single_bit_of_a_sealed_apdu_counts(control: int) -> None:
    sealed = cipher().seal(control, CLIENT_TITLE, 7, PLAIN)
    for bit in range(len(sealed) * 8):
        forged = bytearray(sealed)
        forged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DecipheringError):
            cipher().open(control, CLIENT_TITLE, 7, bytes(forged))


@pytest.mark.parametrize("control", [0x10, 0x30])
@pytest.mark.parametrize("size", range(12))
def test_what_is_shorter_than_a_tag_is_refused(control: int, size: int) -> None:
    with pytest.raises(DecipheringError, match="shorter than its tag"):
        cipher().open(control, CLIENT_TITLE, 7, bytes(size))


@pytest.mark.parametrize(
    ("other", "control", "title", "counter"),
    [
        (Cipher(OTHER_KEY, AK), 0x30, CLIENT_TITLE, 7),
        (Cipher(EK, OTHER_KEY), 0x30, CLIENT_TITLE, 7),
        (Cipher(EK, AK), 0x10, CLIENT_TITLE, 7),
        (Cipher(EK, AK), 0x30, METER_TITLE, 7),
        (Cipher(EK, AK), 0x30, CLIENT_TITLE, 8),
    ],
    ids=["ek", "ak", "control", "title", "counter"],
)
def test_the_tag_binds_both_keys_the_control_octet_the_title_and_the_counter(
    other: Cipher, control: int, title: bytes, counter: int
) -> None:
    sealed = cipher().seal(0x30, CLIENT_TITLE, 7, PLAIN)
    with pytest.raises(DecipheringError):
        other.open(control, title, counter, sealed)


# Challenges.


@given(st.binary(min_size=8, max_size=64), st.integers(0, COUNTER_MAX))
def test_the_right_side_can_answer_any_challenge(challenge: bytes, counter: int) -> None:
    answer = answer_challenge(cipher(), METER_TITLE, counter, challenge)
    assert (len(answer), answer[0], answer[1:5]) == (17, 0x10, counter.to_bytes(4, "big"))
    assert challenge_is_answered(cipher(), METER_TITLE, challenge, answer)


def test_every_single_bit_of_an_answer_counts() -> None:
    answer = answer_challenge(cipher(), METER_TITLE, 7, STOC)
    for bit in range(len(answer) * 8):
        forged = bytearray(answer)
        forged[bit // 8] ^= 1 << bit % 8
        assert not challenge_is_answered(cipher(), METER_TITLE, STOC, bytes(forged))


@given(st.binary(max_size=40))
def test_arbitrary_octets_are_no_answer(answer: bytes) -> None:
    assert not challenge_is_answered(cipher(), METER_TITLE, STOC, answer)


def test_an_answer_is_for_one_challenge_of_one_side_under_one_key() -> None:
    answer = answer_challenge(cipher(), METER_TITLE, 7, STOC)
    assert not challenge_is_answered(cipher(), METER_TITLE, STOC + b"x", answer)
    assert not challenge_is_answered(cipher(), CLIENT_TITLE, STOC, answer)
    assert not challenge_is_answered(Cipher(OTHER_KEY, AK), METER_TITLE, STOC, answer)
    assert not challenge_is_answered(Cipher(EK, OTHER_KEY), METER_TITLE, STOC, answer)
    assert not challenge_is_answered(cipher(), METER_TITLE, STOC, answer + b"\0")


# The layer.


class Sides:
    """A client's layer and a meter's."""

    def __init__(self, settings: SecuritySettings = SECURE, meter: SecuritySettings | None = None) -> None:
        self.client_counters, self.meter_counters = InvocationCounters(), InvocationCounters()
        self.client = SecurityLayer(settings, cipher(), self.client_counters, CLIENT_TITLE, METER_TITLE)
        self.meter = SecurityLayer(meter or settings, cipher(), self.meter_counters, METER_TITLE, CLIENT_TITLE)


DEDICATED_TAGS = (0x41, 0x48, 0x4E, *range(0xD0, 0xD6), 0xD7)
PLAIN_TAGS = {  # fact sheet 4.5
    0x01: 0x21,
    0x08: 0x28,
    0x0E: 0x2E,
    0xC0: 0xC8,
    0xC1: 0xC9,
    0xC2: 0xCA,
    0xC3: 0xCB,
    0xC4: 0xCC,
    0xC5: 0xCD,
    0xC7: 0xCF,
}


@pytest.mark.parametrize(("plain_tag", "ciphered_tag"), PLAIN_TAGS.items())
def test_each_service_has_its_ciphered_tag(plain_tag: int, ciphered_tag: int) -> None:
    sides = Sides()
    plain = bytes((plain_tag, 1, 2, 3))
    sealed = sides.client.protect(plain)
    assert sealed[0] == ciphered_tag
    assert is_ciphered(sealed)
    assert not is_ciphered(plain)
    assert sides.meter.unprotect(sealed) == plain


@pytest.mark.parametrize(("plain_tag", "ciphered_tag"), [*PLAIN_TAGS.items(), (0x0F, 0xDB), (0xD8, 0xDB)])
def test_the_general_form_carries_all_but_the_initiate(plain_tag: int, ciphered_tag: int) -> None:
    sides = Sides(GENERAL)
    plain = bytes((plain_tag, 1, 2, 3))
    sealed = sides.client.protect(plain)
    assert sealed[0] == (ciphered_tag if plain_tag in {0x01, 0x08} else 0xDB)
    assert sides.meter.unprotect(sealed) == plain
    assert sides.meter.form_received is (Ciphering.SERVICE_GLO if sealed[0] != 0xDB else Ciphering.GENERAL_GLO)


def test_nothing_is_opened_for_somebody_whose_title_is_not_known() -> None:
    layer = SecurityLayer(SECURE, cipher(), InvocationCounters(), CLIENT_TITLE, b"")
    for octets in (Sides().meter.protect(PLAIN), Sides(GENERAL).meter.protect(PLAIN)):
        with pytest.raises(RemoteProtocolError):
            layer.unprotect(octets)


@pytest.mark.parametrize("plain_tag", sorted(set(range(256)) - set(PLAIN_TAGS) - {0x0F}))
def test_an_apdu_that_has_no_ciphered_form_is_our_own_error(plain_tag: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"tag {plain_tag:02X} has no service-specific ciphered form"):
        Sides().client.protect(bytes((plain_tag, 1, 2, 3)))


def test_a_data_notification_has_the_general_form_only() -> None:
    sides = Sides()
    sealed = sides.client.protect(b"\x0f\0\0\0\1\0\0")
    assert sealed[:10] == b"\xdb\x08" + CLIENT_TITLE
    assert sides.meter.unprotect(sealed) == b"\x0f\0\0\0\1\0\0"


@given(st.sampled_from([SECURE, GENERAL]), st.sampled_from(Protection), st.binary(max_size=300))
def test_whatever_is_protected_can_be_opened_once(
    settings: SecuritySettings, protection: Protection, more: bytes
) -> None:
    sides = Sides(replace(settings, protection=protection))
    for number in range(1, 3):
        plain = b"\xc0" + more
        sealed = sides.client.protect(plain)
        assert sides.meter.unprotect(sealed) == plain
        assert sides.meter_counters.last_received == number
        assert sides.meter.control_received == protection.bits
        with pytest.raises(ReplayedCounterError) as caught:
            sides.meter.unprotect(sealed)
        assert caught.value.expected == number + 1


def test_an_apdu_that_comes_late_is_as_bad_as_a_replay() -> None:
    sides = Sides()
    first, second = sides.client.protect(PLAIN), sides.client.protect(PLAIN)
    assert sides.meter.unprotect(second) == PLAIN
    with pytest.raises(ReplayedCounterError):
        sides.meter.unprotect(first)


@pytest.mark.parametrize("settings", [SECURE, GENERAL], ids=["service", "general"])
@pytest.mark.parametrize("protection", [Protection.AUTHENTICATED, Protection.BOTH])
def test_a_single_flipped_bit_is_refused_and_moves_no_counter(
    settings: SecuritySettings, protection: Protection
) -> None:
    sides = Sides(replace(settings, protection=protection))
    sealed = sides.client.protect(PLAIN)
    for bit in range(len(sealed) * 8):
        forged = bytearray(sealed)
        forged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(RemoteProtocolError):
            sides.meter.unprotect(bytes(forged))
        assert sides.meter_counters.last_received == -1
    assert sides.meter.unprotect(sealed) == PLAIN


@pytest.mark.parametrize("counter", [0, 1, 0x7FFF_FFFF, COUNTER_MAX])
@pytest.mark.parametrize("settings", [SECURE, GENERAL], ids=["service", "general"])
def test_a_forged_jump_of_the_counter_locks_nobody_out(settings: SecuritySettings, counter: int) -> None:
    sides = Sides(settings)
    sealed = sides.client.protect(PLAIN)
    position = sealed.index(b"\x30\0\0\0\x01") + 1
    forged = sealed[:position] + counter.to_bytes(4, "big") + sealed[position + 4 :]
    if counter != 1:
        with pytest.raises(DecipheringError, match="tag"):
            sides.meter.unprotect(forged)
    assert sides.meter_counters.last_received == -1
    assert sides.meter.unprotect(sealed) == PLAIN


@given(st.data())
def test_damaged_apdus_open_to_what_was_sealed_or_are_refused(data: st.DataObject) -> None:
    sides = Sides(data.draw(st.sampled_from([SECURE, GENERAL])))
    sealed = sides.client.protect(PLAIN)
    octets = data.draw(damaged(st.just(sealed)))
    assume(octets != sealed)
    opened = understood(sides.meter.unprotect, octets)
    assert opened in (None, PLAIN)  # a longer form of a length, or an empty system title: the same APDU
    assert sides.meter_counters.last_received == (-1 if opened is None else 1)


@given(st.binary(max_size=80) | st.builds(bytes.__add__, st.sampled_from([b"\x21", b"\xc8", b"\xdb"]), st.binary()))
def test_arbitrary_octets_are_refused_and_move_nothing(octets: bytes) -> None:
    sides = Sides()
    with pytest.raises(RemoteProtocolError):
        sides.meter.unprotect(octets)
    assert sides.meter_counters.last_received == -1
    assert sides.meter_counters.next_own == 1


@pytest.mark.parametrize(
    ("required", "used", "is_taken"),
    [
        (Protection.BOTH, Protection.BOTH, True),
        (Protection.BOTH, Protection.AUTHENTICATED, False),
        (Protection.BOTH, Protection.ENCRYPTED, False),
        (Protection.AUTHENTICATED, Protection.BOTH, True),
        (Protection.AUTHENTICATED, Protection.AUTHENTICATED, True),
        (Protection.AUTHENTICATED, Protection.ENCRYPTED, False),
        (Protection.ENCRYPTED, Protection.BOTH, True),
        (Protection.ENCRYPTED, Protection.ENCRYPTED, True),
        (Protection.ENCRYPTED, Protection.AUTHENTICATED, False),
    ],
)
@pytest.mark.parametrize("settings", [SECURE, GENERAL], ids=["service", "general"])
def test_protection_may_be_stronger_than_agreed_but_never_weaker(
    settings: SecuritySettings, required: Protection, used: Protection, is_taken: bool
) -> None:
    sides = Sides(replace(settings, protection=used), replace(settings, protection=required))
    sealed = sides.client.protect(PLAIN)
    if is_taken:
        assert sides.meter.unprotect(sealed) == PLAIN
    else:
        with pytest.raises(DecipheringError, match="weaker than agreed"):
            sides.meter.unprotect(sealed)
        assert sides.meter_counters.last_received == -1


@pytest.mark.parametrize("control", sorted(set(range(256)) - {0x10, 0x20, 0x30}))
def test_other_suites_the_broadcast_key_and_compression_are_refused(control: int) -> None:
    for settings in (SECURE, replace(SECURE, protection=Protection.AUTHENTICATED)):
        sides = Sides(settings)
        sealed = cipher().seal(control, CLIENT_TITLE, 1, PLAIN)
        octets = bytes((0xC8, 5 + len(sealed), control, 0, 0, 0, 1)) + sealed
        with pytest.raises(DecipheringError, match=f"security control {control:02x}"):
            sides.meter.unprotect(octets)
        assert sides.meter_counters.last_received == -1


def test_the_general_form_names_its_sender_or_nobody() -> None:
    sides = Sides(GENERAL)
    sealed = sides.client.protect(PLAIN)
    assert sealed[1:10] == b"\x08" + CLIENT_TITLE
    assert sides.meter.unprotect(sealed[:1] + b"\0" + sealed[10:]) == PLAIN


@pytest.mark.parametrize("title", [METER_TITLE, OTHER_TITLE, b"MMM", CLIENT_TITLE + b"\0"])
def test_another_sender_is_refused_by_name(title: bytes) -> None:
    sides = Sides(GENERAL)
    sealed = sides.client.protect(PLAIN)
    expected = f"{title[:8].hex()}.*was received, {CLIENT_TITLE.hex()} expected"
    with pytest.raises(WrongSystemTitleError, match=expected):
        sides.meter.unprotect(sealed[:1] + bytes((len(title),)) + title + sealed[10:])
    assert sides.meter_counters.last_received == -1


def test_a_senders_name_of_any_length_is_not_repeated_at_length() -> None:
    octets = b"\xdb\x82\x13\x88" + bytes(5000) + b"\x05\x30\0\0\0\1"
    with pytest.raises(WrongSystemTitleError) as caught:
        Sides(GENERAL).meter.unprotect(octets)
    assert len(str(caught.value)) < 200


def test_the_name_of_another_sender_that_is_right_does_not_help_without_its_key() -> None:
    sides = Sides(GENERAL)
    forger = SecurityLayer(GENERAL, Cipher(OTHER_KEY, AK), InvocationCounters(), CLIENT_TITLE, METER_TITLE)
    with pytest.raises(DecipheringError, match="tag"):
        sides.meter.unprotect(forger.protect(PLAIN))


def test_our_own_apdus_sent_back_to_us_are_refused() -> None:
    for settings in (SECURE, GENERAL):
        sides = Sides(settings)
        with pytest.raises((DecipheringError, WrongSystemTitleError)):
            sides.client.unprotect(sides.client.protect(PLAIN))
        assert sides.client_counters.last_received == -1


@pytest.mark.parametrize("announced", sorted(set(PLAIN_TAGS.values()) - {0xC8}))
def test_what_is_inside_must_be_what_was_announced(announced: int) -> None:
    sides = Sides()
    sealed = sides.client.protect(PLAIN)
    with pytest.raises(DecipheringError, match="not the APDU that was announced"):
        sides.meter.unprotect(bytes((announced,)) + sealed[1:])
    assert sides.meter_counters.last_received == -1
    assert sides.meter.unprotect(sealed) == PLAIN


@pytest.mark.parametrize("settings", [SECURE, GENERAL], ids=["service", "general"])
def test_nothing_inside_is_no_apdu(settings: SecuritySettings) -> None:
    sides = Sides(settings)
    sealed = cipher().seal(0x30, CLIENT_TITLE, 1, b"")
    head = b"\xdb\x00" if settings is GENERAL else b"\xc8"
    with pytest.raises(DecipheringError, match="not the APDU"):
        sides.meter.unprotect(head + bytes((5 + len(sealed), 0x30, 0, 0, 0, 1)) + sealed)


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        ("", "ends at offset 0"),
        ("c8", "ends at offset 1"),
        ("c800", "without security header"),
        ("c8043000000001"[:12], "without security header"),
        ("c805 30 00000001", "shorter than its tag"),
        ("c8ff", "length of 127 octets"),
        ("c884ffffffff", "4294967295 octets expected at offset 6, 0 are left"),
        ("c884ffffffff3000000001", "4294967295 octets expected at offset 6, 5 are left"),
        ("db84ffffffff", "4294967295 octets expected"),
        ("db", "ends at offset 1"),
        ("db00", "ends at offset 2"),
        ("c001c1000100002b0100ff0200", r"in clear \(C0\)"),
        ("0e010601", r"in clear \(0E\)"),
        ("dc00", "ends at offset 2"),
        ("dc0000", "without security header"),
        ("dc84ffffffff", "4294967295 octets expected"),
        ("dc00 05 30 00000001", "dedicated key that was never agreed"),
        ("dd00", "general-ciphering is not supported"),
        ("df00", "general-signing is not supported"),
        ("e000", r"in clear \(E0\)"),
        *((f"{tag:02x}00", "without security header") for tag in DEDICATED_TAGS),
        *((f"{tag:02x} 05 30 00000001", "dedicated key that was never agreed") for tag in DEDICATED_TAGS),
        *((f"{tag:02x}00", f"in clear \\({tag:02X}\\)") for tag in (0x00, 0xC6, 0xCE, 0xD6, 0xD8, 0xDE, 0xFF)),
    ],
)
def test_a_malformed_or_other_ciphered_apdu_is_refused_with_the_reason(octets: str, message: str) -> None:
    sides = Sides()
    with pytest.raises(RemoteProtocolError, match=message) as caught:
        sides.meter.unprotect(bytes.fromhex(octets))
    assert len(str(caught.value)) < 100
    assert sides.meter_counters.last_received == -1


def test_octets_after_a_ciphered_apdu_are_refused_before_its_counter_counts() -> None:
    sides = Sides()
    sealed = sides.client.protect(PLAIN)
    with pytest.raises(RemoteProtocolError, match="too many"):
        sides.meter.unprotect(sealed + b"\0")
    assert sides.meter_counters.last_received == -1


def test_encryption_alone_still_refuses_what_was_there_before() -> None:
    # Without a tag nothing proves the sender. A repeat is refused all the same.
    sides = Sides(replace(SECURE, protection=Protection.ENCRYPTED))
    sealed = sides.client.protect(PLAIN)
    assert PLAIN not in sealed
    assert sides.meter.unprotect(sealed) == PLAIN
    with pytest.raises(ReplayedCounterError):
        sides.meter.unprotect(sealed)


def test_long_apdus_carry_their_length_in_as_many_octets_as_needed() -> None:
    for size in (100, 127, 128, 200, 255, 300, 70_000):
        for settings in (SECURE, GENERAL):
            sides = Sides(settings)
            plain = b"\xc4" + bytes(size)
            assert sides.meter.unprotect(sides.client.protect(plain)) == plain
