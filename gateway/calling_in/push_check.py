"""Whether a push is what it says: a notification, of this meter, and new. Pure."""

from __future__ import annotations

from cosem_objects.dlms.apdu import DataNotification, EventNotification, decode
from cosem_objects.dlms.ciphered import CipheredApdu
from cosem_objects.dlms.security import Cipher, DecipheringError, InvocationCounters, SecurityLayer
from cosem_objects.dlms.settings import AUTHENTICATED, TITLE_SIZE, SecuritySettings
from cosem_objects.errors import RemoteProtocolError
from gateway.meters import DEFAULT_CLIENT_SYSTEM_TITLE


def check_authentic(apdu: bytes, security: SecuritySettings, counters: InvocationCounters, title: bytes) -> None:
    """A ciphered push: its tag has to fit under the meter's keys, and its counter to rise; then ``counters`` move.
    ``title`` is the system title that its connection goes by, for where neither settings nor push name one.

    Raises ``RemoteProtocolError``: ``DecipheringError``, ``ReplayedCounterError``, ``WrongSystemTitleError``.
    """
    if not security.needs_keys:
        raise DecipheringError("a ciphered push of a meter that has no keys")
    ciphered = CipheredApdu.parse(apdu)
    if not ciphered.control & AUTHENTICATED:
        raise DecipheringError("a push without an authentication tag")
    peer_title = security.meter_system_title or ciphered.title or title
    if len(peer_title) != TITLE_SIZE:
        raise DecipheringError("a ciphered push of a meter whose system title is not known")
    own_title = security.client_system_title or bytes.fromhex(DEFAULT_CLIENT_SYSTEM_TITLE)
    layer = SecurityLayer(security, Cipher(security.ek, security.ak), counters, own_title, peer_title)
    check_notification(layer.unprotect(apdu))


def check_notification(apdu: bytes) -> None:
    """Raises ``RemoteProtocolError`` for any other APDU, and for none."""
    if not isinstance(decode(apdu), DataNotification | EventNotification):
        raise RemoteProtocolError("no notification")
