"""The client's half of an application association (IEC 62056-5-3): AARQ, HLS, services, release. Without I/O.

Requests become bytes (``associate``, ``request``, ``release``), bytes become events (``receive``). The pump around
it sends whatever ``bytes`` it gets from either, until ``receive`` returns something else::

    IDLE -associate-> ASSOCIATING -AARE-> ASSOCIATED -request-> WAITING -response-> ASSOCIATED
                           |  AARE 14                                    -release-> RELEASING -RLRE-> ENDED
                           +--------> AUTHENTICATING -f(CtoS)-> ASSOCIATED

While WAITING, blocks may go to and fro (``block_transfer.py``, ``general_block_transfer.py``): the pump sees bytes to
be sent, and in the end one response.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from cosem_objects import association_ln, axdr
from cosem_objects.axdr import Data
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
    DataNotification,
    EventNotification,
    ExceptionResponse,
    GeneralBlockTransfer,
    InitiateRequest,
    InitiateResponse,
    MethodDescriptor,
    Notification,
    Request,
    Response,
)
from cosem_objects.dlms.block_transfer import ClientTransfer
from cosem_objects.dlms.ciphered import is_ciphered
from cosem_objects.dlms.conformance import CLIENT_OFFERED, needed_for
from cosem_objects.dlms.general_block_transfer import GeneralTransfer, Whole
from cosem_objects.dlms.hls import Challenged, Secrets, is_challenge
from cosem_objects.dlms.refusals import AssociationRefused, ServiceRefused
from cosem_objects.dlms.security import Cipher, InvocationCounters, SecurityLayer, WrongSystemTitleError
from cosem_objects.dlms.settings import TITLE_SIZE, Ciphering, SecuritySettings
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from cosem_objects.names import spell
from cosem_objects.obis import ObisCode


@dataclass(frozen=True, slots=True)
class Associated:
    """The association stands; HLS, if asked for, is verified on both sides."""

    conformance: Conformance
    """What both sides offered."""
    pdu_size_max: int
    meter_system_title: bytes


@dataclass(frozen=True, slots=True)
class Released:
    """The meter agreed to the end."""


Event: TypeAlias = bytes | Associated | Response | Notification | Released | None


class State(Enum):
    IDLE = auto()
    ASSOCIATING = auto()
    AUTHENTICATING = auto()
    ASSOCIATED = auto()
    WAITING = auto()
    RELEASING = auto()
    ENDED = auto()


_LISTENING = frozenset({State.AUTHENTICATING, State.WAITING, State.RELEASING})
_REFUSALS = (ExceptionResponse.TAG, ConfirmedServiceError.TAG)
_NOTIFICATIONS = (DataNotification.TAG, EventNotification.TAG)
_MAY_COME_IN_CLEAR = _REFUSALS + _NOTIFICATIONS
"""Even where ciphering was agreed. They prove nothing, and nothing is concluded from them."""
_CIPHERED_NOTIFICATIONS = (0xDB, 0xCA)
"""general-glo-ciphering and glo-event-notification-request, where nothing else is ever ciphered as a whole."""

_CONFIRMED_HIGH = 0xC0
"""invoke-id-and-priority without the id: confirmed, of high priority."""
_LIST_SIZE_MAX = 127  # guess: a count in one octet; no list of ours is longer
_LIST_HEAD, _LIST_ELEMENT = 4, 10  # tag, choice, invoke-id and count; descriptor and selection


class ClientAssociation:
    """One association as the client sees it.

    ``challenge`` (CtoS) is 8 to 64 octets of fresh chance; ``dedicated_key`` 16 octets of it, where ciphering is to be
    under a dedicated key. ``offered``: for meters that stumble over a conformance bit they do not know. Stacks differ
    in whether the counter begins anew with a dedicated key, and in whether HLS pass 3 is under it already.
    """

    def __init__(
        self,
        settings: SecuritySettings,
        counters: InvocationCounters,
        challenge: bytes,
        *,
        association_obis: ObisCode = association_ln.CURRENT_OBIS,
        pdu_size_max: int = 0xFFFF,
        offered: Conformance = CLIENT_OFFERED,
        dedicated_key: bytes = b"",
        restart_dedicated_counter: bool = False,
        dedicated_key_in_hls: bool = False,
    ) -> None:
        if settings.needs_titles and len(settings.client_system_title) != TITLE_SIZE:
            raise LocalProtocolError(f"ciphering needs a system title of our own, of {TITLE_SIZE} octets")
        if settings.ciphering.is_dedicated and len(dedicated_key) != len(settings.ek):
            raise LocalProtocolError(f"ciphering {settings.ciphering} needs a dedicated key")
        self.state = State.IDLE
        self._settings = settings
        self._counters = counters
        self._challenge = challenge
        self._association_obis = association_obis
        self._pdu_size_max = pdu_size_max
        self._offered = offered | Conformance.GENERAL_PROTECTION if settings.ciphering.is_general else offered
        self._dedicated_key = dedicated_key
        self._restart_dedicated_counter = restart_dedicated_counter
        self._dedicated_key_in_hls = dedicated_key_in_hls
        self._cipher = Cipher(settings.ek, settings.ak) if settings.needs_keys else None
        self._layer: SecurityLayer | None = None
        self._meter_title = settings.meter_system_title
        self._invoke = 0
        self._challenged: Challenged | None = None
        self._transfer: ClientTransfer | None = None
        self._blocks: GeneralTransfer | None = None
        self._repeats_before = 0
        self._associated: Associated | None = None
        self._room = 0
        """Octets that a plain APDU to the meter may have, 0 = no limit."""

    @property
    def repeats(self) -> int:
        """General blocks that were sent again so far."""
        return self._repeats_before + (0 if self._blocks is None else self._blocks.repeats)

    @property
    def list_size_max(self) -> int:
        """How many whole attributes one GET may ask for: 1 where the meter did not agree to lists."""
        associated = self._associated
        if associated is None or Conformance.MULTIPLE_REFERENCES not in associated.conformance:
            return 1
        room = self._room
        return max(1, min(_LIST_SIZE_MAX, (room - _LIST_HEAD) // _LIST_ELEMENT)) if room else _LIST_SIZE_MAX

    # What we send.

    def associate(self) -> bytes:
        """The AARQ."""
        self._expect(State.IDLE)
        self.state = State.ASSOCIATING
        settings = self._settings
        is_dedicated = settings.ciphering.is_dedicated
        initiate = InitiateRequest(
            self._offered, self._pdu_size_max, self._dedicated_key if is_dedicated else None
        ).encode()
        if settings.ciphering is not Ciphering.NONE:
            self._layer = self._new_layer()
            initiate = self._layer.protect(initiate)
        authentication = settings.password if settings.mechanism is Mechanism.LLS else None
        return Aarq(
            context=settings.application_context,
            user_information=initiate,
            calling_ap_title=settings.client_system_title if settings.needs_titles else None,
            mechanism=settings.mechanism,
            authentication=self._challenge if settings.is_high_level else authentication,
        ).encode()

    def request(self, request: Request) -> bytes:
        """A GET, SET or ACTION, with the next invoke-id. Raises ``LocalProtocolError`` if it cannot be sent."""
        self._expect(State.ASSOCIATED)
        assert self._associated is not None
        agreed = self._associated.conformance
        needed = needed_for(request)
        assert needed is not None
        if needed not in agreed:
            raise LocalProtocolError(f"the meter did not agree to {(needed & ~agreed).name}")
        sent = self._begin(request, agreed)
        self.state = State.WAITING
        return sent

    def give_up_reading(self) -> None:
        """The answer to a GET was none, or a refusal: as reading changes nothing, the same may be asked otherwise. The
        answer itself, should it still come, would not have the invoke-id of the next question."""
        if self._transfer is not None and self._transfer.is_reading:
            self._transfer, self.state = None, State.ASSOCIATED

    def release(self) -> bytes:
        """The RLRQ; in a ciphered association it carries the ciphered InitiateRequest."""
        self._expect(State.ASSOCIATED)
        self.state = State.RELEASING
        if self._layer is None:
            return acse.Rlrq().encode()
        initiate = InitiateRequest(self._offered, self._pdu_size_max).encode()
        return acse.Rlrq(user_information=self._layer.protect(initiate)).encode()

    # What we receive.

    def receive(self, octets: bytes) -> Event:
        """One APDU from the meter. ``bytes`` as event = something of the association itself, to be sent; ``None`` =
        nothing yet, more will come: a block, or a ciphered notification before the AARE.

        Raises ``RemoteRefusal`` when the meter says no, ``RemoteProtocolError`` when it breaks the rules. After either
        of them, except after a notification, the association is of no further use for requests whose effect matters.
        """
        tag, state = octets[0] if octets else -1, self.state
        if state is State.ASSOCIATING:
            return self._receive_association(octets, tag)
        if state is State.RELEASING and tag == acse.Rlre.TAG:
            acse.decode(octets)
            self.state = State.ENDED
            return Released()
        if tag in acse.TAGS or state not in _LISTENING:
            raise RemoteProtocolError(f"an APDU ({octets[:1].hex()}) that nothing asked for")
        if tag == GeneralBlockTransfer.TAG:
            return self._receive_block(octets)
        return self._receive_service(octets)

    def _receive_block(self, octets: bytes) -> Event:
        assert self._associated is not None
        if Conformance.GENERAL_BLOCK_TRANSFER not in self._associated.conformance:
            raise RemoteProtocolError("a general block, which was not agreed")
        block = xdlms.decode(octets)
        assert isinstance(block, GeneralBlockTransfer)
        if self._blocks is None:
            self._blocks = GeneralTransfer()
        reaction = self._blocks.receive(block)
        return self._receive_service(reaction.octets) if isinstance(reaction, Whole) else reaction

    def _receive_service(self, octets: bytes) -> Event:
        decoded = xdlms.decode(self._open(octets))
        if isinstance(decoded, ExceptionResponse | ConfirmedServiceError):
            self.state = State.ENDED
            raise ServiceRefused(decoded)
        if isinstance(decoded, Notification):
            return decoded
        if self._transfer is None:
            raise RemoteProtocolError(f"a {type(decoded).__name__} where another answer was expected")
        response = self._transfer.receive(decoded)
        if isinstance(response, bytes):
            return self._seal(response)
        self._transfer = None
        if self.state is State.AUTHENTICATING:
            return self._finish_authentication(response)
        self.state = State.ASSOCIATED
        return response

    # Association.

    def _receive_association(self, octets: bytes, tag: int) -> Event:
        if tag in _MAY_COME_IN_CLEAR:
            said = xdlms.decode(octets)
            if isinstance(said, ExceptionResponse | ConfirmedServiceError):
                self.state = State.ENDED
                raise ServiceRefused(said)
            assert isinstance(said, Notification)
            return said
        if tag in _CIPHERED_NOTIFICATIONS:
            return None  # who sealed it is seen from the AARE at the earliest, and we do not need to know
        aare = acse.decode(octets)
        if not isinstance(aare, Aare):
            raise RemoteProtocolError("an AARE was expected")
        if aare.result != AssociationResult.ACCEPTED:
            self.state = State.ENDED
            raise AssociationRefused.by(aare, self._error_inside(aare), self._settings.application_context)
        expected = self._settings.application_context
        if aare.context != expected:
            raise RemoteProtocolError(f"the meter agreed to application context {aare.context}, not {expected}")
        if self._settings.needs_titles:
            self._learn_title(aare.responding_ap_title)
        initiate = self._open_initiate(aare.user_information or b"")
        agreed = initiate.conformance & self._offered
        self._associated = Associated(agreed, initiate.pdu_size_max, self._meter_title)
        return self._answer(aare) if self._settings.is_high_level else self._finish(self._associated)

    def _answer(self, aare: Aare) -> bytes:
        """HLS pass 3: f(StoC)."""
        challenge = aare.authentication or b""
        if aare.diagnostic != UserDiagnostic.AUTHENTICATION_REQUIRED or not challenge:
            raise RemoteProtocolError("the meter accepted without the high level security that was asked for")
        if not is_challenge(challenge):
            raise RemoteProtocolError(
                f"a challenge that must not be answered: of {len(challenge)} octets, not of 8 to 64, or an APDU"
            )
        if challenge == self._challenge:
            raise RemoteProtocolError("the meter sent our own challenge back")
        secrets = Secrets(self._settings.mechanism, self._cipher, self._settings.password)
        own_title = self._settings.client_system_title
        self._challenged = Challenged(secrets, own_title, self._meter_title, self._challenge, challenge)
        answer = self._challenged.answer(self._counters)
        self.state = State.AUTHENTICATING
        if self._layer is not None and self._dedicated_key_in_hls:
            self._layer.form = self._settings.ciphering
        method = MethodDescriptor(
            association_ln.CLASS_ID, self._association_obis, association_ln.METHOD_REPLY_TO_HLS_AUTHENTICATION
        )
        return self._begin(ActionRequest(method, axdr.octet_string(answer)), Conformance.ACTION)

    def _finish_authentication(self, response: Response) -> Associated:
        """HLS pass 4: the meter's f(CtoS) must be right, or it is not our meter."""
        assert isinstance(response, ActionResponse)
        if response.result != ActionResult.SUCCESS:
            self.state = State.ENDED
            raise AssociationRefused(
                f"the meter refused our HLS answer with {spell(ActionResult, response.result)}: "
                "check the password or keys, and the system titles",
                UserDiagnostic.AUTHENTICATION_FAILURE,
            )
        answer = response.returned.value if isinstance(response.returned, Data) else None
        assert self._challenged is not None
        if not isinstance(answer, bytes) or not self._challenged.is_answered(answer):
            self.state = State.ENDED
            raise RemoteProtocolError("the meter could not answer our HLS challenge: it does not hold the key")
        assert self._associated is not None
        return self._finish(self._associated)

    def _finish(self, associated: Associated) -> Associated:
        """The association stands: from here on under the dedicated key, if there is one."""
        self.state = State.ASSOCIATED
        if self._layer is not None:
            self._layer.form = self._settings.ciphering
            # With HLS the challenge has made the association fresh, and some meters answer as they please.
            self._layer.only_dedicated = self._settings.ciphering.is_dedicated and not self._settings.is_high_level
        overhead = 0 if self._layer is None else self._layer.overhead
        self._room = max(associated.pdu_size_max - overhead, 1) if associated.pdu_size_max else 0
        return associated

    def _error_inside(self, aare: Aare) -> ConfirmedServiceError | None:
        if not aare.user_information:
            return None
        try:
            if is_ciphered(aare.user_information):
                self._learn_title(aare.responding_ap_title)
            inside = xdlms.decode(self._open(aare.user_information))
        except RemoteProtocolError:
            return None  # the refusal itself is what matters
        return inside if isinstance(inside, ConfirmedServiceError) else None

    # Requests and security.

    def _begin(self, request: Request, agreed: Conformance) -> bytes:
        self._invoke = self._invoke % 15 + 1
        invoke = _CONFIRMED_HIGH | self._invoke
        self._repeats_before, self._blocks = self.repeats, None
        try:
            transfer = ClientTransfer(request, invoke, agreed, self._room)
        except LocalProtocolError:
            if not agreed & Conformance.GENERAL_BLOCK_TRANSFER:
                raise
            assert self._associated is not None
            self._transfer, self._blocks = ClientTransfer(request, invoke, agreed, 0), GeneralTransfer()
            return self._blocks.send(self._seal(self._transfer.first), self._associated.pdu_size_max)
        self._transfer = transfer
        return self._seal(transfer.first)

    def _new_layer(self) -> SecurityLayer:
        assert self._cipher is not None
        own = self._settings.client_system_title
        layer = SecurityLayer(self._settings, self._cipher, self._counters, own, self._meter_title)
        if self._settings.ciphering.is_dedicated:
            layer.add_dedicated_key(self._dedicated_key, restart_counters=self._restart_dedicated_counter)
        return layer

    def _seal(self, plain: bytes) -> bytes:
        return plain if self._layer is None else self._layer.protect(plain)

    def _open(self, octets: bytes) -> bytes:
        if self._layer is None:
            if is_ciphered(octets):
                raise RemoteProtocolError("a ciphered APDU in an association without ciphering")
            return octets
        if octets and octets[0] in _MAY_COME_IN_CLEAR:
            return octets
        return self._layer.unprotect(octets)

    def _open_initiate(self, user_information: bytes) -> InitiateResponse:
        initiate = xdlms.decode(self._open(user_information))
        if isinstance(initiate, ConfirmedServiceError):
            raise ServiceRefused(initiate)
        if not isinstance(initiate, InitiateResponse):
            raise RemoteProtocolError("an InitiateResponse was expected in the AARE")
        if initiate.dlms_version != DLMS_VERSION:
            raise RemoteProtocolError(f"the meter speaks DLMS version {initiate.dlms_version}, not {DLMS_VERSION}")
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
            self._layer.peer_title = title

    def _expect(self, state: State) -> None:
        if self.state is not state:
            raise LocalProtocolError(f"not allowed while {self.state.name.lower()}, only when {state.name.lower()}")
