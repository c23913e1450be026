"""What went over the link for the latest orders, kept in memory: ``GET /v1/orders/{id}/trace``. Secrets are masked."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Any

from cosem_objects.dlms.describe import Keys
from cosem_objects.dlms.masking import Masker, TraceDescriber, apdu_name
from cosem_objects.dlms.settings import SecuritySettings
from gateway.meters import Meter
from transports.trace.trace import Describe, Knowledge, Ring, Trace


class OrderTraces:
    """The rings of the latest lanes, by the orders that they worked on. ``kept`` 0 traces nothing."""

    def __init__(self, kept: int, now: Callable[[], datetime]) -> None:
        self._kept = kept
        self._now = now
        self._rings: OrderedDict[str, Ring] = OrderedDict()

    def begin(self, meter: Meter) -> tuple[Trace, Ring] | None:
        """A trace for one lane; None if none is wanted."""
        if not self._kept:
            return None
        ring = Ring()
        return Trace(knowledge_of(meter.security, shows_secrets=False), self._now, [ring]), ring

    def remember(self, order_id: str, ring: Ring) -> None:
        """The lane works on this order."""
        self._rings[order_id] = ring
        self._rings.move_to_end(order_id)
        while len(self._rings) > self._kept:
            self._rings.popitem(last=False)

    def of(self, order_id: str) -> list[dict[str, Any]] | None:
        """The events of the lane that worked on it last (``docs/trace.md``), oldest first; None if it is not kept."""
        ring = self._rings.get(order_id)
        return None if ring is None else [json.loads(line) for line in ring.lines()]


def knowledge_of(security: SecuritySettings, *, shows_secrets: bool) -> Knowledge:
    """What a trace has to know of a meter's APDUs."""
    return Knowledge(
        new_mask=None if shows_secrets else lambda: Masker().mask,
        new_describe=lambda: _describer(security, shows_secrets=shows_secrets),
        name=apdu_name,
    )


def _describer(security: SecuritySettings, *, shows_secrets: bool) -> Describe:
    """For one conversation: what its APDUs say, deciphered with the keys of the meter."""
    keys = Keys(
        ek=security.ek,
        ak=security.ak,
        client_system_title=security.client_system_title,
        meter_system_title=security.meter_system_title,
    )
    return TraceDescriber(keys, shows_secrets=shows_secrets).describe
