"""Pushes: octets as they come, and authentic ones that were damaged. Only what was sealed under the key is believed."""

from __future__ import annotations

from cosem_objects.dlms.ciphered import CipheredApdu
from cosem_objects.dlms.security import Cipher, InvocationCounters
from cosem_objects.dlms.settings import AUTHENTICATED, ENCRYPTED, Ciphering
from cosem_objects.errors import RemoteProtocolError
from gateway.calling_in.identify import sender_of
from gateway.calling_in.push_check import check_authentic, check_notification
from tests.fuzz.properties import Choices, assert_harmless
from tests.fuzz.settings import AK, EK, METER_TITLE, SECURE

SIZE_MAX = 300
BOTH = AUTHENTICATED | ENCRYPTED
_NOTIFICATION = bytes.fromhex("0F 00000001 00 02 02 09 08") + METER_TITLE + bytes.fromhex("11 03")
_EVENT = bytes.fromhex("C2 00 0073 0000132800FF 06 11 03")
_GET = bytes.fromhex("C001C100080000010000FF0200")


def seeds() -> list[bytes]:
    plain = [_NOTIFICATION, _EVENT, _GET, b""]
    raw = [b"\0" + apdu for apdu in (*plain, _sealed(_NOTIFICATION, 1, BOTH), _sealed(_NOTIFICATION, 1, ENCRYPTED))]
    return raw + [bytes((1, how, 3, 7, 9)) + apdu for how in range(3) for apdu in plain[:3]]


def one_input(octets: bytes) -> None:
    choices = Choices(octets)
    is_sealed = choices.octet() & 1
    if not is_sealed:
        apdu = choices.rest()
        title = sender_of(apdu)
        assert title is None or len(title) == len(METER_TITLE)
        assert not _believed(apdu, InvocationCounters()) or apdu == _sealed(_NOTIFICATION, 1, BOTH)
        return
    damage = Choices(choices.take(4))
    plain = choices.rest() or b"\0"
    counters, sealed = InvocationCounters(), _sealed(plain, 5, BOTH)
    assert not _believed(damage.damage(sealed), counters), "a damaged push is believed"
    assert counters.last_received == -1, "a damaged push moved a counter"
    assert _believed(sealed, counters) == _is_notification(plain)
    assert not _believed(sealed, counters), "a push is believed twice"
    assert sender_of(sealed) == METER_TITLE


def _sealed(plain: bytes, counter: int, control: int) -> bytes:
    text = Cipher(EK, AK).seal(control, METER_TITLE, counter, plain)
    return CipheredApdu(Ciphering.GENERAL_GLO, None, METER_TITLE, control, counter, text).encode()


def _believed(apdu: bytes, counters: InvocationCounters) -> bool:
    try:
        check_authentic(apdu, SECURE, counters, METER_TITLE)
    except RemoteProtocolError as error:
        assert_harmless(error, (EK, AK))
        return False
    return True


def _is_notification(plain: bytes) -> bool:
    try:
        check_notification(plain)
    except RemoteProtocolError as error:
        assert_harmless(error)
        return False
    return True
