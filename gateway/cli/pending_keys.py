"""The pending file of a key transfer: the new keys, on the disk before the first byte of them leaves.

How to think about it: it is there whole, or not at all, whenever the power goes; it is never replaced by another
change; and it says from which invocation counters on a proof may speak. Those are reserved ahead of their use: what a
killed command has used lies below what stands here, so that no nonce is used twice under one key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cosem_objects.dlms.security import COUNTER_MAX, InvocationCounters
from cosem_objects.dlms.settings import TITLE_SIZE, SecuritySettings
from cosem_objects.errors import SettingError
from gateway.key_transfer import NewKeys

_FORMAT = "stsgate key change, version 1"
_FILE_SIZE_MAX = 4096
_COUNTERS_RESERVED = 10_000
"""More than one command uses: 4 for each association, of which a proof opens at most two in each of 100 rounds."""


@dataclass(frozen=True, slots=True, repr=False)
class PendingKeys:
    """What the file says. The old keys are not in it, only a digest by which they are recognised."""

    new_keys: NewKeys
    old_keys_digest: str
    system_title: bytes
    """Of the meter, as it said itself in an association under the old keys."""
    next_old_counter: int
    """The first counter under the old encryption key that nobody has used for this change."""
    next_new_counter: int
    endpoint: str
    """Where the meter was; for people."""

    @classmethod
    def of(
        cls,
        new_keys: NewKeys,
        security: SecuritySettings,
        endpoint: str,
        counters: InvocationCounters,
        new_counters: InvocationCounters,
    ) -> PendingKeys:
        """For a change that begins, or goes on. ``security`` has the old keys and the meter's title; the counters are
        those of which none was used yet for what comes now."""
        return cls(
            new_keys,
            _digest_of(security),
            security.meter_system_title,
            _after_use(counters),
            _after_use(new_counters),
            endpoint,
        )

    @classmethod
    def read(cls, path: Path) -> PendingKeys | None:
        """What stands in the file; ``None`` if there is none. Raises ``SettingError``."""
        try:
            with path.open("rb") as file:
                octets = file.read(_FILE_SIZE_MAX + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SettingError(f"pending: {path} cannot be read ({error.strerror})") from None
        try:
            return _from_json(octets)
        except (ValueError, KeyError, TypeError, RecursionError):  # what it holds is not repeated
            raise SettingError(f"pending: {path} is not the file of a key transfer") from None

    def write(self, path: Path, *, is_new: bool) -> None:
        """Put it on the disk, readable for its owner alone. Raises ``SettingError``, also if ``is_new`` and somebody
        else wrote one meanwhile."""
        # A link, unlike a renaming, never takes the place of a file that is there.
        try:
            _put(path, self._to_json(), os.link if is_new else os.replace)
        except FileExistsError:
            raise SettingError(f"pending: {path} was written by somebody else just now; nothing was sent") from None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            told = "; nothing was sent" if is_new else ""
            raise SettingError(f"pending: {path} cannot be written ({reason}){told}") from None

    def is_from(self, security: SecuritySettings) -> bool:
        """Whether the change began with these keys."""
        return hmac.compare_digest(self.old_keys_digest, _digest_of(security))

    def counters(self, old_ek: bytes, said: InvocationCounters) -> tuple[InvocationCounters, InvocationCounters]:
        """Those of the old keys, and of the new ones: not below the file's, nor below what the meter said. Both are
        the same if the encryption key stays."""
        old = InvocationCounters(max(self.next_old_counter, said.next_own))
        if self.new_keys.ek in (b"", old_ek):
            return old, old
        return old, InvocationCounters(max(self.next_new_counter, said.next_own))

    def reserving(self, counters: InvocationCounters, new_counters: InvocationCounters) -> PendingKeys:
        """The same before more counters are used."""
        return replace(self, next_old_counter=_after_use(counters), next_new_counter=_after_use(new_counters))

    def _to_json(self) -> bytes:
        content = {
            "format": _FORMAT,
            "endpoint": self.endpoint,
            "system_title": self.system_title.hex().upper(),
            "old_keys_sha256": self.old_keys_digest,
            "new_ek": self.new_keys.ek.hex(),
            "new_ak": self.new_keys.ak.hex(),
            "next_old_counter": self.next_old_counter,
            "next_new_counter": self.next_new_counter,
        }
        return json.dumps(content, indent=2).encode() + b"\n"

    def __repr__(self) -> str:
        return f"<PendingKeys for {self.system_title.hex().upper()}>"


def _from_json(octets: bytes) -> PendingKeys:
    """Raises ``ValueError``, ``KeyError``, ``TypeError``, ``RecursionError`` for anything that is not ours."""
    content: dict[str, Any] = json.loads(octets)
    if len(octets) > _FILE_SIZE_MAX or content["format"] != _FORMAT:
        raise ValueError
    title = bytes.fromhex(content["system_title"])
    next_old, next_new = content["next_old_counter"], content["next_new_counter"]
    if len(title) != TITLE_SIZE or not all(
        type(one) is int and 0 <= one <= COUNTER_MAX + 1 for one in (next_old, next_new)
    ):
        raise ValueError
    try:
        new_keys = NewKeys(bytes.fromhex(content["new_ek"]), bytes.fromhex(content["new_ak"]))
    except SettingError:
        raise ValueError from None
    return PendingKeys(new_keys, str(content["old_keys_sha256"]), title, next_old, next_new, str(content["endpoint"]))


def _after_use(counters: InvocationCounters) -> int:
    return min(counters.next_own + _COUNTERS_RESERVED, COUNTER_MAX + 1)


def _digest_of(security: SecuritySettings) -> str:
    return hashlib.sha256(security.ek + security.ak).hexdigest()


def _put(path: Path, content: bytes, place: Callable[[Path, Path], None]) -> None:
    """Write beside the place, then take it in one step; both are on the disk afterwards. Raises ``OSError``."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    written = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        place(written, path)
    finally:
        written.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
