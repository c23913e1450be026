"""FleetPlace: one listener of a fleet, or one meter that calls in, and who stands behind it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from cosem_objects.errors import LocalProtocolError, SettingError
from sim_meters.fleet.group import MeterGroup
from sim_meters.fleet.meters import FleetMeters
from sim_meters.fleet.plan import Member
from sim_meters.ledger import LedgerError
from sim_meters.meter import SimMeter
from transports.calling_in.meter import CallIn, CallingMeter, call_in, login_line, push_message
from transports.channel import Address, ApduChannel, Listener, NotSentError
from transports.endpoint import Endpoint, EndpointError
from transports.mqtt.meter import MqttMeterListener
from transports.registry import listen
from transports.trace.trace import Trace

_log = logging.getLogger(__name__)


class FleetPlace:
    """``open`` it once. If only one meter stands here, its link is the place's: while the meter is offline, nobody
    listens (a broker says that it is gone), or calls."""

    __slots__ = ("_endpoint", "_follower", "_group", "_is_wanted", "_listener", "_meters", "_number", "_trace", "url")

    def __init__(self, meters: FleetMeters, group: MeterGroup, number: int, trace: Trace | None) -> None:
        self.url = ""
        """Where it listens, with the port that was really taken; or whom it calls."""
        self._meters = meters
        self._group = group
        self._number = number
        self._trace = trace
        self._endpoint = group.endpoint_of(number)
        self._listener: Listener | None = None
        self._is_wanted = True
        self._follower: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Raises ``EndpointError``."""
        if self._group.calls_in:
            self._listener = self._call_in()
        else:
            self._listener = await self._listen()
        self.url = self._listener.url
        if self._endpoint.host and not self._endpoint.port:
            self._endpoint = Endpoint.parse(self.url)  # it comes back where it was

    async def close(self) -> None:
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.wait((self._follower,))
        if self._listener is not None:
            await self._listener.close()

    def accept(self, address: Address) -> bool:
        """Whether somebody here has this address."""
        return self._group.number_at(self._number, address) is not None

    async def serve(self, channel: ApduChannel) -> None:
        """One conversation. Raises ``ChannelError``."""
        number = self._group.number_at(self._number, channel.address)
        assert number is not None, "accept() was asked"
        meter = self._meter(number)
        if meter is None:
            channel.hang_up()
            return
        await meter.serve(channel)

    def adopt(self, meter: SimMeter) -> None:
        """A meter here was made: from now on it can reach its wire."""
        config = meter.config
        meter.on_push = lambda apdu: self._push(apdu, Address(config.client_sap, config.server_sap, config.physical))
        if self._group.share == 1:
            meter.on_link = self._set_link

    def _meter(self, number: int) -> SimMeter | None:
        """``None``, and a line in the log, if its ledger cannot be read."""
        try:
            return self._meters.meter(Member(self._group, number))
        except (LedgerError, SettingError) as error:
            _log.error("%s: %s; it does not answer", self._group.name_of(number), error)
            return None

    async def _listen(self) -> Listener:
        group = self._group
        return await listen(
            self._endpoint,
            self.serve,
            accept=self.accept,
            hdlc=group.hdlc,
            wires=group.wires,
            through=self._meters.wire.filter,
            trace=self._trace,
        )

    def _call_in(self) -> CallingMeter:
        group = self._group
        return call_in(
            self._endpoint,
            self.serve,
            CallIn(first=self._first_words(), speaks_hdlc=group.speaks_hdlc),
            accept=self.accept,
            hdlc=group.hdlc,
            wires=group.wires,
            through=self._meters.wire.filter,
            trace=self._trace,
        )

    def _first_words(self) -> Callable[[], bytes]:
        """The login line; or a notification, which names the meter's title."""
        group, number = self._group, self._number
        text = group.login_of(number)
        if text:
            return lambda: login_line(text)

        def message() -> bytes:
            meter = self._meter(number)
            if meter is None:
                raise NotSentError(f"{group.name_of(number)} has nothing to say")
            config = meter.config
            address = Address(config.client_sap, config.server_sap, config.physical)
            try:
                return push_message(meter.message(), address, speaks_hdlc=group.speaks_hdlc)
            except (LedgerError, LocalProtocolError) as error:
                raise NotSentError(f"{config.device_name}: {error}") from error

        return message

    def _push(self, apdu: bytes, address: Address) -> None:
        """What a meter says unasked goes to its broker, or over the connection that it opened; elsewhere nobody is
        there to hear it."""
        with suppress(NotSentError):  # nobody waits for it
            if isinstance(self._listener, MqttMeterListener):
                self._listener.push(apdu, address)
            elif isinstance(self._listener, CallingMeter):
                self._listener.say(push_message(apdu, address, speaks_hdlc=self._group.speaks_hdlc))

    def _set_link(self, is_online: bool) -> None:
        self._is_wanted = is_online
        if self._follower is None or self._follower.done():
            self._follower = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        """Listen, or not, as the meter wants it by now."""
        while self._is_wanted != (self._listener is not None):
            if self._listener is not None:
                listener, self._listener = self._listener, None
                await listener.close()
                continue
            try:
                await self.open()
            except EndpointError as error:
                _log.error("%s: cannot come back: %s", self._group.name_of(self._number), error)
                return
