"""The client's half of an application association (IEC 62056-5-3): AARQ, HLS, services, release. Without I/O.

Requests become bytes (``associate``, ``request``, ``release``), bytes become events (``receive``). The pump around
it sends whatever ``bytes`` it gets from either, until ``receive`` returns something else::

    IDLE -associate-> ASSOCIATING -AARE-> ASSOCIATED -request-> WAITING -response-> ASSOCIATED
                           |  AARE 14                                    -release-> RELEASING -RLRE-> ENDED
                           +--------> AUTHENTICATING -f(CtoS)-> ASSOCIATED
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TypeAlias

from cosem_objects import association_ln, axdr
from cosem_objects.axdr import Data
from cosem_objects.dlms import acse
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms.acse import Aare, Aarq, AssociationResult, Mechanism, UserDiagnostic
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionResponse,
    ActionResult,
    ConfirmedServiceError,
    Conformance,
    DataNotification,
    EventNotification,
    ExceptionResponse,
    GetRequest,
    GetResponse,
    InitiateRequest,
    InitiateResponse,
    MethodDescriptor,
    Notification,
    Request,
    Response,
    ServiceError,
    SetRequest,
    SetResponse,
)
from cosem_objects.dlms.security import (
    CHALLENGE_SIZE_MAX,
    CHALLENGE_SIZE_MIN,
    Cipher,
    InvocationCounters,
    SecurityLayer,
    WrongSystemTitleError,
    answer_challenge,
    challenge_is_answered,
    is_ciphered,
)
from cosem_objects.dlms.settings import TITLE_SIZE, Ciphering, SecuritySettings
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError, RemoteRefusal
from cosem_objects.names import spell
from cosem_objects.obis import ObisCode

_OFFERED = Conformance.GET | Conformance.SET | Conformance.ACTION


class AssociationRefused(RemoteRefusal):
    """The AARE said no. ``diagnostic`` is the acse-service-user's, if that is who spoke."""

    def __init__(self, message: str, diagnostic: int | None = None, *, transient: bool = False) -> None:
        super().__init__(message)
        self.diagnostic = diagnostic
        self.transient = transient


class ServiceRefused(RemoteRefusal):
    """An exception-response or confirmed-service-error. Not authenticated: it proves nothing about what happened."""

    def __init__(self, response: ExceptionResponse | ConfirmedServiceError) -> None:
        advice = _exception_advice(response)
        super().__init__(f"the meter answered {response}" + (f": {advice}" if advice else ""))
        self.response = response

    @property
    def expected_counter(self) -> int | None:
        """The invocation counter that the meter claims to expect, if it said so."""
        return self.response.invocation_counter if isinstance(self.response, ExceptionResponse) else None

    @property
    def says_wrong_keys(self) -> bool:
        """Whether the meter could not decipher what we sent."""
        return (
            isinstance(self.response, ExceptionResponse)
            and self.response.service_error == ServiceError.DECIPHERING_ERROR
        )


@dataclass(frozen=True, slots=True)
class Associated:
    """The association stands; HLS, if asked for, is verified on both sides."""

    conformance: Conformance
    pdu_size_max: int
    meter_system_title: bytes


@dataclass(frozen=True, slots=True)
class Released:
    """The meter agreed to the end."""


Event: TypeAlias = bytes | Associated | Response | Notification | Released


class State(Enum):
    IDLE = auto()
    ASSOCIATING = auto()
    AUTHENTICATING = auto()
    ASSOCIATED = auto()
    WAITING = auto()
    RELEASING = auto()
    ENDED = auto()


_REFUSALS = (bytes((ExceptionResponse.TAG,)), bytes((ConfirmedServiceError.TAG,)))
_NOTIFICATIONS = (bytes((DataNotification.TAG,)), bytes((EventNotification.TAG,)))
_MAY_COME_IN_CLEAR = _REFUSALS + _NOTIFICATIONS
"""Even where ciphering was agreed. They prove nothing, and nothing is concluded from them."""

_ANSWERS: dict[type[Request], type[Response]] = {
    GetRequest: GetResponse,
    SetRequest: SetResponse,
    ActionRequest: ActionResponse,
}

_ADVICE = {
    UserDiagnostic.NO_REASON_GIVEN: "check client SAP, security and keys",
    UserDiagnostic.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED: "the meter wants ciphering, or none: check it",
    UserDiagnostic.CALLING_AP_TITLE_NOT_RECOGNIZED: "check the client's own system title",
    UserDiagnostic.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED: "the meter wants another security mechanism",
    UserDiagnostic.AUTHENTICATION_MECHANISM_NAME_REQUIRED: "the meter wants a security mechanism (lls or hls-gmac)",
    UserDiagnostic.AUTHENTICATION_FAILURE: "check password or keys, protection, and the system titles",
    UserDiagnostic.AUTHENTICATION_REQUIRED: "the meter wants high level security (hls-gmac)",
}


class ClientAssociation:
    """One association as the client sees it. ``challenge`` (CtoS) is 8 to 64 octets of fresh chance."""

    def __init__(
        self,
        settings: SecuritySettings,
        counters: InvocationCounters,
        challenge: bytes,
        *,
        association_obis: ObisCode = association_ln.CURRENT_OBIS,
        pdu_size_max: int = 0xFFFF,
    ) -> None:
        if settings.needs_keys and len(settings.client_system_title) != TITLE_SIZE:
            raise LocalProtocolError(f"ciphering needs a system title of our own, of {TITLE_SIZE} octets")
        self.state = State.IDLE
        self._settings = settings
        self._counters = counters
        self._challenge = challenge
        self._association_obis = association_obis
        self._pdu_size_max = pdu_size_max
        self._cipher = Cipher(settings.ek, settings.ak) if settings.needs_keys else None
        self._layer: SecurityLayer | None = None
        self._meter_title = settings.meter_system_title
        self._invoke = 0
        self._pending: Request | None = None
        self._associated: Associated | None = None

    # What we send.

    def associate(self) -> bytes:
        """The AARQ."""
        self._expect(State.IDLE)
        self.state = State.ASSOCIATING
        settings = self._settings
        offered = _OFFERED
        if settings.ciphering is Ciphering.GENERAL_GLO:
            offered |= Conformance.GENERAL_PROTECTION
        initiate = InitiateRequest(offered, self._pdu_size_max).encode()
        if settings.ciphering is not Ciphering.NONE:
            self._layer = self._new_layer()
            initiate = self._layer.protect(initiate)
        authentication = {
            Mechanism.NONE: None,
            Mechanism.LLS: settings.password,
            Mechanism.HLS_GMAC: self._challenge,
        }[settings.mechanism]
        return Aarq(
            context=self._settings.application_context,
            user_information=initiate,
            calling_ap_title=settings.client_system_title if settings.needs_keys else None,
            mechanism=settings.mechanism,
            authentication=authentication,
        ).encode()

    def request(self, request: Request) -> bytes:
        """A GET, SET or ACTION, with the next invoke-id. Raises ``LocalProtocolError`` if it cannot be sent."""
        self._expect(State.ASSOCIATED)
        sent = self._send(request)
        limit = self._associated.pdu_size_max if self._associated else 0
        if limit and len(sent) > limit:
            raise LocalProtocolError(f"the request has {len(sent)} octets; the meter takes {limit} at most")
        self.state = State.WAITING
        return sent

    def release(self) -> bytes:
        """The RLRQ; in a ciphered association it carries the ciphered InitiateRequest."""
        self._expect(State.ASSOCIATED)
        self.state = State.RELEASING
        if self._layer is None:
            return acse.Rlrq().encode()
        initiate = InitiateRequest(_OFFERED, self._pdu_size_max).encode()
        return acse.Rlrq(user_information=self._layer.protect(initiate)).encode()

    # What we receive.

    def receive(self, octets: bytes) -> Event:
        """One APDU from the meter. ``bytes`` as event = an answer of the association itself, to be sent.

        Raises ``RemoteRefusal`` when the meter says no, ``RemoteProtocolError`` when it breaks the rules. After either
        of them, except after a notification, the association is of no further use for requests whose effect matters.
        """
        if self.state is State.ASSOCIATING:
            return self._receive_association(octets)
        if self.state is State.RELEASING and octets[:1] == bytes((acse.Rlre.TAG,)):
            acse.decode(octets)
            self.state = State.ENDED
            return Released()
        is_acse = octets[:1] != b"" and octets[0] in acse.TAGS
        if is_acse or self.state not in (State.AUTHENTICATING, State.WAITING, State.RELEASING):
            raise RemoteProtocolError(f"an APDU ({octets[:1].hex()}) that nothing asked for")
        decoded = xdlms.decode(self._open(octets))
        if isinstance(decoded, ExceptionResponse | ConfirmedServiceError):
            self.state = State.ENDED
            raise ServiceRefused(decoded)
        if isinstance(decoded, Notification):
            return decoded
        response = self._match(decoded)
        if self.state is State.AUTHENTICATING:
            return self._finish_authentication(response)
        self.state = State.ASSOCIATED
        return response

    def _receive_association(self, octets: bytes) -> Event:
        if octets[:1] in _REFUSALS:
            self.state = State.ENDED
            refusal = xdlms.decode(octets)
            assert isinstance(refusal, ExceptionResponse | ConfirmedServiceError)
            raise ServiceRefused(refusal)
        if octets[:1] in _NOTIFICATIONS:
            notification = xdlms.decode(octets)
            assert isinstance(notification, Notification)
            return notification
        aare = acse.decode(octets)
        if not isinstance(aare, Aare):
            raise RemoteProtocolError("an AARE was expected")
        if aare.result != AssociationResult.ACCEPTED:
            self.state = State.ENDED
            raise self._refused(aare)
        if aare.context != self._settings.application_context:
            raise RemoteProtocolError(
                f"the meter agreed to application context {aare.context}, not {self._settings.application_context}"
            )
        if self._settings.needs_keys:
            self._learn_title(aare.responding_ap_title)
        initiate = self._open_initiate(aare.user_information or b"")
        self._associated = Associated(initiate.conformance, initiate.pdu_size_max, self._meter_title)
        if self._settings.mechanism is not Mechanism.HLS_GMAC:
            self.state = State.ASSOCIATED
            return self._associated
        return self._answer(aare)

    def _answer(self, aare: Aare) -> bytes:
        """HLS pass 3: f(StoC)."""
        if aare.diagnostic != UserDiagnostic.AUTHENTICATION_REQUIRED or not aare.authentication:
            raise RemoteProtocolError("the meter accepted without the high level security that was asked for")
        if not CHALLENGE_SIZE_MIN <= len(aare.authentication) <= CHALLENGE_SIZE_MAX:
            # A short challenge can be collected beforehand, and answered from the collection.
            raise RemoteProtocolError(
                f"a challenge of {len(aare.authentication)} octets, not of {CHALLENGE_SIZE_MIN} to {CHALLENGE_SIZE_MAX}"
            )
        if aare.authentication == self._challenge:
            raise RemoteProtocolError("the meter sent our own challenge back")
        if xdlms.is_apdu(aare.authentication):
            # Our answer would be a valid tag for it, wherever authentication alone is enough.
            raise RemoteProtocolError("the challenge is an APDU that we would sign with our answer")
        assert self._cipher is not None
        answer = answer_challenge(
            self._cipher, self._settings.client_system_title, self._counters.take(), aare.authentication
        )
        self.state = State.AUTHENTICATING
        method = MethodDescriptor(
            association_ln.CLASS_ID, self._association_obis, association_ln.METHOD_REPLY_TO_HLS_AUTHENTICATION
        )
        return self._send(ActionRequest(method, axdr.octet_string(answer)))

    def _finish_authentication(self, response: Response) -> Associated:
        """HLS pass 4: the meter's f(CtoS) must be right, or it is not our meter."""
        assert isinstance(response, ActionResponse)
        if response.result != ActionResult.SUCCESS:
            self.state = State.ENDED
            raise AssociationRefused(
                f"the meter refused our HLS answer with {spell(ActionResult, response.result)}: check keys and titles",
                UserDiagnostic.AUTHENTICATION_FAILURE,
            )
        answer = response.returned.value if isinstance(response.returned, Data) else None
        assert self._cipher is not None
        if not isinstance(answer, bytes) or not challenge_is_answered(
            self._cipher, self._meter_title, self._challenge, answer
        ):
            self.state = State.ENDED
            raise RemoteProtocolError("the meter could not answer our HLS challenge: it does not hold the key")
        assert self._associated is not None
        self.state = State.ASSOCIATED
        return self._associated

    def _match(self, decoded: xdlms.Apdu) -> Response:
        pending = self._pending
        if pending is None or not isinstance(decoded, _ANSWERS[type(pending)]):
            raise RemoteProtocolError(f"a {type(decoded).__name__} where another answer was expected")
        # Gurux' servers refuse a GET under invoke-id 1, whatever was asked. A refusal of a read changes nothing, and
        # its true answer, should it still come, would meet the next question and fail there.
        is_refused_read = isinstance(decoded, GetResponse) and not isinstance(decoded.result, Data)
        if decoded.invoke & 0x0F != pending.invoke & 0x0F and not is_refused_read:
            raise RemoteProtocolError(
                f"an answer to invoke-id {decoded.invoke & 0x0F}; {pending.invoke & 0x0F} was asked"
            )
        self._pending = None
        return decoded

    # Security.

    def _new_layer(self) -> SecurityLayer:
        assert self._cipher is not None
        own = self._settings.client_system_title
        return SecurityLayer(self._settings, self._cipher, self._counters, own, self._meter_title)

    def _send(self, request: Request) -> bytes:
        self._invoke = self._invoke % 15 + 1
        self._pending = replace(request, invoke=0xC0 | self._invoke)
        plain = self._pending.encode()
        return plain if self._layer is None else self._layer.protect(plain)

    def _open(self, octets: bytes) -> bytes:
        if self._layer is None:
            if is_ciphered(octets):
                raise RemoteProtocolError("a ciphered APDU in an association without ciphering")
            return octets
        if octets[:1] in _MAY_COME_IN_CLEAR:
            return octets
        return self._layer.unprotect(octets)

    def _open_initiate(self, user_information: bytes) -> InitiateResponse:
        initiate = xdlms.decode(self._open(user_information))
        if isinstance(initiate, ConfirmedServiceError):
            raise ServiceRefused(initiate)
        if not isinstance(initiate, InitiateResponse):
            raise RemoteProtocolError("an InitiateResponse was expected in the AARE")
        return initiate

    def _learn_title(self, title: bytes | None) -> None:
        title = title or self._meter_title
        if len(title) != TITLE_SIZE:
            raise RemoteProtocolError(f"the meter named no system title of {TITLE_SIZE} octets, which ciphering needs")
        if title == self._settings.client_system_title:
            # Both sides would seal under the same nonces, and our own answers could be passed off as the meter's.
            raise WrongSystemTitleError("the meter calls itself by our own system title")
        if self._meter_title and title != self._meter_title:
            raise WrongSystemTitleError(
                f"the meter's system title is {title.hex()}, {self._meter_title.hex()} was expected"
            )
        self._meter_title = title
        if self._layer is not None:
            self._layer = self._new_layer()

    def _refused(self, aare: Aare) -> AssociationRefused:
        said = [f"the meter refused the association: {aare.diagnostic_words()}"]
        if aare.user_information:
            try:
                if is_ciphered(aare.user_information):
                    self._learn_title(aare.responding_ap_title)
                inside = xdlms.decode(self._open(aare.user_information))
            except RemoteProtocolError:
                inside = None  # the refusal itself is what matters
            if isinstance(inside, ConfirmedServiceError):
                said.append(str(inside))
        diagnostic = None if aare.provider_diagnostic else aare.diagnostic
        transient = aare.result == AssociationResult.REJECTED_TRANSIENT
        advice = _ADVICE.get(UserDiagnostic(diagnostic)) if diagnostic in list(UserDiagnostic) else None
        if transient:
            said.append("try again later")
        elif advice:
            said.append(advice)
        return AssociationRefused("; ".join(said), diagnostic, transient=transient)

    def _expect(self, state: State) -> None:
        if self.state is not state:
            raise LocalProtocolError(f"not allowed while {self.state.name.lower()}, only when {state.name.lower()}")


def _exception_advice(response: ExceptionResponse | ConfirmedServiceError) -> str:
    if not isinstance(response, ExceptionResponse):
        return ""
    return _EXCEPTION_ADVICE.get(response.service_error, "")


_EXCEPTION_ADVICE: dict[int, str] = {
    ServiceError.DECIPHERING_ERROR: "check the keys",
    ServiceError.INVOCATION_COUNTER_ERROR: "our invocation counter is behind",
    ServiceError.OPERATION_NOT_POSSIBLE: "not associated, or not allowed now",
}
