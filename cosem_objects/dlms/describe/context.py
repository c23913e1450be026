"""What was said before in a conversation, and the keys: without them an answer is only a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cosem_objects.dlms.describe.naming import Place
from cosem_objects.dlms.describe.source import Source
from cosem_objects.errors import RemoteProtocolError

GATHERED_SIZE_MAX = 1 << 20
"""Octets of blocks that are kept until their last one comes."""
GATHERED_KEYS_MAX = 64
_INVOKE_ID = 0x0F


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """What is known of an association from elsewhere; empty = not known. Keys have 16 octets (32 in suite 2), titles 8.

    A dedicated key and titles that are seen in the conversation itself come before these.
    """

    ek: bytes = b""
    ak: bytes = b""
    dedicated_key: bytes = b""
    client_system_title: bytes = b""
    meter_system_title: bytes = b""

    def __repr__(self) -> str:
        given = [name for name in ("ek", "ak", "dedicated_key") if getattr(self, name)]
        return f"<Keys {', '.join(given) or 'none'}>"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for: its places, and whether it was one with list."""

    places: tuple[Place, ...]
    is_list: bool = False


class Context:
    """The memory of one conversation between a client and a meter. Not shared between conversations."""

    def __init__(
        self, keys: Keys | None = None, *, show_secrets: bool = False, mask: Callable[[bytes], bytes] | None = None
    ) -> None:
        self.show_secrets = show_secrets
        self.mask = mask
        """What is done to a deciphered APDU before it is described: secrets overwritten, its length kept."""
        self.keys = keys or Keys()
        self.client_title = self.keys.client_system_title
        self.meter_title = self.keys.meter_system_title
        self.dedicated_key = self.keys.dedicated_key
        self._asked: dict[tuple[str, int], Asked] = {}
        self._gathered: dict[tuple[str, ...], _Gathered] = {}

    def begin(self) -> None:
        """A new association: what was asked in the one before gets no answer in this one."""
        self.dedicated_key = self.keys.dedicated_key
        self._asked.clear()
        self._gathered.clear()

    def ask(self, service: str, invoke: int, asked: Asked) -> None:
        self._asked[service, invoke & _INVOKE_ID] = asked

    def asked(self, service: str, invoke: int, *, is_last: bool = True) -> Asked:
        """What the request with this invoke-id asked for. After its last answer it is forgotten, so that an answer
        whose request was not captured does not get the name of the one before."""
        key = (service, invoke & _INVOKE_ID)
        nothing = Asked(())
        return self._asked.pop(key, nothing) if is_last else self._asked.get(key, nothing)

    def gather(self, key: tuple[str, ...], number: int, part: Source, *, is_last: bool) -> Source | None:
        """Add a block. All of them once the last one came. Raises ``RemoteProtocolError`` when one is missing."""
        gathered = self._gathered.get(key)
        if number <= 1 or gathered is None:
            if number > 1:
                raise RemoteProtocolError(f"block {number} without the blocks before it: its part cannot be read")
            if len(self._gathered) >= GATHERED_KEYS_MAX:
                self._gathered.clear()
            gathered = self._gathered[key] = _Gathered(number - 1)
        if number == gathered.number:
            return None  # a block that was sent again
        if number != gathered.number + 1:
            del self._gathered[key]
            raise RemoteProtocolError(f"block {number} came after block {gathered.number}: the whole cannot be read")
        gathered.number = number
        gathered.size += len(part)
        gathered.parts.append(part)
        if gathered.size > GATHERED_SIZE_MAX:
            del self._gathered[key]
            raise RemoteProtocolError(f"blocks of more than {GATHERED_SIZE_MAX} octets together")
        if not is_last:
            return None
        del self._gathered[key]
        return Source.joined(gathered.parts)


class _Gathered:
    __slots__ = ("number", "parts", "size")

    def __init__(self, number: int) -> None:
        self.number = number
        self.size = 0
        self.parts: list[Source] = []
