"""The server's half of an application association: what a meter does with the APDUs of one client. Without I/O.

``receive`` gives either ``bytes``, an answer that the association makes itself (AARE, HLS, release, every kind of
"no"), or a request for the meter's objects; ``respond`` turns their answer into bytes. Nothing received raises.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto

from cosem_objects import association_ln, axdr
from cosem_objects.dlms import acse
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms.acse import Aare, Aarq, AssociationResult, Mechanism, UserDiagnostic
from cosem_objects.dlms.apdu import (
    DLMS_VERSION,
    ActionRequest,
    ActionResponse,
    ActionResult,
    ConfirmedServiceError,
    Conformance,
    DataAccessResult,
    ExceptionResponse,
    GetResponse,
    InitiateRequest,
    InitiateResponse,
    Request,
    Response,
    ServiceError,
    SetResponse,
    StateError,
    UnsupportedServiceError,
)
from cosem_objects.dlms.security import (
    CHALLENGE_SIZE_MAX,
    CHALLENGE_SIZE_MIN,
    COUNTER_MAX,
    Cipher,
    DecipheringError,
    InvocationCounters,
    ReplayedCounterError,
    SecurityLayer,
    WrongSystemTitleError,
    answer_challenge,
    challenge_is_answered,
    is_ciphered,
)
from cosem_objects.dlms.settings import TITLE_SIZE, Ciphering, SecuritySettings
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError, SettingError

OFFERED = Conformance.GET | Conformance.SET | Conformance.ACTION | Conformance.GENERAL_PROTECTION
"""What this half of an association can do."""
_PDU_SIZE_MIN = 12
"""Less than this cannot even carry an error (IEC 62056-5-3: client max receive PDU size)."""


class State(Enum):
    IDLE = auto()
    AUTHENTICATING = auto()
    ASSOCIATED = auto()


class _Rejected(Exception):
    def __init__(self, diagnostic: UserDiagnostic, initiate_error: int | None = None) -> None:
        super().__init__(diagnostic)
        self.diagnostic = diagnostic
        self.initiate_error = initiate_error


class ServerAssociation:
    """One association as the meter sees it.

    ``counters`` belong to the meter's key and outlive the association. ``new_challenge`` gives 8 to 64 fresh octets.
    ``mirror_form``: answer in the form in which one was asked, instead of always in ``settings.ciphering``.
    """

    def __init__(
        self,
        settings: SecuritySettings,
        counters: InvocationCounters,
        new_challenge: Callable[[], bytes],
        *,
        pdu_size_max: int = 0xFFFF,
        mirror_form: bool = True,
    ) -> None:
        if settings.needs_keys and len(settings.meter_system_title) != TITLE_SIZE:
            raise SettingError(f"system-title: a meter with keys needs one of {TITLE_SIZE} octets")
        self.state = State.IDLE
        self._settings = settings
        self._counters = counters
        self._new_challenge = new_challenge
        self._pdu_size_max = pdu_size_max
        self._mirror_form = mirror_form
        self._cipher = Cipher(settings.ek, settings.ak) if settings.needs_keys else None
        self._layer: SecurityLayer | None = None
        self._client_title = b""
        self._client_challenge = b""
        self._own_challenge = b""
        self._client_pdu_size_max = 0
        self._asked: Request | None = None

    def receive(self, octets: bytes) -> bytes | Request:
        """One APDU from the client: our own answer, or a request for the objects. Never raises."""
        try:
            return self._receive(octets)
        except ReplayedCounterError as error:
            expected = (
                error.expected if error.expected <= COUNTER_MAX else None
            )  # at its end there is nothing to expect
            return ExceptionResponse(
                StateError.SERVICE_NOT_ALLOWED, ServiceError.INVOCATION_COUNTER_ERROR, expected
            ).encode()
        except DecipheringError:
            return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.DECIPHERING_ERROR)
        except LocalProtocolError:  # our own counter is used up: only what needs none can still be said
            return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.OTHER_REASON)
        except UnsupportedServiceError:
            return _exception(StateError.SERVICE_UNKNOWN, ServiceError.SERVICE_NOT_SUPPORTED)
        except WrongSystemTitleError:
            return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.DECIPHERING_ERROR)
        except RemoteProtocolError:
            return _exception(StateError.SERVICE_UNKNOWN, ServiceError.OTHER_REASON)

    def respond(self, response: Response) -> bytes:
        """The answer of the objects to the request that ``receive`` handed out."""
        if self._asked is None:
            raise LocalProtocolError("there is no request to respond to")
        response, self._asked = replace(response, invoke=self._asked.invoke), None
        octets = self._seal(response.encode())
        if 0 < self._client_pdu_size_max < len(octets):
            return self._seal(_too_long(response).encode())
        return octets

    def _receive(self, octets: bytes) -> bytes | Request:
        tag = octets[0] if octets else None
        if tag == Aarq.TAG:
            return self._associate(octets)
        if tag == acse.Rlrq.TAG:
            return self._release(octets)
        if self.state is State.IDLE:
            return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE)
        request = xdlms.decode(self._open(octets))
        if not isinstance(request, Request):
            raise UnsupportedServiceError(f"a {type(request).__name__} is nothing that a client asks")
        if self.state is State.AUTHENTICATING:
            return self._authenticate(request)
        self._asked = request
        return request

    # Association.

    def _associate(self, octets: bytes) -> bytes:
        self.state, self._layer, self._asked = State.IDLE, None, None
        aarq = acse.decode(octets)
        assert isinstance(aarq, Aarq)
        try:
            initiate = self._check(aarq)
        except _Rejected as rejected:
            return self._reject(rejected)
        self._client_pdu_size_max = initiate.pdu_size_max
        agreed = InitiateResponse(initiate.conformance & OFFERED, self._pdu_size_max).encode()
        is_high_level = self._settings.mechanism is Mechanism.HLS_GMAC
        if is_high_level:
            self._client_challenge, self._own_challenge = aarq.authentication or b"", self._new_challenge()
        self.state = State.AUTHENTICATING if is_high_level else State.ASSOCIATED
        return Aare(
            context=self._settings.application_context,
            result=AssociationResult.ACCEPTED,
            diagnostic=UserDiagnostic.AUTHENTICATION_REQUIRED if is_high_level else UserDiagnostic.NULL,
            user_information=self._seal(agreed),
            responding_ap_title=self._settings.meter_system_title if self._settings.needs_keys else None,
            mechanism=Mechanism.HLS_GMAC if is_high_level else None,
            authentication=self._own_challenge if is_high_level else None,
        ).encode()

    def _check(self, aarq: Aarq) -> InitiateRequest:
        """All that must be right in an AARQ, in the order in which a meter notices."""
        settings = self._settings
        if aarq.context != self._settings.application_context:
            raise _Rejected(UserDiagnostic.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED)
        if aarq.mechanism != settings.mechanism:
            missing = aarq.mechanism == Mechanism.NONE
            raise _Rejected(
                UserDiagnostic.AUTHENTICATION_MECHANISM_NAME_REQUIRED
                if missing
                else UserDiagnostic.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED
            )
        if settings.needs_keys:
            self._learn_title(aarq.calling_ap_title or b"")
        if settings.mechanism is Mechanism.LLS and not hmac.compare_digest(
            aarq.authentication or b"", settings.password
        ):
            raise _Rejected(UserDiagnostic.AUTHENTICATION_FAILURE)
        if settings.mechanism is Mechanism.HLS_GMAC and not _is_challenge(aarq.authentication or b""):
            raise _Rejected(UserDiagnostic.AUTHENTICATION_FAILURE)
        initiate = self._open_initiate(aarq.user_information)
        if initiate.dlms_version < DLMS_VERSION:
            raise _Rejected(UserDiagnostic.NO_REASON_GIVEN, initiate_error=1)
        if not initiate.conformance & OFFERED:
            raise _Rejected(UserDiagnostic.NO_REASON_GIVEN, initiate_error=2)
        if 0 < initiate.pdu_size_max < _PDU_SIZE_MIN:
            raise _Rejected(UserDiagnostic.NO_REASON_GIVEN, initiate_error=3)
        return initiate

    def _learn_title(self, title: bytes) -> None:
        expected = self._settings.client_system_title
        is_our_own = title == self._settings.meter_system_title  # both would seal under the same nonces
        if len(title) != TITLE_SIZE or is_our_own or (expected and title != expected):
            raise _Rejected(UserDiagnostic.CALLING_AP_TITLE_NOT_RECOGNIZED)
        self._client_title = title
        if self._settings.ciphering is not Ciphering.NONE:
            assert self._cipher is not None
            own = self._settings.meter_system_title
            self._layer = SecurityLayer(self._settings, self._cipher, self._counters, own, title)

    def _open_initiate(self, user_information: bytes) -> InitiateRequest:
        try:
            initiate = xdlms.decode(self._open(user_information))
        except ReplayedCounterError:
            raise  # the client needs to hear the counter
        except DecipheringError:
            raise _Rejected(UserDiagnostic.AUTHENTICATION_FAILURE) from None
        if not isinstance(initiate, InitiateRequest):
            raise RemoteProtocolError("an InitiateRequest was expected in the AARQ")
        return initiate

    def _reject(self, rejected: _Rejected) -> bytes:
        self._layer = None
        error = None if rejected.initiate_error is None else ConfirmedServiceError(1, 6, rejected.initiate_error)
        return Aare(
            context=self._settings.application_context,
            result=AssociationResult.REJECTED_PERMANENT,
            diagnostic=rejected.diagnostic,
            user_information=None if error is None else error.encode(),
        ).encode()

    def _authenticate(self, request: Request) -> bytes:
        """HLS passes 3 and 4: the client's f(StoC), and ours of its challenge."""
        is_reply = (
            isinstance(request, ActionRequest)
            and request.method.class_id == association_ln.CLASS_ID
            and request.method.method == association_ln.METHOD_REPLY_TO_HLS_AUTHENTICATION
        )
        if not is_reply or not isinstance(request, ActionRequest):
            return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE)
        assert self._cipher is not None
        answer = request.data.value if request.data is not None else None
        is_right = isinstance(answer, bytes) and challenge_is_answered(
            self._cipher, self._client_title, self._own_challenge, answer
        )
        if not is_right:
            refused = self._seal(ActionResponse(ActionResult.READ_WRITE_DENIED, None, request.invoke).encode())
            self.state, self._layer = State.IDLE, None
            return refused
        ours = answer_challenge(
            self._cipher, self._settings.meter_system_title, self._counters.take(), self._client_challenge
        )
        self.state = State.ASSOCIATED
        return self._seal(ActionResponse(ActionResult.SUCCESS, axdr.octet_string(ours), request.invoke).encode())

    def _release(self, octets: bytes) -> bytes:
        release = acse.decode(octets)
        if self._layer is not None and isinstance(release, acse.Rlrq) and release.user_information:
            self._open(release.user_information)  # a forged one ends nothing
        information = None
        if self._layer is not None:
            information = self._seal(InitiateResponse(OFFERED, self._pdu_size_max).encode())
        self.state, self._layer, self._asked = State.IDLE, None, None
        return acse.Rlre(user_information=information).encode()

    # Security.

    def _open(self, octets: bytes) -> bytes:
        if self._layer is None:
            if is_ciphered(octets):
                raise DecipheringError("a ciphered APDU in an association without ciphering")
            return octets
        plain = self._layer.unprotect(octets)
        self._layer.control = self._layer.control_received
        if self._mirror_form:
            self._layer.form = self._layer.form_received
        return plain

    def _seal(self, plain: bytes) -> bytes:
        try:
            return plain if self._layer is None else self._layer.protect(plain)
        except LocalProtocolError:  # our counter is used up: only what needs none can still be said
            return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.OTHER_REASON)


def _is_challenge(octets: bytes) -> bool:
    """Of the right size, and no APDU: our answer would be a valid tag for that, where authentication is enough."""
    return CHALLENGE_SIZE_MIN <= len(octets) <= CHALLENGE_SIZE_MAX and not xdlms.is_apdu(octets)


def _exception(state: StateError, service: ServiceError) -> bytes:
    return ExceptionResponse(state, service).encode()


def _too_long(response: Response) -> Response:
    """What is said instead of an answer that does not fit the client's PDU (there is no block transfer yet)."""
    if isinstance(response, GetResponse):
        return GetResponse(DataAccessResult.OTHER_REASON, response.invoke)
    if isinstance(response, ActionResponse):
        return ActionResponse(response.result, None, response.invoke)
    return SetResponse(response.result, response.invoke)
