"""What a client hears instead of an association or an answer, in words that say what to do about it."""

from __future__ import annotations

from cosem_objects.dlms.acse import Aare, ApplicationContext, AssociationResult, UserDiagnostic
from cosem_objects.dlms.apdu import ConfirmedServiceError, ExceptionResponse, ServiceError
from cosem_objects.errors import RemoteRefusal


class AssociationRefused(RemoteRefusal):
    """The AARE said no. ``diagnostic`` is the acse-service-user's, if that is who spoke."""

    def __init__(self, message: str, diagnostic: int | None = None, *, transient: bool = False) -> None:
        super().__init__(message)
        self.diagnostic = diagnostic
        self.transient = transient

    @classmethod
    def by(
        cls, aare: Aare, service_error: ConfirmedServiceError | None, offered: ApplicationContext | None = None
    ) -> AssociationRefused:
        """What a refusing AARE says, with the error inside it if there is one. ``offered``: what our AARQ said."""
        said = [f"the meter refused the association: {aare.diagnostic_words()}"]
        if service_error is not None:
            said.append(str(service_error))
        diagnostic = None if aare.provider_diagnostic else aare.diagnostic
        transient = aare.result == AssociationResult.REJECTED_TRANSIENT
        advice = _ASSOCIATION_ADVICE.get(diagnostic) if diagnostic is not None else None
        if diagnostic == UserDiagnostic.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED and offered is not None:
            advice = _CONTEXT_ADVICE.get(offered, advice)
        if transient:
            said.append("try again later")
        elif advice:
            said.append(advice)
        return cls("; ".join(said), diagnostic, transient=transient)


class ServiceRefused(RemoteRefusal):
    """An exception-response or confirmed-service-error. Not authenticated: it proves nothing about what happened."""

    def __init__(self, response: ExceptionResponse | ConfirmedServiceError) -> None:
        advice = _EXCEPTION_ADVICE.get(response.service_error) if isinstance(response, ExceptionResponse) else None
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


_ASSOCIATION_ADVICE: dict[int, str] = {
    UserDiagnostic.NO_REASON_GIVEN: "check client SAP, security and keys",
    UserDiagnostic.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED: "the meter wants ciphering, or none: check it",
    UserDiagnostic.CALLING_AP_TITLE_NOT_RECOGNIZED: "check the client's own system title",
    UserDiagnostic.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED: "the meter wants another security mechanism",
    UserDiagnostic.AUTHENTICATION_MECHANISM_NAME_REQUIRED: (
        "the meter wants a security mechanism (lls, hls-gmac or hls-sha256)"
    ),
    UserDiagnostic.AUTHENTICATION_FAILURE: "check password or keys, protection, and the system titles",
    UserDiagnostic.AUTHENTICATION_REQUIRED: "the meter wants high level security (hls-gmac or hls-sha256)",
}
_CONTEXT_ADVICE = {
    ApplicationContext.LOGICAL_NAME: "the meter wants ciphering, or none: we offered none (no --ek, --ak)",
    ApplicationContext.LOGICAL_NAME_CIPHERED: "the meter wants ciphering, or none: we offered it (--ciphering)",
}
_EXCEPTION_ADVICE: dict[int, str] = {
    ServiceError.DECIPHERING_ERROR: "check the keys",
    ServiceError.INVOCATION_COUNTER_ERROR: "our invocation counter is behind",
    ServiceError.OPERATION_NOT_POSSIBLE: "not associated, or not allowed now; behind a concentrator it needs --behind",
}
