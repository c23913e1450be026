"""What the API is given: the store, its limits, and the doors into the rest of the service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.store.store import Store
from gateway.webhooks.target import TargetRule


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiLimits:
    """Limits, named as in ``config/gateway.toml``, section ``api``."""

    body_octets_max: int = 1 << 20
    batch_octets_max: int = 1 << 30
    batch_rows_max: int = 1_000_000
    """Rows of one bulk intake."""
    batch_rows: int = 100
    """Rows of a bulk intake that are committed at a time."""
    batches_max: int = 8
    """Bulk intakes at a time."""
    requests_per_second: float = 5000.0
    """Of one API key, on average."""
    requests_burst: int = 10_000
    failed_logins_per_minute: int = 60
    """From one address; more are answered with 429."""
    event_streams_max: int = 200
    event_ping_seconds: float = 15.0
    request_timeout_seconds: float = 30.0
    """For one request, its body included; of a bulk intake and a stream of events: for each wait."""
    readback_timeout_seconds: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    """Everything that the API reaches."""

    store: Store
    limits: ApiLimits
    now: Callable[[], datetime]
    """Aware, in UTC."""
    readback: Callable[[str], Awaitable[Mapping[str, Any]]]
    """Reads a meter, holding its lane. Raises ``MeterBusy``, ``MeterUnreached``, ``LookupError`` for no such meter,
    ``SettingError`` and ``EndpointError`` for one that cannot be called as it is entered."""
    metrics: Callable[[], bytes] = field(repr=False)
    """Prometheus text."""
    health: Callable[[], Awaitable[Mapping[str, Any]]]
    """``ok`` says whether the process lives; all of it is shown."""
    ready: Callable[[], Awaitable[Mapping[str, Any]]]
    """``ok`` says whether orders can be taken now; all of it is shown."""
    version: str
    metrics_open: bool = False
    webhook_targets: TargetRule = field(default_factory=TargetRule)
    """Where webhooks may point."""
    order_trace: Callable[[str], Sequence[Mapping[str, Any]] | None] | None = None
    """What went over the wire for an order, oldest first, or None where that is not kept; no such door = nothing is."""
    link_limit: Callable[[str], int | None] | None = None
    """How many associations at a time hold on a link that was given no number; no such door = nobody says."""
