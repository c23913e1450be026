"""The meter's global keys, and the invocation counters that belong to each encryption key.

A transfer is one record of the ledger: before it, the meter holds the old keys, after it, the new ones, and nothing
lies between, whenever the power goes. The counters of a new encryption key begin anew; those of the old one are kept,
so that a key which comes back goes on where it was, and no nonce is used twice.

By the standard (IEC 62056-6-2, Security setup, method 2) new keys are active as soon as the answer has been sent. In
this meter an association that is open then goes on under the keys with which it was opened, to its end, and the next
one needs the new keys: our choice, as a client that missed the answer can still say good-bye.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cosem_objects.dlms.security import COUNTER_MAX, InvocationCounters
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.security_setup import KeyId
from sim_meters.ledger import Ledger
from sim_meters.records import CountersKept, KeysTransferred, digest_of_key

# The meter's own counters are reserved in blocks, with one record each; a restart skips the rest of the block.
_COUNTERS_BLOCK = 1000


class MeterCounters(InvocationCounters):
    """Those of a meter, which can be told to send a wrong one."""

    __slots__ = ("falls_by",)

    def __init__(self, next_own: int, last_received: int) -> None:
        super().__init__(next_own, last_received)
        self.falls_by = 0
        """The next one that is sent is lower by so much; those after it are right again."""

    def take(self) -> int:
        fall, self.falls_by = self.falls_by, 0
        return max(super().take() - fall, 0)

    def jump(self, by: int) -> None:
        """Go on so much further, but not beyond the last counter that there is."""
        self.refill(range(min(self.next_own + by, COUNTER_MAX), COUNTER_MAX + 1))


class MeterKeys:
    """``security`` and ``master_key`` are those of the factory; what the ledger says comes before them."""

    def __init__(self, security: SecuritySettings, master_key: bytes, ledger: Ledger) -> None:
        self._security = security
        self._master_key = master_key
        self._ledger = ledger
        self._counters: dict[str, MeterCounters] = {}  # by the digest of their key

    @property
    def security(self) -> SecuritySettings:
        """The settings of the next association."""
        ak = self._ledger.keys.get(KeyId.AUTHENTICATION_KEY, self._security.ak)
        return replace(self._security, ek=self._ek, ak=ak)

    @property
    def _ek(self) -> bytes:
        return self._ledger.keys.get(KeyId.GLOBAL_UNICAST_ENCRYPTION_KEY, self._security.ek)

    @property
    def master_key(self) -> bytes:
        return self._ledger.keys.get(KeyId.MASTER_KEY, self._master_key)

    @property
    def counters(self) -> MeterCounters:
        """Of the present unicast encryption key: they outlive every association."""
        digest = digest_of_key(self._ek)
        if digest not in self._counters:
            kept = self._ledger.counters_of(digest)
            self._counters[digest] = MeterCounters(kept.sent_limit, kept.received)
        return self._counters[digest]

    def forget_counters(self) -> None:
        """Begin anew with both counters of the present key: a meter that lost its memory. Raises ``LedgerError``.

        Associations that are open go on with the old ones, so they have to end with this.
        """
        digest = digest_of_key(self._ek)
        self._ledger.append(CountersKept(received=-1, sent_limit=1, key_digest=digest))
        self._counters.pop(digest, None)

    def transfer(self, keys: Mapping[KeyId, bytes]) -> None:
        """Replace keys, all or none. On the disk when it returns. Raises ``LedgerError``: then nothing is certain."""
        self._ledger.append(KeysTransferred(keys))

    def keep_counters(self) -> None:
        """Write down the counters that moved: due before anything is answered. Raises ``LedgerError``.

        Also of a key that was replaced, as long as an association goes on under it.
        """
        for digest, counters in self._counters.items():
            kept, received, next_own = self._ledger.counters_of(digest), counters.last_received, counters.next_own
            if next_own > kept.sent_limit:
                self._ledger.append(CountersKept(received, next_own + _COUNTERS_BLOCK, digest))
            elif received > kept.received:
                self._ledger.append(CountersKept(received, kept.sent_limit, digest))
