"""What the first APDU of a caller says of its sender. Pure. A title that is claimed so is no proof."""

from __future__ import annotations

from cosem_objects.axdr import Data, DataType
from cosem_objects.dlms.apdu import DataNotification, decode
from cosem_objects.dlms.ciphered import CipheredApdu
from cosem_objects.dlms.settings import TITLE_SIZE
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.octets import OctetReader

_GENERAL_CIPHERING = 0xDD


def sender_of(apdu: bytes) -> bytes | None:
    """The system title of the meter that made this APDU, if it names one: in the header of general-glo-ciphering,
    general-ded-ciphering or general-ciphering, or in clear as the first of the values of a DataNotification (a push
    object list that begins with attribute 5 of Security setup, the server's system title)."""
    try:
        title = _title_in(apdu)
    except RemoteProtocolError:
        return None
    return title if len(title) == TITLE_SIZE else None


def _title_in(apdu: bytes) -> bytes:
    """Raises ``RemoteProtocolError``."""
    if apdu[:1] == bytes((_GENERAL_CIPHERING,)):
        reader = OctetReader(apdu, "general-ciphering", 1)
        reader.string()  # transaction-id
        return reader.string()
    if apdu[:1] == bytes((DataNotification.TAG,)):
        notification = decode(apdu)
        assert isinstance(notification, DataNotification)
        return _first_octets(notification.body)
    return CipheredApdu.parse(apdu).title


def _first_octets(body: Data) -> bytes:
    values = body.value if body.type in {DataType.STRUCTURE, DataType.ARRAY} else (body,)
    first = values[0] if isinstance(values, tuple) and values else None
    return first.octets if isinstance(first, Data) and first.type is DataType.OCTET_STRING else b""
