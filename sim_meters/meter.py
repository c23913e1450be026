"""SimMeter: a meter on its wires. It serves any number of conversations, each with an association of its own.

Between the receipt of an APDU and the answer to it nothing waits, so two clients at once cannot see each other's
half-done work. That includes the ledger's fsync: a slow disk slows the meter, as it should.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

from cosem_objects.association_ln import PUBLIC_CLIENT_SAP
from cosem_objects.dlms.hls import new_challenge
from cosem_objects.dlms.server import ServerAssociation
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import LocalProtocolError
from sim_meters.asked import Association
from sim_meters.behaviour import Behaviour
from sim_meters.clock import Clock, SystemClock, Timer
from sim_meters.concentrator import UNREACHABLE, Concentrator
from sim_meters.conversation import Conversation
from sim_meters.faults import Fault, Phase
from sim_meters.ledger import Ledger, LedgerError
from sim_meters.meter_config import MeterConfig, PushTo
from sim_meters.objects import objects_of, public_objects
from sim_meters.push_object import push_message
from sim_meters.records import TokenEntry
from sim_meters.served import Served
from sim_meters.speaking_meter import Reaction, SpeakingMeter
from sim_meters.sts.tokens.token_kind import Commodity
from sim_meters.wire_faults import WireFaults
from transports.channel import ApduChannel

_log = logging.getLogger(__name__)

_PUSHES_MAX = 1 << 24
"""The long-invoke-id has 24 bits for its number."""


def _new_challenge() -> bytes:
    return new_challenge(secrets.token_bytes)


class SimMeter(SpeakingMeter):
    """One meter. ``serve`` is what a listener calls; ``config.is_for_us`` says which addresses are its own.

    A ledger given again, or read again from its file, makes the same meter again. ``wire`` breaks answers below the
    framing, where ``listen`` was given its ``filter``; all meters of a process may share one.
    """

    def __init__(
        self,
        config: MeterConfig,
        ledger: Ledger | None = None,
        *,
        clock: Clock | None = None,
        new_challenge: Callable[[], bytes] = _new_challenge,
        behaviour: Behaviour | None = None,
        wire: WireFaults | None = None,
    ) -> None:
        clock = clock or SystemClock()
        super().__init__(config, ledger or Ledger(), clock, behaviour or Behaviour())
        self.steady_clock = clock
        """The one that no fault touches: it measures how long a client is silent."""
        self.wire = wire or WireFaults()
        self.on_push: Callable[[bytes], None] | None = None
        """Is given the meter's own messages, if its configuration says ``PushTo.WIRE``."""
        self.on_link: Callable[[bool], None] | None = None
        """Is told when the meter goes offline (``False``) and comes back: a listener may close meanwhile."""
        self.is_online = True
        self._new_challenge = new_challenge
        self._objects = objects_of(
            config.profile,
            has_debt=config.debt is not None,
            has_emergency=config.emergency is not None,
            has_limiter=config.unit.commodity is Commodity.ELECTRICITY,
        )
        self._concentrator = None if config.behind is None else Concentrator(config.behind)
        self._timer: Timer | None = None
        self._link_timer: Timer | None = None
        self._served: list[Served] = []
        self._pushes = 0
        self._is_closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, channel: ApduChannel) -> None:
        """One conversation, until the client ends it, or is silent for longer than the profile's inactivity time-out.
        Raises ``ChannelError`` if the client ended it."""
        if not self.is_online:
            channel.hang_up()
            return
        served = Served(self, Conversation(self, channel.address.client_sap), channel)
        self._served.append(served)
        try:
            await served.run()
        finally:
            self._served.remove(served)

    def react(self, conversation: Conversation, octets: bytes) -> Reaction:
        """One APDU as it came over the wire, from a concentrator or not. Raises ``LedgerError``."""
        if self._concentrator is None:
            reaction = conversation.receive(octets)
        else:
            apdu = self._concentrator.take_off(octets)
            reaction = Reaction(UNREACHABLE) if apdu is None else conversation.receive(apdu).through(self.put_on)
        self._set_timer()
        return reaction

    def put_on(self, apdu: bytes) -> bytes:
        """What is said, as it goes over the wire: with the concentrator's prefix, if there is one."""
        return apdu if self._concentrator is None else self._concentrator.put_on(apdu)

    def close(self) -> None:
        """Stop working on tokens, and let go of the ledger."""
        self._is_closed = True
        for timer in (self._timer, self._link_timer):
            if timer is not None:
                timer.cancel()
        for task in self._tasks:
            task.cancel()
        self.ledger.close()

    def association(self, client_sap: int) -> tuple[ServerAssociation, Association] | None:
        if client_sap == PUBLIC_CLIENT_SAP:
            security, visible = SecuritySettings(), public_objects(self._objects)
        elif client_sap == self.config.client_sap:
            security, visible = self.keys.security, frozenset(self._objects)
        else:
            return None
        server = ServerAssociation(
            security,
            self.counters,
            self._new_challenge,
            pdu_size_max=self.config.profile.pdu_size_max,
            mirror_form=self.config.answers_as_asked,
        )
        return server, Association(client_sap, security, self._objects, visible, server)

    @property
    def associations(self) -> int:
        """How many management associations are open."""
        return sum(served.holds_association for served in self._served)

    def associations_beside(self, conversation: Conversation) -> int:
        others = (served for served in self._served if served.conversation is not conversation)
        return sum(served.holds_association for served in others)

    # Power and link.

    def reboot(self, spared: Conversation | None = None) -> None:
        self.forget()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for served in self._served:
            if served.conversation is not spared:
                served.end()

    def go_offline(self, seconds: float | None = None) -> None:
        self.is_online = False
        if self._link_timer is not None:
            self._link_timer.cancel()
            self._link_timer = None
        for served in self._served:
            served.end()
        if seconds is not None:
            self._link_timer = self.steady_clock.call_later(seconds, self.go_online)
        if self.on_link is not None:
            self.on_link(False)

    def go_online(self) -> None:
        """Be in reach again."""
        self.is_online = True
        if self._link_timer is not None:
            self._link_timer.cancel()
            self._link_timer = None
        if self.on_link is not None:
            self.on_link(True)

    # Messages of its own.

    def next_push(self) -> int:
        self._pushes = (self._pushes + 1) % _PUSHES_MAX
        return self._pushes

    def on_settled(self, entry: TokenEntry) -> None:
        if self.config.push_to is PushTo.NOBODY:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a meter without wires
            return
        loop.call_soon(self._push)  # the answer goes first

    def _push(self) -> None:
        """Tell of the last token. Nobody is told twice, or later, if it cannot be said now."""
        if self.behaviour.happens(Fault.MUTE, Phase.PUSH, self.now):
            return
        delay = self.behaviour.happens(Fault.DELAY, Phase.PUSH, self.now)
        if delay is None:
            self._say()
        else:
            self.steady_clock.call_later(delay.amount, self._say)

    def _say(self) -> None:
        if self._is_closed:
            return
        times = 2 if self.behaviour.happens(Fault.DUPLICATE_ANSWER, Phase.PUSH, self.now) else 1
        listener = next((served for served in reversed(self._served) if served.holds_association), None)
        try:
            if self.config.push_to is PushTo.WIRE:
                self._tell_wire(self._message(), times)
            elif listener is not None and (message := listener.conversation.notification()) is not None:
                for _ in range(times):
                    self._begin(listener.say(self._on_its_way(message)))
        except LedgerError as error:
            _log.error("%s: a push was not sent: %s", self.config.device_name, error)
        except LocalProtocolError as error:
            _log.warning("%s: a push was not sent: %s", self.config.device_name, error)

    def message(self) -> bytes:
        """What Push setup sends, outside of any association: also what a meter says first that calls in. Raises
        ``LedgerError``, ``LocalProtocolError``."""
        return self.put_on(self._message())

    def _message(self) -> bytes:
        octets = push_message(self, self._own_association(), self.next_push())
        self.keep_counters()
        return octets

    def _tell_wire(self, message: bytes, times: int) -> None:
        if self.on_push is not None and self.is_online:
            for _ in range(times):
                self.on_push(self._on_its_way(message))

    def _on_its_way(self, message: bytes) -> bytes:
        is_garbled = self.behaviour.happens(Fault.GARBLED_ANSWER, Phase.PUSH, self.now)
        return self.put_on(self.behaviour.garbled(message) if is_garbled else message)

    def _own_association(self) -> Association:
        """Sees what the management client may see."""
        made = self.association(self.config.client_sap)
        assert made is not None
        return made[1]

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Time.

    def _set_timer(self) -> None:
        """A pending token is worked on in its time, whether or not anybody asks."""
        if self.pending is None or self._timer is not None:
            return
        remaining = (self.pending.due - self.now()).total_seconds()
        self._timer = self.clock.call_later(max(remaining, 0.0), self._time_has_come)

    def _time_has_come(self) -> None:
        self._timer = None
        try:
            self.catch_up()
        except LedgerError as error:
            _log.error("%s: %s", self.config.device_name, error)
            return
        self._set_timer()  # the meter's clock may be behind that of its timers
