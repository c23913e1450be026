"""The store, as the head-end sees it. SQLite is one side of it; every side passes ``tests/contract/test_stores.py``.

Every method that writes returns when its commit is on disk, and not before. Reads see all commits of this process.
All raise ``StoreError`` when the disk (or the database) fails: then nothing was written, or, for a commit whose answer
was lost, ``StoreError`` and the same call again does no harm.

The parts: who works on a lane holds a ``LaneClaim``, and every write of his carries its fence; a write under a fence
that is not the lane's any more raises ``LaneLost`` and changes nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime

from gateway.events import SendStarted
from gateway.orders import Order
from gateway.store.records import (
    AddResult,
    ApiKeyRecord,
    AuditRecord,
    Claimed,
    Details,
    EventRecord,
    Figures,
    LaneClaim,
    LinkRecord,
    MeterRecord,
    NewEvent,
    NextHead,
    OrderFilter,
    OrderRecord,
    OrderWork,
    Quota,
    Resolution,
    Step,
    WebhookDelivery,
    WebhookRecord,
)


class StoreError(Exception):
    """It could not be read or written."""


class StoreFull(StoreError):
    """There is no room, or no permission to write; it goes on when there is again."""


class StoreBroken(StoreError):
    """The file is damaged, or is not ours: a person has to look before anything else is written."""


class LaneLost(Exception):
    """The lane belongs to somebody else now: stop speaking to the meter."""


class NoSuchOrder(LookupError):
    """There is no order with this id."""


class InUse(Exception):
    """It cannot be removed while something depends on it; the message says what."""


class Meters(ABC):
    """The registry."""

    @abstractmethod
    async def put(self, meter: MeterRecord, *, who: str) -> bool:
        """Enter or change one meter; True if it is new. A secret that is not given stays as it was; an empty one is
        removed. Moves its lane to its link. Written into the audit."""

    @abstractmethod
    async def get(self, meter_id: str) -> MeterRecord | None:
        """One meter, with its secrets."""

    @abstractmethod
    async def list(self, *, after: str = "", limit: int = 100, link: str | None = None) -> Sequence[MeterRecord]:
        """Meters by id, those behind ``after``, without their secrets."""

    @abstractmethod
    async def find(self, *, endpoint: str = "", system_title: bytes = b"", limit: int = 100) -> Sequence[MeterRecord]:
        """Meters by id, at this endpoint or with this system title, without their secrets. The endpoint is written as
        ``str(Endpoint)`` does; several meters may be behind one."""

    @abstractmethod
    async def remove(self, meter_id: str, *, who: str) -> bool:
        """False if there was none. Raises ``InUse`` while it has open orders. Its history stays."""

    @abstractmethod
    async def seen(self, meter_id: str) -> int:
        """The meter is there: orders that wait because it was out of reach are due now. How many."""


class Links(ABC):
    """Limits of what meters share."""

    @abstractmethod
    async def put(self, link: LinkRecord, *, who: str) -> bool:
        """Enter or change limits; True if they are new."""

    @abstractmethod
    async def get(self, link_id: str) -> LinkRecord | None: ...

    @abstractmethod
    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[LinkRecord]:
        """Links by id: those with limits, and those that meters name without."""

    @abstractmethod
    async def shared(self) -> Sequence[LinkRecord]:
        """All that the dispatcher has to count: links with limits, and links of more than one meter."""

    @abstractmethod
    async def remove(self, link_id: str, *, who: str) -> bool:
        """Take its limits away; False if there were none."""


class Orders(ABC):
    """Orders, as callers and operators see them."""

    @abstractmethod
    async def add(self, orders: Sequence[tuple[Order, bytes]], *, who: str) -> Sequence[AddResult]:
        """Take orders, each with the octets of its body in canonical form (never stored: only a keyed digest of them).
        One result for each, in their sequence; each is taken whole or not at all, independent of the others. The same
        id and body again is ``Known``. A token that works once belongs to one order of its meter, for ever."""

    @abstractmethod
    async def get(self, order_id: str) -> OrderRecord | None: ...

    @abstractmethod
    async def list(
        self, order_filter: OrderFilter, *, before: int | None = None, limit: int = 100
    ) -> Sequence[OrderRecord]:
        """Newest first; ``before`` is the number of the last one seen."""

    @abstractmethod
    async def timeline(self, order_id: str) -> Sequence[EventRecord]:
        """All that happened to it, oldest first."""

    @abstractmethod
    async def cancel(self, order_id: str, *, who: str) -> OrderRecord:
        """Raises ``NoSuchOrder``, ``IllegalChange``. Cancelling a cancelled order does nothing."""

    @abstractmethod
    async def reconcile(self, order_id: str, *, who: str) -> OrderRecord:
        """Read its meter again, now. Raises ``NoSuchOrder``, ``IllegalChange``."""

    @abstractmethod
    async def resolve(self, order_id: str, resolution: Resolution, *, who: str) -> OrderRecord:
        """A person decides about a held order. ``yes`` and ``no`` settle its first open token, or the key-change set
        that it begins; ``retry`` sends again what cannot have arrived, and reads again what may have. Raises
        ``NoSuchOrder``, ``IllegalChange``."""


class Lanes(ABC):
    """One lane for each meter: mutex, fence and queue of its orders."""

    @abstractmethod
    async def recover(self) -> int:
        """At the start: nobody holds a lane any more, and what was being sent, or read back, is in doubt and due now.
        After a restore from a backup every open order is maybe delivered, and every counter jumps ahead. How many
        orders are in doubt by it."""

    @abstractmethod
    async def claim(self, quotas: Sequence[Quota], *, limit: int, ranks: Sequence[int]) -> Claimed:
        """Take up to ``limit`` due lanes: priorities in the sequence of ``ranks``, links within their quotas, the
        longest due first. An order in doubt is the head of its lane whatever its priority, and so is found under the
        best rank of its lane's due orders; so is one of which a part was delivered."""

    @abstractmethod
    async def claim_meter(self, meter_id: str) -> LaneClaim | None:
        """Take the lane of one meter for something else than its orders; None while somebody holds it. Raises
        ``LookupError`` for no such meter."""

    @abstractmethod
    async def begin_send(
        self, claim: LaneClaim, order: int, position: int, started: SendStarted, events: Sequence[NewEvent]
    ) -> None:
        """The intent to send the token at ``position``, on disk when this returns: only then may ``enter`` leave. SEND;
        the token has been tried ``started.tries`` times by it, and is maybe delivered. Raises ``LaneLost``,
        ``IllegalChange``."""

    @abstractmethod
    async def other_set_at(self, order: int) -> datetime | None:
        """Of the order's meter: when something last happened to another order that sent sections of another key-change
        set, and of which it is not known that the set took effect, or that its first section was refused. Until the
        meter has forgotten them, the order's own sections could be mixed with those."""

    @abstractmethod
    async def step(self, claim: LaneClaim, order: int, step: Step, then: NextHead) -> OrderWork | None:
        """Write what happened, and give what is next: the same order for STAY, the lane's next due order or None for
        NEXT, None for LEAVE. None means that the lane is given back. Raises ``LaneLost``, ``IllegalChange``."""

    @abstractmethod
    async def release(self, claim: LaneClaim, *, not_before: datetime | None = None) -> None:
        """Give the lane back without a word about orders, due again when its orders are, or later. Not an error when
        it is lost already."""

    @abstractmethod
    async def expire(self) -> int:
        """Open orders whose time is over and that cannot have arrived become EXPIRED; a partly delivered one that
        waits becomes HELD(expired). How many."""

    @abstractmethod
    async def repair(self) -> int:
        """Free lanes with open orders that are due later than their orders are: a defect, counted and mended."""


class Counters(ABC):
    """Client invocation counters: reserved on disk before use, never going back."""

    @abstractmethod
    async def reserve(self, meter_id: str, key_name: str, *, at_least: int, size: int) -> range | None:
        """A block that nobody used or will use again under this key, beginning at ``at_least`` or above. None if
        nothing is known of this key yet and ``at_least`` is 0. Ends at 0xFFFFFFFF; an empty range = used up."""

    @abstractmethod
    async def received(self, meter_id: str, key_name: str, last: int) -> None:
        """The highest counter of the meter that was verified; never goes back."""

    @abstractmethod
    async def last_received(self, meter_id: str, key_name: str) -> int:
        """-1 before the first."""


class Events(ABC):
    """The story of all orders, in one sequence."""

    @abstractmethod
    async def after(self, number: int, *, limit: int = 500, order: str | None = None) -> Sequence[EventRecord]: ...

    @abstractmethod
    async def last_number(self) -> int:
        """0 before the first."""


class Access(ABC):
    """API keys."""

    @abstractmethod
    async def add(self, key: ApiKeyRecord, digest: bytes, *, who: str) -> None:
        """Raises ``InUse`` if the id is taken."""

    @abstractmethod
    async def by_digest(self, digest: bytes) -> ApiKeyRecord | None: ...

    @abstractmethod
    async def list(self) -> Sequence[ApiKeyRecord]: ...

    @abstractmethod
    async def revoke(self, key_id: str, *, who: str) -> bool: ...

    @abstractmethod
    async def expire(self, key_id: str, *, at: datetime, who: str) -> bool:
        """It is good until then, or until it would have ended anyway; False if there is no such key, or it is
        revoked."""

    @abstractmethod
    async def used(self, key_ids: Sequence[str]) -> None:
        """Remember when these were used last."""


class Audit(ABC):
    """Who did what."""

    @abstractmethod
    async def append(self, *, who: str, action: str, subject: str, details: Details) -> None: ...

    @abstractmethod
    async def list(self, *, before: int | None = None, limit: int = 100) -> Sequence[AuditRecord]:
        """Newest first."""


class Webhooks(ABC):
    """Who is told of events; what is to be told is written in the transaction of the event itself."""

    @abstractmethod
    async def put(self, webhook: WebhookRecord, *, who: str) -> bool: ...

    @abstractmethod
    async def get(self, webhook_id: str) -> WebhookRecord | None: ...

    @abstractmethod
    async def list(self) -> Sequence[WebhookRecord]: ...

    @abstractmethod
    async def remove(self, webhook_id: str, *, who: str) -> bool: ...

    @abstractmethod
    async def due(self, *, limit: int) -> tuple[Sequence[WebhookDelivery], datetime | None]:
        """Deliveries that are due and not dead, oldest first; and when the next one will be."""

    @abstractmethod
    async def delivered(self, numbers: Sequence[int]) -> None: ...

    @abstractmethod
    async def failed(self, number: int, *, error: str, due_at: datetime | None) -> None:
        """Try again at ``due_at``; None = dead, until somebody replays it."""

    @abstractmethod
    async def dead(self, webhook_id: str, *, limit: int = 100) -> Sequence[WebhookDelivery]: ...

    @abstractmethod
    async def replay(self, webhook_id: str, *, who: str) -> int:
        """Dead deliveries are due again. How many."""


class Store(ABC):
    """All of it."""

    meters: Meters
    links: Links
    orders: Orders
    lanes: Lanes
    counters: Counters
    events: Events
    access: Access
    audit: Audit
    webhooks: Webhooks

    @abstractmethod
    def on_work(self, ring: Callable[[], None]) -> None:
        """``ring`` is called on the event loop after each commit by which a lane may have become due earlier."""

    @abstractmethod
    def on_events(self, ring: Callable[[], None]) -> None:
        """``ring`` is called on the event loop after each commit that appended events."""

    @abstractmethod
    def on_links(self, ring: Callable[[], None]) -> None:
        """``ring`` is called on the event loop after each commit that changed limits, or which links are shared."""

    @abstractmethod
    async def figures(self) -> Figures: ...

    @abstractmethod
    async def check(self) -> None:
        """Write something small. Raises ``StoreError`` when that is impossible."""

    @abstractmethod
    async def purge(self, *, closed_before: datetime, limit: int) -> int:
        """Remove orders that ended before then, with their story; what tokens they carried stays known. How many
        were removed; less than ``limit`` = none are left."""

    @abstractmethod
    async def close(self) -> None:
        """Commit what is under way, and let go of the file."""
