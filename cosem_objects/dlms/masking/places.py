"""Where secrets stand, and how much of a value must be hidden there."""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum

from cosem_objects import association_ln, security_setup, token_gateway
from cosem_objects.dlms.apdu import AttributeDescriptor, MethodDescriptor
from cosem_objects.obis import ObisCode


class Cover(IntEnum):
    """How much of a value is hidden; the higher, the more."""

    NOTHING = 0
    DIGITS = 1
    """What reads as a token: 20 digits in a row, as text."""
    TOKENS = 2
    """What may be a token: strings, and numbers, of a certain size."""
    STRINGS = 3
    """And all strings."""
    ALL = 4
    """Everything but tags, lengths and numbers of elements."""


_SECRET_ATTRIBUTES = frozenset(
    {
        (association_ln.CLASS_ID, association_ln.Attribute.SECRET),
        (19, 7),  # IEC local port setup: the passwords P1, P2 and W5
        (19, 8),
        (19, 9),
        (44, 5),  # PPP setup: PPP_authentication
        (45, 3),  # GPRS modem setup: PIN_code
        (46, 4),  # SMTP setup: password
        (token_gateway.CLASS_ID, token_gateway.Attribute.TOKEN),
    }
)
_SECRET_METHODS = frozenset(
    {
        (association_ln.CLASS_ID, 2),  # change_HLS_secret
        (security_setup.CLASS_ID, security_setup.Method.KEY_TRANSFER),
        (72, 7),  # M-Bus client: set_encryption_key
        (72, 8),  # M-Bus client: transfer_key
        (token_gateway.CLASS_ID, token_gateway.METHOD_ENTER),
    }
)
_SECRET_CLASSES = frozenset(class_id for class_id, _ in _SECRET_ATTRIBUTES)
_BUFFER = (7, 2)  # Profile generic: a log may show the tokens that were entered
_REPLY_TO_HLS = (association_ln.CLASS_ID, association_ln.METHOD_REPLY_TO_HLS_AUTHENTICATION)


class Places:
    """``secret_objects``: further objects, of a vendor say, all of whose values are secrets."""

    def __init__(self, secret_objects: Collection[ObisCode] = ()) -> None:
        self._secret_objects = frozenset(secret_objects)

    def read(self, what: AttributeDescriptor) -> Cover:
        """For a value that is read. A meter may repeat a token anywhere, in its name or in an alarm."""
        place = (what.class_id, what.attribute)
        is_secret = (
            place in _SECRET_ATTRIBUTES
            or what.obis in self._secret_objects
            or (what.attribute == 0 and what.class_id in _SECRET_CLASSES)  # all attributes at once
        )
        if is_secret:
            return Cover.ALL
        return Cover.TOKENS if what.class_id == token_gateway.CLASS_ID or place == _BUFFER else Cover.DIGITS

    def written(self, what: AttributeDescriptor) -> Cover:
        """For a value that is written, or that a meter sends unasked: any object may be a way for tokens."""
        return max(Cover.TOKENS, self.read(what))

    def handed(self, what: MethodDescriptor) -> Cover:
        """For the parameters of a method."""
        place = (what.class_id, what.method)
        if place == _REPLY_TO_HLS:  # an answer to a challenge shows nothing of the secret
            return Cover.NOTHING
        is_secret = place in _SECRET_METHODS or what.obis in self._secret_objects
        return Cover.ALL if is_secret or what.class_id == token_gateway.CLASS_ID else Cover.TOKENS

    def returned(self, what: MethodDescriptor) -> Cover:
        """For the return value of a method. A Token gateway may answer with its status, which is no secret."""
        if what.class_id == token_gateway.CLASS_ID and what.obis not in self._secret_objects:
            return Cover.TOKENS
        return self.handed(what)
