"""Masker: one conversation whose secrets are overwritten, APDU by APDU."""

from __future__ import annotations

from collections.abc import Collection

from cosem_objects.dlms import acse
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms.apdu.descriptors import read_attribute
from cosem_objects.dlms.apdu.initiate import read_conformance
from cosem_objects.dlms.apdu.notification import read_date_time
from cosem_objects.dlms.ciphered import COMPRESSED, TAG_SIZE, CipheredApdu, is_ciphered
from cosem_objects.dlms.masking.places import Cover, Places
from cosem_objects.dlms.masking.questions import Questions
from cosem_objects.dlms.masking.services import SERVICES
from cosem_objects.dlms.masking.walk import MASK, Walk
from cosem_objects.dlms.settings import AUTHENTICATED, ENCRYPTED
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.obis import ObisCode
from cosem_objects.octets import OctetReader

DEPTH_MAX = 4
"""APDUs inside APDUs that are looked into: prefix, ciphering, and two to spare."""
DEVICES_MAX = 64
"""Devices behind one wire whose questions are remembered."""

_OPEN_APDUS = frozenset(
    {
        xdlms.InitiateResponse.TAG,
        xdlms.SetResponse.TAG,
        xdlms.ExceptionResponse.TAG,
        xdlms.ConfirmedServiceError.TAG,
    }
)
"""Without a place for a secret."""

_USER_INFORMATION = 0xBE
_OPEN_FIELDS = {
    # protocol version, application context, calling AP title, requirements, mechanism
    acse.Aarq.TAG: frozenset({0x80, 0xA1, 0xA6, 0x8A, 0x8B}),
    # protocol version, application context, result, diagnostic, responding AP title, requirements, mechanism, StoC
    acse.Aare.TAG: frozenset({0x80, 0xA1, 0xA2, 0xA3, 0xA4, 0x88, 0x89, 0xAA}),
    acse.Rlrq.TAG: frozenset({0x80}),  # reason
    acse.Rlre.TAG: frozenset({0x80}),
}
"""Fields that hold no secret. The calling authentication value is not among them."""


class Masker:
    """The memory of one conversation between a client and a meter.

    ``secret_objects``: further objects, of a vendor say, all of whose values are secrets.
    """

    def __init__(self, secret_objects: Collection[ObisCode] = ()) -> None:
        self._secret_objects = secret_objects
        self._places = Places(secret_objects)
        self._questions = Questions()
        self._devices: dict[bytes, Masker] = {}

    def mask(self, apdu: bytes, depth: int = 0) -> bytes:
        """The same number of octets, the secrets among them overwritten. Never raises.

        To be called once with every APDU of the conversation, in both directions, in order.
        """
        walk = Walk(apdu)
        try:
            self._walk(walk, depth)
            walk.reader.finish()
        except RemoteProtocolError:
            return apdu[:1] + MASK * (len(apdu) - 1)
        return bytes(walk.masked)

    def _walk(self, walk: Walk, depth: int) -> None:
        if is_ciphered(walk.apdu):
            self._ciphered(walk, depth)
            return
        tag = walk.reader.octet()
        if tag in SERVICES:
            SERVICES[tag](walk, self._places, self._questions)
        elif tag in acse.TAGS:
            self._acse(walk, depth)
        elif tag in (xdlms.PrefixedRequest.TAG, xdlms.PrefixedResponse.TAG):
            self._prefixed(walk, depth)
        elif tag == xdlms.InitiateRequest.TAG:
            _initiate_request(walk)
        elif tag == xdlms.GeneralBlockTransfer.TAG:
            walk.reader.take(5)
            walk.hide_next(walk.reader.length())  # a piece of an APDU whose beginning may stand elsewhere
        elif tag == xdlms.DataNotification.TAG:
            walk.reader.take(4)
            read_date_time(walk.reader)
            walk.hide_value(Cover.TOKENS)
        elif tag == xdlms.EventNotification.TAG:
            if walk.reader.flag():
                walk.reader.take(walk.reader.length())
            walk.hide_value(self._places.written(read_attribute(walk.reader)))
        elif tag in _OPEN_APDUS:
            xdlms.decode(walk.apdu)
            walk.reader.rest()
        else:
            raise RemoteProtocolError("an APDU that is not known here")

    def _inside(self, walk: Walk, start: int, end: int, depth: int) -> None:
        """An APDU inside an APDU."""
        if depth >= DEPTH_MAX:
            walk.hide(start, end)
        else:
            walk.masked[start:end] = self.mask(walk.apdu[start:end], depth + 1)

    def _ciphered(self, walk: Walk, depth: int) -> None:
        ciphered = CipheredApdu.parse(walk.apdu)
        walk.reader.rest()
        if ciphered.control & ENCRYPTED:
            return
        end = len(walk.apdu)
        start = end - len(ciphered.sealed)
        if ciphered.control & COMPRESSED:
            walk.hide(start, end)
            return
        if ciphered.control & AUTHENTICATED:
            end = max(start, end - TAG_SIZE)
        self._inside(walk, start, end, depth)

    def _acse(self, walk: Walk, depth: int) -> None:
        acse.decode(walk.apdu)  # what is not sound is hidden altogether
        reader = walk.reader
        tag = walk.apdu[0]
        if tag == acse.Aarq.TAG:
            self._questions.forget()
        reader.length()
        while reader.remaining:
            field, size = reader.octet(), reader.length()
            start, end = reader.position, reader.position + size
            reader.take(size)
            if field == _USER_INFORMATION:
                inside = OctetReader(walk.apdu, "user-information", start + 1)
                apdu_end = inside.length() + inside.position
                self._inside(walk, inside.position, apdu_end, depth)
                walk.hide(apdu_end, end)
            elif field not in _OPEN_FIELDS[tag]:
                # An authentication value has a tag and a length of its own, which can stay.
                walk.hide(min(start + 2, end), end)

    def _prefixed(self, walk: Walk, depth: int) -> None:
        """For a device behind the one that gets it: a conversation of its own."""
        reader = walk.reader
        start = reader.position
        reader.octet()
        reader.take(reader.length())
        device = walk.apdu[start : reader.position]
        if device not in self._devices:
            if len(self._devices) >= DEVICES_MAX:
                self._devices.clear()
            self._devices[device] = Masker(self._secret_objects)
        self._devices[device]._inside(walk, reader.position, len(walk.apdu), depth)  # noqa: SLF001 - one of us
        reader.rest()


def _initiate_request(walk: Walk) -> None:
    reader = walk.reader
    if reader.flag():
        walk.hide_next(reader.length())  # the dedicated key
    if reader.flag():
        reader.octet()  # response-allowed
    if reader.flag():
        reader.octet()  # proposed quality of service
    reader.octet()
    read_conformance(reader)
    reader.take(2)
