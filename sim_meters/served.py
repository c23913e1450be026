"""Served: a conversation and the channel on which it is held."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from sim_meters.clock import Timer
from sim_meters.conversation import Conversation
from sim_meters.ledger import LedgerError
from sim_meters.speaking_meter import Reaction
from transports.channel import ApduChannel, ChannelError

if TYPE_CHECKING:
    from sim_meters.meter import SimMeter

_log = logging.getLogger(__name__)

_TICK_SECONDS = 0.001


class Served:
    """One conversation of a meter, from its beginning to its end."""

    __slots__ = ("_channel", "_ended", "_heard", "_meter", "_patience", "_speaking", "_watch", "conversation")

    def __init__(self, meter: SimMeter, conversation: Conversation, channel: ApduChannel) -> None:
        self.conversation = conversation
        self._meter = meter
        self._channel = channel
        self._patience = asyncio.timeout(None)
        self._speaking = asyncio.Lock()
        self._ended = False
        self._heard = meter.steady_clock.now()
        self._watch: Timer | None = None

    @property
    def holds_association(self) -> bool:
        """Whether a management association is open on it."""
        return self.conversation.is_management and self.conversation.is_associated and not self._ended

    async def run(self) -> None:
        """Until the client ends it (``ChannelError``), or the meter does."""
        self._set_watch(self._meter.config.profile.inactivity_seconds)
        try:
            async with self._patience:
                while not self._ended and await self._turn():
                    pass
        except TimeoutError:
            if not self._ended:
                raise
        finally:
            self._ended = True
            if self._watch is not None:
                self._watch.cancel()

    def end(self) -> None:
        """The meter does not know of it any more: on HDLC the client hears DM, elsewhere the connection ends."""
        if not self._ended:
            self._ended = True
            self._patience.reschedule(asyncio.get_running_loop().time())

    async def say(self, message: bytes) -> None:
        """Send a message that nobody asked for. Nobody waits for it: if it cannot be sent, the conversation goes on."""
        try:
            async with self._speaking:
                await self._channel.send_unasked(message)
        except ChannelError as error:
            _log.warning("%s: a push was not sent: %s", self._meter.config.device_name, error)

    async def _turn(self) -> bool:
        """One APDU and the answer to it; whether to go on."""
        apdu = await self._channel.receive(None)
        meter = self._meter
        self._heard = meter.steady_clock.now()
        try:
            reaction = meter.react(self.conversation, apdu)
        except LedgerError as error:
            _log.error("%s: %s; it does not answer any more", meter.config.device_name, error)
            self._channel.hang_up()
            return False
        if reaction.delay_seconds:
            await meter.steady_clock.sleep(reaction.delay_seconds)
        await self._answer(reaction)
        if reaction.unasked is not None:
            await self.say(reaction.unasked)
        if reaction.hangs_up:
            self._channel.hang_up()
        return not reaction.hangs_up

    async def _answer(self, reaction: Reaction) -> None:
        if reaction.octets is None:
            return
        async with self._speaking:
            with self._meter.wire.breaking(reaction.wire):
                await self._channel.send(reaction.octets)
            if reaction.is_doubled:
                await self._channel.send(reaction.octets)

    def _set_watch(self, seconds: float) -> None:
        self._watch = self._meter.steady_clock.call_later(seconds, self._look)

    def _look(self) -> None:
        """The client has been silent for long enough, or will be."""
        silent_seconds = (self._meter.steady_clock.now() - self._heard).total_seconds()
        remaining = self._meter.config.profile.inactivity_seconds - silent_seconds
        if remaining > _TICK_SECONDS:  # less than that a clock may round to nothing, and never come to an end
            self._set_watch(remaining)
        else:
            self.end()
