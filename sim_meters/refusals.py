"""How a meter says no."""

from __future__ import annotations

from cosem_objects.dlms.acse import Aare, ApplicationContext, AssociationResult, UserDiagnostic
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionRequestWithList,
    ActionResponse,
    ActionResponseWithList,
    ActionResult,
    DataAccessResult,
    ExceptionResponse,
    GetRequest,
    GetRequestWithList,
    GetResponse,
    GetResponseWithList,
    Request,
    Response,
    ServiceError,
    SetRequest,
    SetRequestWithList,
    SetResponse,
    SetResponseWithList,
    StateError,
)
from cosem_objects.dlms.settings import SecuritySettings


def refused(request: Request, result: int) -> Response:
    """The same refusal for all that was asked."""
    access, action = DataAccessResult(result), ActionResult(result)
    match request:
        case GetRequest():
            return GetResponse(access)
        case GetRequestWithList():
            return GetResponseWithList((access,) * len(request.attributes))
        case SetRequest():
            return SetResponse(access)
        case SetRequestWithList():
            return SetResponseWithList((access,) * len(request.attributes))
        case ActionRequest():
            return ActionResponse(action)
        case ActionRequestWithList():
            return ActionResponseWithList(((action, None),) * len(request.methods))


def refuse_stranger(*, is_aarq: bool) -> bytes:
    """What a client hears that nobody knows."""
    if not is_aarq:
        return ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE).encode()
    rejected, diagnostic = AssociationResult.REJECTED_PERMANENT, UserDiagnostic.NO_REASON_GIVEN
    return Aare(ApplicationContext.LOGICAL_NAME, rejected, diagnostic).encode()


def busy(security: SecuritySettings) -> bytes:
    """The AARE of a meter that cannot serve one more client now."""
    result, diagnostic = AssociationResult.REJECTED_TRANSIENT, UserDiagnostic.NO_REASON_GIVEN
    return Aare(security.application_context, result, diagnostic).encode()


def wrong_secret(security: SecuritySettings) -> bytes:
    """The AARE of a meter that does not believe who asks."""
    result, diagnostic = AssociationResult.REJECTED_PERMANENT, UserDiagnostic.AUTHENTICATION_FAILURE
    return Aare(security.application_context, result, diagnostic).encode()
