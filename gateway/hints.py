"""Hints: what meters say and do unasked, and what it is worth. A hint wakes a meter's waiting orders; it never judges.

A push says "something happened here". Its values are not even looked at: the order that waits reads the meter itself,
now instead of later, and the verdict comes from what it reads. So the worst that a forged, repeated or lost hint can
do is a reading too many, or one that comes at its usual time. To keep even that small, a push of a meter that has keys
has to be authenticated under them, with a counter that rises; each hint counts once; and a meter is woken only so
often.

What was seen is kept in memory. After a restart a push that is repeated costs one reading.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import ValidationError

from cosem_objects.dlms.ciphered import is_ciphered
from cosem_objects.dlms.security import (
    DecipheringError,
    InvocationCounters,
    ReplayedCounterError,
    WrongSystemTitleError,
)
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import RemoteProtocolError, SettingError
from gateway.calling_in.push_check import check_authentic, check_notification
from gateway.meter_body import MeterBody
from gateway.store.records import MeterRecord
from gateway.store.store import Meters, StoreBroken, StoreError
from gateway.vault import VaultError
from transports.endpoint import EndpointError
from transports.log_limit import LogLimit

logger = logging.getLogger(__name__)

_WAITING_MAX = 10_000
"""Hints that wait to be looked at; more are dropped. They only make something earlier that happens anyway."""
_AT_A_TIME = 8
_METERS_MAX = 50_000
"""Meters of which is kept what they said lately."""
_REMEMBERED_MAX = 32
"""Pushes without a counter, of one meter."""
_REMEMBERED_SECONDS = 3600.0
_BEHIND_ONE_MAX = 32
"""Meters behind one connection that are woken together."""
_FLOOD_SECONDS = 10.0
_FLOOD_MAX = 20
"""Of what one sender says in that time, how much is looked at."""
_FLOOD_OF_CONNECTION_MAX = 500
"""And of what comes over one connection, whatever titles stand in it. guess: a concentrator's meters in an alarm."""


class HintOutcome(StrEnum):
    """What became of one hint: the first two wake a meter's orders, now or in a moment. In the sequence in which one
    counts for several meters behind one connection."""

    WOKEN = "woken"
    DELAYED = "delayed"
    """The meter was woken a moment ago: it is once more, when the interval is over."""
    REPEATED = "repeated"
    REPLAYED = "replayed"
    """The counter did not rise."""
    FORGED = "forged"
    """The tag does not fit, or there is none."""
    PLAIN = "plain"
    """In clear, of a meter that has keys."""
    GARBLED = "garbled"
    UNKNOWN = "unknown-meter"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class HintRules:
    believe_plain: bool = False
    """Pushes in clear wake orders of meters that have keys, too."""
    push_interval_seconds: float = 10.0
    """Pushes wake a meter at most so often."""
    presence_interval_seconds: float = 60.0
    """So does coming online or calling in, which nothing proves."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who is said to say it: by the endpoint that it came from, by the system title that is claimed, or both."""

    endpoint: str = ""
    title: bytes = b""
    meter: str = ""
    """Of the registry, where it is known already."""


@dataclass(slots=True)
class _Wakings:
    """When a meter was woken by one kind of hint, and whether it will be once more."""

    last_at: float = float("-inf")
    timer: asyncio.TimerHandle | None = None

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


@dataclass(slots=True)
class _Known:
    """What a meter said lately."""

    version: int
    counters: InvocationCounters = field(default_factory=InvocationCounters)
    remembered: deque[tuple[bytes, float]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_MAX), repr=False)
    """Digests, and when they came."""
    pushed: _Wakings = field(default_factory=_Wakings)
    present: _Wakings = field(default_factory=_Wakings)

    def stop(self) -> None:
        self.pushed.stop()
        self.present.stop()


class PushHints:
    """Looks at hints, in a task of its own (``run``). ``pushed`` and ``present`` may be called at any time."""

    def __init__(
        self,
        meters: Meters,
        rules: HintRules,
        *,
        on_outcome: Callable[[HintOutcome], None] = lambda _outcome: None,
    ) -> None:
        self.rules = rules
        self._meters = meters
        self._on_outcome = on_outcome
        self._waiting: asyncio.Queue[tuple[Sender, bytes | None]] = asyncio.Queue(_WAITING_MAX)
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._counts: Counter[Sender] = Counter()
        self._counts_of_connections: Counter[str] = Counter()
        self._counted_since = float("-inf")
        self._log = LogLimit(logger)

    def pushed(self, sender: Sender, apdu: bytes) -> None:
        """A meter said this unasked."""
        self._take(sender, apdu)

    def present(self, sender: Sender) -> None:
        """A meter is there, or so it looks."""
        self._take(sender, None)

    async def run(self) -> None:
        """For ever. Raises ``StoreBroken``."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_AT_A_TIME):
                    group.create_task(self._work())
        finally:
            for known in self._known.values():
                known.stop()

    async def look_at(self, sender: Sender, apdu: bytes | None) -> HintOutcome:
        """One hint; ``None`` = it only shows that the meter is there. Raises ``StoreError``."""
        if sender.meter:
            await self._meters.seen(sender.meter)
            return HintOutcome.WOKEN
        found = await self._meters.find(endpoint=sender.endpoint, system_title=sender.title, limit=_BEHIND_ONE_MAX)
        outcomes = []
        for record in found:  # several, where one connection leads to several meters
            if apdu is None:
                wakings = self._known_of(record).present
                outcomes.append(await self._wake(record, wakings, self.rules.presence_interval_seconds))
            else:
                outcomes.append(await self._judge(record, sender, apdu))
        return min(outcomes, key=_BEST_FIRST.index, default=HintOutcome.UNKNOWN)

    def _take(self, sender: Sender, apdu: bytes | None) -> None:
        try:
            if self._is_flood(sender):
                self._on_outcome(HintOutcome.DROPPED)
            else:
                self._waiting.put_nowait((sender, apdu))
        except asyncio.QueueFull:
            self._on_outcome(HintOutcome.DROPPED)

    def _is_flood(self, sender: Sender) -> bool:
        """Counts it if it is none, so that a flood of new names is not kept either."""
        if sender.meter:
            return False  # put off by ourselves, once in an interval
        now = asyncio.get_running_loop().time()
        if now - self._counted_since >= _FLOOD_SECONDS:
            self._counts.clear()
            self._counts_of_connections.clear()
            self._counted_since = now
        if (
            self._counts[sender] >= _FLOOD_MAX
            or self._counts_of_connections[sender.endpoint] >= _FLOOD_OF_CONNECTION_MAX
            or len(self._counts) >= _METERS_MAX
        ):
            return True
        self._counts[sender] += 1
        self._counts_of_connections[sender.endpoint] += 1
        return False

    async def _work(self) -> None:
        while True:
            sender, apdu = await self._waiting.get()
            try:
                outcome = await self.look_at(sender, apdu)
            except StoreBroken:
                raise
            except (StoreError, VaultError) as error:
                self._log.log(logging.ERROR, "a hint is let go, the store fails: %s", error)
                outcome = HintOutcome.DROPPED
            except Exception as error:  # whatever strangers send must not end the service
                self._log.log(logging.ERROR, "a hint is let go, it could not be judged: %s", type(error).__name__)
                outcome = HintOutcome.DROPPED
            self._on_outcome(outcome)
            if outcome in _SUSPICIOUS and apdu is not None:
                extra = {"link": sender.endpoint}
                self._log.log(logging.WARNING, "a push is not believed: %s", outcome, extra=extra)

    async def _judge(self, record: MeterRecord, sender: Sender, apdu: bytes) -> HintOutcome:
        """Raises ``StoreError``."""
        with_secrets = await self._meters.get(record.id)
        if with_secrets is None:
            return HintOutcome.UNKNOWN
        known = self._known_of(with_secrets)
        try:
            security = MeterBody.of_record(with_secrets).security.settings()
            outcome = self._check(known, security, sender, apdu)
        except (SettingError, EndpointError, ValidationError):
            return HintOutcome.UNKNOWN  # its orders say what is wrong with its settings
        if outcome is not None:
            return outcome
        return await self._wake(record, known.pushed, self.rules.push_interval_seconds)

    def _check(self, known: _Known, security: SecuritySettings, sender: Sender, apdu: bytes) -> HintOutcome | None:
        """What speaks against this push; None = nothing."""
        try:
            if is_ciphered(apdu):
                check_authentic(apdu, security, known.counters, sender.title)
                return None
            check_notification(apdu)
        except WrongSystemTitleError:
            return HintOutcome.UNKNOWN
        except ReplayedCounterError:
            return HintOutcome.REPLAYED
        except DecipheringError:
            return HintOutcome.FORGED
        except RemoteProtocolError:
            return HintOutcome.GARBLED
        if security.needs_keys and not self.rules.believe_plain:
            return HintOutcome.PLAIN
        name = hashlib.sha256(apdu).digest()
        now = asyncio.get_running_loop().time()
        if any(digest == name and now - at < _REMEMBERED_SECONDS for digest, at in known.remembered):
            return HintOutcome.REPEATED
        known.remembered.append((name, now))
        return None

    def _known_of(self, record: MeterRecord) -> _Known:
        known = self._known.get(record.id)
        if known is None or known.version != record.version:
            # Changed settings may be a new key, or another meter: what was seen says nothing about it.
            if known is not None:
                known.stop()
            known = self._known[record.id] = _Known(record.version)
            if len(self._known) > _METERS_MAX:
                self._known.popitem(last=False)[1].stop()
        self._known.move_to_end(record.id)
        return known

    async def _wake(self, record: MeterRecord, wakings: _Wakings, interval_seconds: float) -> HintOutcome:
        """Make its waiting orders due now. Raises ``StoreError``."""
        loop = asyncio.get_running_loop()
        wait_seconds = wakings.last_at + interval_seconds - loop.time()
        if wait_seconds > 0:
            if wakings.timer is None:
                wakings.timer = loop.call_later(wait_seconds, self._wake_again, record.id, wakings)
            return HintOutcome.DELAYED
        wakings.last_at = loop.time()
        count = await self._meters.seen(record.id)
        logger.debug("%d orders are due by a hint", count, extra={"meter": record.id})
        return HintOutcome.WOKEN

    def _wake_again(self, meter_id: str, wakings: _Wakings) -> None:
        wakings.timer = None
        wakings.last_at = asyncio.get_running_loop().time()
        self._take(Sender(meter=meter_id), None)


_BEST_FIRST = tuple(HintOutcome)
_SUSPICIOUS = frozenset({HintOutcome.FORGED, HintOutcome.REPLAYED, HintOutcome.PLAIN, HintOutcome.UNKNOWN})
