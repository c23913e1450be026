"""New global keys for one meter, such that neither side ever stands without a key that works.

How to think about it: from the first byte of the transfer until the proof, the meter holds either the old keys or the
new ones, and nobody can say which. So both are kept: the new keys are committed as *pending* before anything leaves,
and the old ones are given up only when the meter has opened an association under the new ones. An answer "success"
is not yet that proof, a lost answer is no proof of the contrary, and an exception-response, which anybody on the wire
can send, proves nothing at all.

A proof of the old keys is final, too: its APDUs carry higher invocation counters than the transfer did, so a transfer
that is still under way somewhere would be refused as a replay.

Only the unicast encryption key and the authentication key can be transferred here: no association shows which master
key or broadcast key a meter holds. A meter that takes one key of a transfer and not the other breaks the standard,
and ends as unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from cosem_objects import security_setup
from cosem_objects.dlms.apdu import ActionResult, ExceptionResponse, ServiceError
from cosem_objects.dlms.refusals import ServiceRefused
from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.dlms.settings import Ciphering, Protection
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError, SettingError
from cosem_objects.names import spell
from cosem_objects.obis import ObisCode
from cosem_objects.security_setup import KEY_SIZE, KeyId, Method, key_transfer_data
from gateway.meters import Meter
from gateway.session import Connect, Session, connect, open_session
from transports.channel import ChannelError


@dataclass(frozen=True, slots=True, repr=False)
class NewKeys:
    """The keys to be transferred; an empty one stays as it is. Raises ``SettingError``."""

    ek: bytes = b""
    ak: bytes = b""

    def __post_init__(self) -> None:
        if not (self.ek or self.ak):
            raise SettingError("new keys: at least one is needed")
        for name, key in (("new-ek", self.ek), ("new-ak", self.ak)):
            if key and len(key) != KEY_SIZE:
                raise SettingError(f"{name}: expected {KEY_SIZE} octets, got {len(key)}")

    @property
    def by_id(self) -> dict[KeyId, bytes]:
        both = {KeyId.GLOBAL_UNICAST_ENCRYPTION_KEY: self.ek, KeyId.AUTHENTICATION_KEY: self.ak}
        return {key_id: key for key_id, key in both.items() if key}

    def __repr__(self) -> str:
        return f"<NewKeys {', '.join(key_id.name.lower() for key_id in self.by_id)}>"


class KeysHeld(StrEnum):
    """Which keys the meter holds. Of ``UNKNOWN`` follows: keep both, and prove again."""

    NEW = "new"
    OLD = "old"
    UNKNOWN = "unknown"
    NOT_SENT = "not-sent"
    """Nothing was asked of the meter: it holds what it held. Said by whoever comes to no session; never by a proof."""


@dataclass(frozen=True, slots=True)
class KeyTransfer:
    """How a transfer ended: proven, or unknown; and the story in words."""

    held: KeysHeld
    detail: str
    is_counter_behind: bool = False
    """Of ``UNKNOWN``: under the new keys the meter said that our invocation counter is behind. It may have held them
    before, and kept their counter; who asks for that can prove once more."""


@dataclass(frozen=True, slots=True)
class KeyChange:
    """A meter between two sets of keys. Raises ``SettingError`` if they could not be told apart afterwards.

    ``meter.security`` has the old keys. ``counters`` are those of the old encryption key, and ``new_counters`` of the
    new one, as far as it was used: after a crash, as they were written down, or higher. Both are used up further, so
    whoever keeps counters keeps them again afterwards.
    """

    meter: Meter
    new_keys: NewKeys
    counters: InvocationCounters
    new_counters: InvocationCounters
    connect: Connect = connect

    @classmethod
    def begin(
        cls, meter: Meter, new_keys: NewKeys, counters: InvocationCounters, connect: Connect = connect
    ) -> KeyChange:
        """To keys that were never used before: the counters of a new encryption key begin anew."""
        is_new = new_keys.ek not in (b"", meter.security.ek)
        return cls(meter, new_keys, counters, InvocationCounters() if is_new else counters, connect)

    def __post_init__(self) -> None:
        security, new = self.meter.security, self.new_meter.security
        if security.ciphering is Ciphering.NONE or security.protection is Protection.ENCRYPTED:
            raise SettingError(
                "key transfer: expected a ciphered and authenticated association; else nothing is proven"
            )
        if not security.is_high_level:  # without a challenge, the beginning of an old association could be played back
            raise SettingError("key transfer: expected high level security (hls-gmac); else nothing is proven")
        if (security.ek, security.ak) == (new.ek, new.ak):
            raise SettingError("new keys: the meter's present ones were given")
        if (security.ek == new.ek) != (self.counters is self.new_counters):
            raise SettingError("key transfer: expected counters of their own for a new encryption key, and only for it")

    @property
    def new_meter(self) -> Meter:
        """The meter as it is spoken to under the new keys."""
        security, new = self.meter.security, self.new_keys
        return replace(self.meter, security=replace(security, ek=new.ek or security.ek, ak=new.ak or security.ak))


Commit = Callable[[NewKeys], Awaitable[None]]
"""Writes the new keys down as pending, beside the old ones. On the disk when it returns."""


_OF_A_WRONG_MASTER_KEY = (ActionResult.HARDWARE_FAULT, ActionResult.TEMPORARY_FAILURE, ActionResult.OTHER_REASON)
"""How meters refuse what they cannot unwrap; the standard has no word for it."""


async def transfer_keys(
    session: Session,
    change: KeyChange,
    master_key: bytes,
    commit: Commit,
    *,
    obis: ObisCode = security_setup.DEFAULT_OBIS,
) -> KeyTransfer:
    """Transfer the keys over an open session under the old ones, and prove which the meter holds then.

    ``session`` is closed afterwards. ``commit`` is awaited before the first byte leaves; what it raises ends all, and
    nothing was sent. Raises ``LocalProtocolError`` for a master key of a wrong size. Whatever else goes wrong ends in
    ``KeysHeld``; and if this is cancelled, or the process killed, ``prove_keys`` tells later.
    """
    data = key_transfer_data(change.new_keys.by_id, master_key)
    await commit(change.new_keys)
    hint = ""
    try:
        response = await session.action(security_setup.CLASS_ID, obis, Method.KEY_TRANSFER, data)
    except (ChannelError, RemoteProtocolError, LocalProtocolError) as error:
        said, is_refused = f"no answer to the transfer: {error}", False
        await session.close()
    else:
        said = f"the meter answered {spell(ActionResult, response.result)}"
        is_refused = response.result != ActionResult.SUCCESS
        if response.result in _OF_A_WRONG_MASTER_KEY:
            hint = ", often a wrong master key"
        await session.release()
    proof = await prove_keys(_of_this_meter(change, session.meter_system_title), old_first=is_refused)
    if proof.held is KeysHeld.OLD:
        said += hint
    return replace(proof, detail=f"{said}; {proof.detail}")


async def prove_keys(change: KeyChange, *, old_first: bool = False) -> KeyTransfer:
    """Which keys the meter holds: those under which it opens an association. Asked for in rounds, as the profile says.

    After a restart ``change.meter.security`` should name the system title of the meter: one that answers under the old
    keys of a whole fleet could be any.
    """
    tries = [(KeysHeld.NEW, change.new_meter, change.new_counters), (KeysHeld.OLD, change.meter, change.counters)]
    if old_first:
        tries.reverse()
    failures: dict[KeysHeld, Exception] = {}
    for _ in range(change.meter.profile.doubt_rounds_max):
        for held, meter, counters in tries:
            await asyncio.sleep(meter.profile.wait_between_associations_seconds)
            failure = await _associate(meter, counters, change.connect)
            if failure is None:
                return KeyTransfer(held, f"the meter opened an association under the {held} keys")
            failures[held] = failure
    told = "; ".join(f"under the {held} keys: {failure}" for held, failure in failures.items())
    return KeyTransfer(KeysHeld.UNKNOWN, f"keep both; {told}", _says_counter_is_behind(failures[KeysHeld.NEW]))


async def _associate(meter: Meter, counters: InvocationCounters, connect: Connect) -> Exception | None:
    """Why no association could be opened; ``None`` if it could, so that both sides have shown the keys."""
    try:
        session = await open_session(meter, counters, connect)
    except (ChannelError, RemoteProtocolError, LocalProtocolError) as error:
        return error
    async with session:
        await session.release()
    return None


def _says_counter_is_behind(failure: Exception) -> bool:
    said = failure.response if isinstance(failure, ServiceRefused) else None
    return isinstance(said, ExceptionResponse) and said.service_error == ServiceError.INVOCATION_COUNTER_ERROR


def _of_this_meter(change: KeyChange, title: bytes) -> KeyChange:
    """The proof must come from the meter that the transfer went to."""
    security = replace(change.meter.security, meter_system_title=title or change.meter.security.meter_system_title)
    return replace(change, meter=replace(change.meter, security=security))
