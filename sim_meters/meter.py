"""SimMeter: a meter on its wires. It serves any number of conversations, each with an association of its own.

Everything here but ``serve`` is plain and immediate: between the receipt of an APDU and the answer to it nothing
waits, so two clients at once cannot see each other's half-done work. That includes the ledger's fsync: a slow disk
slows the meter, as it should.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cosem_objects import token_gateway
from cosem_objects.association_ln import PUBLIC_CLIENT_SAP
from cosem_objects.dlms import acse
from cosem_objects.dlms.acse import Aare, ApplicationContext, AssociationResult, UserDiagnostic
from cosem_objects.dlms.apdu import ActionRequest, ExceptionResponse, Request, ServiceError, StateError
from cosem_objects.dlms.hls import new_challenge
from cosem_objects.dlms.server import ServerAssociation
from cosem_objects.dlms.settings import SecuritySettings
from sim_meters.asked import Association
from sim_meters.behaviour import Behaviour, Fault
from sim_meters.concentrator import UNREACHABLE, Concentrator
from sim_meters.ledger import Ledger, LedgerError
from sim_meters.meter_config import MeterConfig
from sim_meters.objects import answer, objects_of, public_objects
from sim_meters.prepayment import PrepaymentMeter
from sim_meters.push_object import is_pushed, push_notification
from transports.channel import ApduChannel, NotSentError

_log = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


def _new_challenge() -> bytes:
    return new_challenge(secrets.token_bytes)


class SimMeter(PrepaymentMeter):
    """One meter. ``serve`` is what a listener calls; ``config.is_for_us`` says which addresses are its own.

    A ledger given again, or read again from its file, makes the same meter again.
    """

    def __init__(
        self,
        config: MeterConfig,
        ledger: Ledger | None = None,
        *,
        now: Callable[[], datetime] = _now,
        new_challenge: Callable[[], bytes] = _new_challenge,
        behaviour: Behaviour | None = None,
    ) -> None:
        super().__init__(config, ledger or Ledger(), now, behaviour or Behaviour())
        self._new_challenge = new_challenge
        self._objects = objects_of(config.profile, has_debt=config.debt is not None)
        self._concentrator = None if config.behind is None else Concentrator(config.behind)
        self._timer: asyncio.TimerHandle | None = None

    async def serve(self, channel: ApduChannel) -> None:
        """One conversation, until the client ends it. Raises ``ChannelError`` then."""
        conversation = Conversation(self, channel.address.client_sap)
        while True:
            apdu = await channel.receive(None)
            try:
                reaction = self._react(conversation, apdu)
            except LedgerError as error:
                _log.error("%s: %s; it does not answer any more", self.config.device_name, error)
                channel.hang_up()
                return
            self._set_timer()
            if reaction.octets is not None:
                await channel.send(reaction.octets)
            if reaction.unasked is not None:
                await self._send_unasked(channel, reaction.unasked)
            if reaction.hangs_up:
                channel.hang_up()
                return

    def _react(self, conversation: Conversation, octets: bytes) -> Reaction:
        """One APDU as it came over the wire, from a concentrator or not. Raises ``LedgerError``."""
        if self._concentrator is None:
            return conversation.receive(octets)
        apdu = self._concentrator.take_off(octets)
        if apdu is None:
            return Reaction(UNREACHABLE)
        reaction = conversation.receive(apdu)
        answer, unasked = (
            None if said is None else self._concentrator.put_on(said) for said in (reaction.octets, reaction.unasked)
        )
        return Reaction(answer, unasked, reaction.hangs_up)

    async def _send_unasked(self, channel: ApduChannel, octets: bytes) -> None:
        try:
            await channel.send_unasked(octets)
        except NotSentError as error:  # nobody waits for it: the conversation goes on
            _log.warning("%s: a push was not sent: %s", self.config.device_name, error)

    def close(self) -> None:
        """Stop working on tokens, and let go of the ledger."""
        if self._timer is not None:
            self._timer.cancel()
        self.ledger.close()

    def association(self, client_sap: int) -> tuple[ServerAssociation, Association] | None:
        """A new association for a client, and what it may see; ``None`` for clients that nobody knows."""
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

    def _set_timer(self) -> None:
        """A pending token is worked on in its time, whether or not anybody asks."""
        if self.pending is None or self._timer is not None:
            return
        remaining = (self.pending.due - self.now()).total_seconds()
        self._timer = asyncio.get_running_loop().call_later(max(remaining, 0.0), self._time_has_come)

    def _time_has_come(self) -> None:
        self._timer = None
        try:
            self.catch_up()
        except LedgerError as error:
            _log.error("%s: %s", self.config.device_name, error)
            return
        self._set_timer()  # the meter's clock may be behind the event loop's


@dataclass(frozen=True, slots=True, repr=False)
class Reaction:
    """What follows from an APDU: an answer, or silence; then a message that was not asked for, or the link's end."""

    octets: bytes | None
    unasked: bytes | None = None
    hangs_up: bool = False


class Conversation:
    """One client's APDUs and the meter's answers, in turns."""

    def __init__(self, meter: SimMeter, client_sap: int) -> None:
        self._meter = meter
        self._is_management = client_sap == meter.config.client_sap
        self._association = meter.association(client_sap)
        self._pushes = 0

    def receive(self, apdu: bytes) -> Reaction:
        """React to one APDU. Raises ``LedgerError``: then nothing may be answered."""
        self._meter.catch_up()
        is_aarq = apdu[:1] == bytes((acse.Aarq.TAG,))
        if self._association is None:
            return Reaction(_refuse_stranger(is_aarq=is_aarq))
        if is_aarq and self._is_management and self._meter.behaviour.happens(Fault.REFUSE_ASSOCIATION):
            return Reaction(self._refuse_as_busy())
        server, association = self._association
        asked = server.receive(apdu)
        # What was received may not be received again, even if the meter falls over its answer.
        self._meter.keep_counters()
        if asked is None or isinstance(asked, bytes):
            return Reaction(asked)
        is_enter = _is_enter(asked)
        if is_enter and self._meter.behaviour.happens(Fault.HANG_UP_BEFORE_ENTER):
            return Reaction(None, hangs_up=True)
        answered = answer(self._meter, association, asked)
        response = server.respond(answered)
        unasked = None
        if is_pushed(asked, answered):
            self._pushes += 1
            unasked = server.notify(push_notification(self._meter, association, self._pushes))
        self._meter.keep_counters()
        if is_enter and self._meter.behaviour.happens(Fault.HANG_UP_AFTER_ENTER):
            return Reaction(None, hangs_up=True)
        if is_enter and self._meter.behaviour.happens(Fault.DROP_ANSWER_AFTER_ENTER):
            return Reaction(None)
        return Reaction(response, unasked)

    def _refuse_as_busy(self) -> bytes:
        context = self._meter.config.security.application_context
        return Aare(context, AssociationResult.REJECTED_TRANSIENT, UserDiagnostic.NO_REASON_GIVEN).encode()


def _is_enter(request: Request) -> bool:
    return isinstance(request, ActionRequest) and (request.method.class_id, request.method.method) == (
        token_gateway.CLASS_ID,
        token_gateway.METHOD_ENTER,
    )


def _refuse_stranger(*, is_aarq: bool) -> bytes:
    if not is_aarq:
        return ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE).encode()
    rejected, diagnostic = AssociationResult.REJECTED_PERMANENT, UserDiagnostic.NO_REASON_GIVEN
    return Aare(ApplicationContext.LOGICAL_NAME, rejected, diagnostic).encode()
