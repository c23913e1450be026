"""Conversation: one client's APDUs and a meter's answers, in turns, and all that may go wrong between them.

Everything here is plain and immediate: what is to be answered, late or broken or never, is told in a ``Reaction``.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

from cosem_objects import token_gateway
from cosem_objects.dlms import acse
from cosem_objects.dlms.acse import Aare
from cosem_objects.dlms.apdu import ActionRequest, ActionResult, GetRequest, GetRequestWithList, Request
from cosem_objects.dlms.server import ServerAssociation, State
from cosem_objects.dlms.settings import Ciphering
from cosem_objects.errors import LocalProtocolError
from sim_meters.asked import Association
from sim_meters.clock import drifting
from sim_meters.fault_order import FaultOrder
from sim_meters.faults import Fault, Phase
from sim_meters.objects import answer
from sim_meters.push_object import is_pushed, push_notification
from sim_meters.refusals import busy, refuse_stranger, refused, wrong_secret
from sim_meters.speaking_meter import Reaction, SpeakingMeter
from sim_meters.wire_faults import WIRE_FAULTS

_log = logging.getLogger(__name__)


class Conversation:
    """Of one client SAP. Nothing goes wrong on order for the public client."""

    def __init__(self, meter: SpeakingMeter, client_sap: int) -> None:
        self._meter = meter
        self.is_management = client_sap == meter.config.client_sap
        self._client_sap = client_sap
        self._association = meter.association(client_sap)
        self._has_entered = False

    @property
    def is_associated(self) -> bool:
        """Whether an association is open, or half open."""
        return self._association is not None and self._association[0].state is not State.IDLE

    def receive(self, apdu: bytes) -> Reaction:
        """React to one APDU. Raises ``LedgerError``: then nothing may be answered."""
        self._meter.catch_up()
        is_aarq = apdu[:1] == bytes((acse.Aarq.TAG,))
        if self._association is None:
            return Reaction(refuse_stranger(is_aarq=is_aarq))
        phase = self._phase_ahead(apdu, is_aarq=is_aarq)
        if phase is not None:
            reaction = self._instead(phase) or (self._unless_welcome() if is_aarq else None)
            if reaction is not None:
                return reaction
            if is_aarq and self._is_ciphered and self._strikes(Fault.COUNTER_RESET, phase):
                self._begin_counters_anew()
            self._break_counters(phase)
        server, association = self._association
        asked = server.receive(apdu)
        # What was received may not be received again, even if the meter falls over its answer.
        self._meter.keep_counters()
        if asked is not None and not isinstance(asked, bytes):
            return self._carry_out(server, association, asked)
        if asked is None or phase is None:  # a part of something longer, or a refusal of the association's own
            return Reaction(asked)
        if is_aarq:
            self._has_entered = False
            asked = self._with_wrong_challenge(asked)
        return self._on_its_way(phase, Reaction(asked))

    def notification(self) -> bytes | None:
        """The message of Push setup under this association; ``None`` if it cannot be said here."""
        if self._association is None:
            return None
        server, association = self._association
        try:
            octets = server.notify(push_notification(self._meter, association, self._meter.next_push()))
        except LocalProtocolError as error:
            _log.warning("%s: a push was not sent: %s", self._meter.config.device_name, error)
            return None
        self._meter.keep_counters()
        return octets

    def _carry_out(self, server: ServerAssociation, association: Association, asked: Request) -> Reaction:
        phase = self._phase_of(asked) if self.is_management else None
        result = None
        if phase is not None:
            reaction = self._instead(phase)
            if reaction is not None:
                return reaction
            result = self._refusal(phase)
            self._break_counters(phase)
        if result is None:
            self._has_entered |= _is_enter(asked)
            answered = answer(self._meter, association, asked)
        else:
            answered = refused(asked, result)
        response = server.respond(answered)
        unasked = self.notification() if is_pushed(asked, answered) else None
        self._meter.keep_counters()
        reaction = Reaction(response, unasked)
        return reaction if phase is None else self._on_its_way(phase, self._afterwards(phase, reaction))

    # When it is.

    def _phase_ahead(self, apdu: bytes, *, is_aarq: bool) -> Phase | None:
        """The phase, if it shows before the APDU is opened."""
        assert self._association is not None
        if not self.is_management:
            return None
        if is_aarq or self._association[0].state is State.AUTHENTICATING:
            return Phase.ASSOCIATION
        return Phase.RELEASE if apdu[:1] == bytes((acse.Rlrq.TAG,)) else None

    def _phase_of(self, asked: Request) -> Phase:
        if isinstance(asked, GetRequest | GetRequestWithList):
            return Phase.READBACK if self._has_entered else Phase.READ
        return Phase.ENTER if _is_enter(asked) else Phase.OTHER

    # What goes wrong.

    def _strikes(self, fault: Fault, phase: Phase) -> FaultOrder | None:
        return self._meter.behaviour.happens(fault, phase, self._meter.now)

    def _instead(self, phase: Phase) -> Reaction | None:
        """What happens instead of all that was asked for; ``None``: nothing, it goes on."""
        meter, strikes = self._meter, partial(self._strikes, phase=phase)
        if not meter.behaviour.is_scripted:
            return None
        if step := strikes(Fault.CLOCK_STEP):
            meter.clock = drifting(meter.clock, seconds=step.amount)
        if drift := strikes(Fault.CLOCK_DRIFT):
            meter.clock = drifting(meter.clock, ppm=drift.amount)
        if strikes(Fault.MUTE):
            return Reaction(None)
        if strikes(Fault.HANG_UP) or strikes(Fault.HANG_UP_BEFORE_ENTER):
            return Reaction(None, hangs_up=True)
        if strikes(Fault.REBOOT):
            self._meter.reboot()
            return Reaction(None)
        if offline := strikes(Fault.LINK_OFFLINE):
            self._meter.go_offline(offline.amount)
            return Reaction(None)
        return None

    def _unless_welcome(self) -> Reaction | None:
        """An association is refused: too many are open, or on order."""
        others, most = self._meter.associations_beside(self), self._meter.config.associations_max
        strikes = partial(self._strikes, phase=Phase.ASSOCIATION)
        if (
            (most is not None and others >= most)
            or strikes(Fault.REFUSE_ASSOCIATION)
            or (others and strikes(Fault.SECOND_ASSOCIATION_REFUSED))
        ):
            return Reaction(busy(self._meter.config.security))
        security = self._meter.config.security
        if not security.is_high_level and strikes(Fault.HLS_FAIL):
            return Reaction(wrong_secret(security))
        return None

    def _with_wrong_challenge(self, aare: bytes) -> bytes:
        """HLS fails truly: the client is challenged with other octets than those on which its answer is judged."""
        if not self.is_associated or not self._meter.config.security.is_high_level:
            return aare
        if self._strikes(Fault.HLS_FAIL, Phase.ASSOCIATION) is None:
            return aare
        decoded = acse.decode(aare)
        assert isinstance(decoded, Aare)
        assert decoded.authentication is not None
        challenge = decoded.authentication
        return replace(decoded, authentication=challenge[:-1] + bytes((challenge[-1] ^ 1,))).encode()

    def _refusal(self, phase: Phase) -> int | None:
        """The result with which a request is refused; action-results and data-access-results share these numbers."""
        if self._strikes(Fault.TEMPORARY_FAILURE, phase):
            return ActionResult.TEMPORARY_FAILURE
        if self._strikes(Fault.ACCESS_DENIED, phase):
            return ActionResult.READ_WRITE_DENIED
        return None

    def _break_counters(self, phase: Phase) -> None:
        if not self._is_ciphered:
            return
        counters = self._meter.counters
        jump, fall = self._strikes(Fault.COUNTER_JUMPS, phase), self._strikes(Fault.COUNTER_FALLS, phase)
        if jump is not None:
            counters.jump(int(jump.amount))
        counters.falls_by = 0 if fall is None else int(fall.amount)

    @property
    def _is_ciphered(self) -> bool:
        return self._meter.config.security.ciphering is not Ciphering.NONE

    def _begin_counters_anew(self) -> None:
        self._meter.keys.forget_counters()
        self._meter.reboot(spared=self)
        made = self._meter.association(self._client_sap)
        assert made is not None
        self._association = made

    def _afterwards(self, phase: Phase, reaction: Reaction) -> Reaction:
        """What happens once a request was carried out."""
        if not self._meter.behaviour.is_scripted:
            return reaction
        strikes = partial(self._strikes, phase=phase)
        if strikes(Fault.KEYPAD):
            self._meter.mistype()
        if strikes(Fault.REBOOT_AFTER_ENTER):
            self._meter.reboot()
            return Reaction(None)
        if strikes(Fault.HANG_UP_AFTER_ENTER):
            return Reaction(None, hangs_up=True)
        if strikes(Fault.DROP_ANSWER_AFTER_ENTER):
            return Reaction(None)
        return reaction

    def _on_its_way(self, phase: Phase, reaction: Reaction) -> Reaction:
        """What becomes of an answer."""
        if reaction.octets is None or not self._meter.behaviour.is_scripted:
            return reaction
        strikes, meter = partial(self._strikes, phase=phase), self._meter
        octets = meter.behaviour.garbled(reaction.octets) if strikes(Fault.GARBLED_ANSWER) else reaction.octets
        delay = strikes(Fault.DELAY)
        wire = next(filter(strikes, WIRE_FAULTS), None) if meter.wire.is_used else None
        return replace(
            reaction,
            octets=octets,
            delay_seconds=0.0 if delay is None else delay.amount,
            is_doubled=strikes(Fault.DUPLICATE_ANSWER) is not None,
            wire=wire,
        )


def _is_enter(request: Request) -> bool:
    return isinstance(request, ActionRequest) and (request.method.class_id, request.method.method) == (
        token_gateway.CLASS_ID,
        token_gateway.METHOD_ENTER,
    )
