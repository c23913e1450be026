"""What the APDUs of one conversation say, without their secrets: for traces."""

from __future__ import annotations

from cosem_objects.dlms.ciphered import is_ciphered
from cosem_objects.dlms.describe import Context, Keys, Node, describe_apdu
from cosem_objects.dlms.masking.masker import Masker


class TraceDescriber:
    """The memory of one conversation. ``keys``: with them, what is encrypted is described too."""

    def __init__(self, keys: Keys, *, shows_secrets: bool = False) -> None:
        # What deciphering brings to light is a conversation of its own for a masker: it sees nothing in clear.
        mask = None if shows_secrets else Masker().mask
        self._context = Context(keys, show_secrets=shows_secrets, mask=mask)

    def describe(self, apdu: bytes, masked: bytes, sender: str) -> Node | None:
        """``masked``: the same APDU as its ``Masker`` gave it. ``sender``: ``client`` or ``server``.

        What can be masked before is described as it may be seen, so that nothing depends on two opinions about what
        a secret is. None for an APDU that is authenticated
        and not encrypted, and holds a secret: with octets overwritten, its tag could only seem wrong.
        """
        if masked != apdu and is_ciphered(apdu):
            return None
        return describe_apdu(masked, self._context, sender)
