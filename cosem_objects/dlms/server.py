"""The server's half of an application association: what a meter does with the APDUs of one client. Without I/O.

``receive`` gives either ``bytes``, an answer that the association makes itself (AARE, HLS, blocks, release, every kind
of "no"), or a request for the meter's objects, or ``None`` where silence is the answer; ``respond`` turns what the
objects say into bytes. Nothing received raises.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from contextlib import suppress
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
    Apdu,
    ConfirmedServiceError,
    Conformance,
    ExceptionResponse,
    GeneralBlockTransfer,
    InitiateRequest,
    InitiateResponse,
    Notification,
    Request,
    Response,
    ServiceError,
    StateError,
    UnknownTagError,
)
from cosem_objects.dlms.block_server import ServerTransfer, too_long
from cosem_objects.dlms.ciphered import is_ciphered
from cosem_objects.dlms.conformance import SERVER_OFFERED, needed_for
from cosem_objects.dlms.general_block_transfer import GeneralTransfer, Whole
from cosem_objects.dlms.hls import Challenged, Secrets, is_challenge
from cosem_objects.dlms.security import (
    COUNTER_MAX,
    Cipher,
    DecipheringError,
    InvocationCounters,
    ReplayedCounterError,
    SecurityLayer,
    WrongSystemTitleError,
)
from cosem_objects.dlms.settings import TITLE_SIZE, Ciphering, SecuritySettings
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError, SettingError

_PDU_SIZE_MIN = 12
"""Less than this cannot even carry an error (IEC 62056-5-3: client max receive PDU size)."""

_SERVICE_BLOCKS = Conformance.BLOCK_TRANSFER_WITH_GET | Conformance.BLOCK_TRANSFER_WITH_ACTION


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
        offered: Conformance = SERVER_OFFERED,
        mirror_form: bool = True,
    ) -> None:
        if settings.needs_titles and len(settings.meter_system_title) != TITLE_SIZE:
            raise SettingError(f"system-title: a meter with keys needs one of {TITLE_SIZE} octets")
        self.state = State.IDLE
        self._settings = settings
        self._counters = counters
        self._new_challenge = new_challenge
        self._pdu_size_max = pdu_size_max
        self._offered = offered
        self._mirror_form = mirror_form
        self._cipher = Cipher(settings.ek, settings.ak) if settings.needs_keys else None
        self._layer: SecurityLayer | None = None
        self._client_title = b""
        self._challenged: Challenged | None = None
        self._client_pdu_size_max = 0
        self.conformance = offered
        """What both sides offered, while an association stands; else what this side offers."""
        self._asked: Request | None = None
        self._transfer = ServerTransfer()
        self._blocks = GeneralTransfer(is_asked=True)

    def receive(self, octets: bytes) -> bytes | Request | None:
        """One APDU from the client: our own answer, a request for the objects, or None where nothing is to be said
        yet. Never raises."""
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
        except UnknownTagError:
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
        if not self._uses_general_blocks or self._fits(response):
            with suppress(LocalProtocolError):
                return self._seal(self._transfer.respond(response, self._room, self.conformance))
        if self.conformance & Conformance.GENERAL_BLOCK_TRANSFER:
            with suppress(LocalProtocolError):
                return self._blocks.send(self._seal(response.encode()), self._client_pdu_size_max)
        shortened = too_long(response)
        if self._fits(shortened):
            return self._seal(shortened.encode())
        return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.PDU_TOO_LONG)

    def notify(self, notification: Notification) -> bytes:
        """Something that the meter says unasked. Raises ``LocalProtocolError`` without an association, for one that
        is too long for the client, or if our counter is used up."""
        if self.state is not State.ASSOCIATED:
            raise LocalProtocolError("there is no association in which to notify")
        plain = notification.encode()
        sealed = plain if self._layer is None else self._layer.protect(plain)
        if 0 < self._client_pdu_size_max < len(sealed):
            taken = self._client_pdu_size_max
            raise LocalProtocolError(f"the notification has {len(sealed)} octets; the client takes {taken} at most")
        return sealed

    @property
    def client_pdu_size_max(self) -> int:
        """The longest APDU that the client takes, as it said in its last AARQ; 0 = no limit."""
        return self._client_pdu_size_max

    @property
    def _room(self) -> int:
        """Octets that a plain APDU to the client may have, 0 = no limit."""
        if not self._client_pdu_size_max:
            return 0
        return max(self._client_pdu_size_max - (0 if self._layer is None else self._layer.overhead), 1)

    def _send(self, plain: bytes) -> bytes:
        """What is said to a block: short, but a client may have the smallest of limits."""
        sealed = self._seal(plain)
        if not 0 < self._client_pdu_size_max < len(sealed):
            return sealed
        if self.conformance & Conformance.GENERAL_BLOCK_TRANSFER:
            return self._blocks.send(sealed, self._client_pdu_size_max)
        return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.PDU_TOO_LONG)

    def _fits(self, response: Response) -> bool:
        return not self._room or len(response.encode()) <= self._room

    @property
    def _uses_general_blocks(self) -> bool:
        """A client that asked in general blocks gets its answer so, and one that knows no others."""
        if not self.conformance & Conformance.GENERAL_BLOCK_TRANSFER:
            return False
        return self._blocks.is_in_use or not self.conformance & _SERVICE_BLOCKS

    def _receive(self, octets: bytes) -> bytes | Request | None:
        tag = octets[0] if octets else None
        if tag == Aarq.TAG:
            return self._associate(octets)
        if tag == acse.Rlrq.TAG:
            return self._release(octets)
        if self.state is State.IDLE:
            return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE)
        if self._pdu_size_max and len(octets) > self._pdu_size_max:
            return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.PDU_TOO_LONG)
        if tag == GeneralBlockTransfer.TAG and self.conformance & Conformance.GENERAL_BLOCK_TRANSFER:
            block = xdlms.decode(octets)
            assert isinstance(block, GeneralBlockTransfer)
            reaction = self._blocks.receive(block)
            return self._receive_service(reaction.octets) if isinstance(reaction, Whole) else reaction
        self._blocks = GeneralTransfer(is_asked=True)
        return self._receive_service(octets)

    def _receive_service(self, octets: bytes) -> bytes | Request:
        decoded = xdlms.decode(self._open(octets))
        needs = needed_for(decoded)
        if needs is None:
            raise UnknownTagError(f"a {type(decoded).__name__} is nothing that a client asks")
        if self.state is State.AUTHENTICATING:
            return self._authenticate(decoded)
        if needs & self.conformance != needs:
            raise UnknownTagError(f"a {type(decoded).__name__} was not agreed")
        asked = self._transfer.receive(decoded)
        if isinstance(asked, bytes):
            return self._send(asked)
        self._asked = asked
        return asked

    # Association.

    def _associate(self, octets: bytes) -> bytes:
        self._end()
        aarq = acse.decode(octets)
        assert isinstance(aarq, Aarq)
        try:
            initiate = self._check(aarq)
        except _Rejected as rejected:
            return self._reject(rejected)
        except RemoteProtocolError:
            self._end()  # nothing is left of one that began under our keys
            raise
        settings = self._settings
        self._client_pdu_size_max = initiate.pdu_size_max
        self.conformance = initiate.conformance & self._offered
        agreed = InitiateResponse(self.conformance, self._pdu_size_max).encode()
        is_high_level, challenge = settings.is_high_level, b""
        if is_high_level:
            challenge = self._new_challenge()
            secrets, own_title = (
                Secrets(settings.mechanism, self._cipher, settings.password),
                settings.meter_system_title,
            )
            self._challenged = Challenged(secrets, own_title, self._client_title, challenge, aarq.authentication or b"")
        self.state = State.AUTHENTICATING if is_high_level else State.ASSOCIATED
        user_information = self._seal(agreed)
        if self._layer is not None:
            self._know_dedicated_key(self._layer, initiate.dedicated_key)
        return Aare(
            context=settings.application_context,
            result=AssociationResult.ACCEPTED,
            diagnostic=UserDiagnostic.AUTHENTICATION_REQUIRED if is_high_level else UserDiagnostic.NULL,
            user_information=user_information,
            responding_ap_title=settings.meter_system_title if settings.needs_titles else None,
            mechanism=settings.mechanism if is_high_level else None,
            authentication=challenge if is_high_level else None,
        ).encode()

    def _know_dedicated_key(self, layer: SecurityLayer, key: bytes | None) -> None:
        """A client that sends one may use it; whether we use it ourselves follows from how we are asked, or from our
        own settings."""
        if key is not None and len(key) == len(self._settings.ek):
            layer.add_dedicated_key(key)
            self._use_agreed_form(layer)

    def _use_agreed_form(self, layer: SecurityLayer) -> None:
        """Not before the association stands: HLS pass 4 is under the global key, as pass 3 is."""
        if self.state is State.ASSOCIATED and layer.has_dedicated_key and not self._mirror_form:
            layer.form = self._settings.ciphering

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
        if settings.needs_titles:
            self._learn_title(aarq.calling_ap_title or b"")
        if settings.mechanism is Mechanism.LLS and not hmac.compare_digest(
            aarq.authentication or b"", settings.password
        ):
            raise _Rejected(UserDiagnostic.AUTHENTICATION_FAILURE)
        if settings.is_high_level and not is_challenge(aarq.authentication or b""):
            raise _Rejected(UserDiagnostic.AUTHENTICATION_FAILURE)
        initiate = self._open_initiate(aarq.user_information)
        if initiate.dlms_version < DLMS_VERSION:
            raise _Rejected(UserDiagnostic.NO_REASON_GIVEN, initiate_error=1)
        if not initiate.conformance & self._offered:
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

    def _authenticate(self, request: Apdu) -> bytes:
        """HLS passes 3 and 4: the client's f(StoC), and ours of its challenge."""
        if not isinstance(request, ActionRequest) or (request.method.class_id, request.method.method) != (
            association_ln.CLASS_ID,
            association_ln.METHOD_REPLY_TO_HLS_AUTHENTICATION,
        ):
            return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE)
        assert self._challenged is not None
        answer = request.data.value if request.data is not None else None
        if not isinstance(answer, bytes) or not self._challenged.is_answered(answer):
            refused = self._seal(ActionResponse(ActionResult.READ_WRITE_DENIED, None, request.invoke).encode())
            self._end()
            return refused
        ours = self._challenged.answer(self._counters)
        self.state = State.ASSOCIATED
        proof = self._seal(ActionResponse(ActionResult.SUCCESS, axdr.octet_string(ours), request.invoke).encode())
        if self._layer is not None:
            self._use_agreed_form(self._layer)
        return proof

    def _release(self, octets: bytes) -> bytes:
        release = acse.decode(octets)
        if self._layer is not None and isinstance(release, acse.Rlrq) and release.user_information:
            self._open(release.user_information)  # a forged one ends nothing
        information = None
        if self._layer is not None:
            information = self._seal(InitiateResponse(self.conformance, self._pdu_size_max).encode())
        self._end()
        return acse.Rlre(user_information=information).encode()

    def _end(self) -> None:
        """No association stands, and nothing of the last one is left."""
        self.state, self._layer, self._asked, self._challenged = State.IDLE, None, None, None
        self.conformance = self._offered
        self._transfer, self._blocks = ServerTransfer(), GeneralTransfer(is_asked=True)

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


def _exception(state: StateError, service: ServiceError) -> bytes:
    return ExceptionResponse(state, service).encode()
