"""Lanes that are taken for something else than their orders, and that find their way back whatever happens.

A lane that nobody gives back stays taken until the next start, and its orders lie still.
"""

from __future__ import annotations

import asyncio
import logging

from gateway.store.records import LaneClaim
from gateway.store.store import Lanes, StoreError

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0


class Visits:
    """Takes lanes, and gives them back."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._returning: set[asyncio.Task[None]] = set()
        """Lanes on their way back, whose holders wait no longer."""

    async def take(self, meter_id: str) -> LaneClaim | None:
        """``Lanes.claim_meter``; if the caller goes away before the answer, the lane goes back."""
        taking = asyncio.ensure_future(self._lanes.claim_meter(meter_id))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(self._return_unwanted)
            raise

    async def give_back(self, claim: LaneClaim) -> None:
        """Tried until the store can write it; the caller waits for the first tries only."""
        await asyncio.wait((self._begin_return(claim),), timeout=_RETRY_SECONDS)

    def _begin_return(self, claim: LaneClaim) -> asyncio.Task[None]:
        returning = asyncio.get_running_loop().create_task(self._return(claim))
        self._returning.add(returning)
        returning.add_done_callback(self._returning.discard)
        return returning

    async def _return(self, claim: LaneClaim) -> None:
        while True:
            try:
                await self._lanes.release(claim)
            except StoreError as error:
                logger.error("its lane cannot be given back, trying again: %s", error, extra={"meter": claim.meter})
            else:
                return
            await asyncio.sleep(_RETRY_SECONDS)

    def _return_unwanted(self, taking: asyncio.Future[LaneClaim | None]) -> None:
        if not taking.cancelled() and taking.exception() is None and (claim := taking.result()) is not None:
            self._begin_return(claim)
