"""The links of one command: opened as its options say, kept between its associations, closed at its end."""

from __future__ import annotations

import argparse
from types import TracebackType
from typing import Self

from gateway.meters import Meter
from transports.channel import Link
from transports.link_pool import LinkPool
from transports.trace import Trace
from transports.wire_options import wire_settings_from


class CommandLinks:
    """What the sessions of one command connect with. Raises ``EndpointError`` for options that cannot be."""

    def __init__(self, args: argparse.Namespace, trace: Trace | None = None) -> None:
        self._pool = LinkPool(wire_settings_from(args))
        self._trace = trace

    async def connect(self, meter: Meter) -> Link:
        """Raises like ``transports.registry.open_link``."""
        return await self._pool.open_link(meter.endpoint, hdlc=meter.hdlc, trace=self._trace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()
