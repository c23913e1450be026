"""What both sides offer each other in the conformance block, and what an APDU needs of it.

Only what both have offered may be used. Each side checks it with ``needed_for``: the client before it sends, the
server when it hears.
"""

from __future__ import annotations

from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionRequestNextPblock,
    ActionRequestWithFirstPblock,
    ActionRequestWithList,
    ActionRequestWithListAndFirstPblock,
    ActionRequestWithPblock,
    Apdu,
    Conformance,
    GetRequest,
    GetRequestNext,
    GetRequestWithList,
    SetRequest,
    SetRequestWithDataBlock,
    SetRequestWithFirstDataBlock,
    SetRequestWithList,
    SetRequestWithListAndFirstDataBlock,
)

CLIENT_OFFERED = (
    Conformance.GET
    | Conformance.SET
    | Conformance.ACTION
    | Conformance.SELECTIVE_ACCESS
    | Conformance.MULTIPLE_REFERENCES
    | Conformance.BLOCK_TRANSFER_WITH_GET
    | Conformance.BLOCK_TRANSFER_WITH_SET
    | Conformance.BLOCK_TRANSFER_WITH_ACTION
    | Conformance.GENERAL_BLOCK_TRANSFER
)
"""What our client can do, beside general protection, which is offered where it is used."""
SERVER_OFFERED = (
    Conformance.GENERAL_PROTECTION
    | Conformance.GENERAL_BLOCK_TRANSFER
    | Conformance.BLOCK_TRANSFER_WITH_GET
    | Conformance.BLOCK_TRANSFER_WITH_SET
    | Conformance.BLOCK_TRANSFER_WITH_ACTION
    | Conformance.MULTIPLE_REFERENCES
    | Conformance.SELECTIVE_ACCESS
    | Conformance.GET
    | Conformance.SET
    | Conformance.ACTION
)
"""What our server can do."""

_GET, _SET, _ACTION = Conformance.GET, Conformance.SET, Conformance.ACTION
_LISTS = Conformance.MULTIPLE_REFERENCES
_NEEDS: dict[type[Apdu], Conformance] = {
    GetRequest: _GET,
    GetRequestNext: _GET | Conformance.BLOCK_TRANSFER_WITH_GET,
    GetRequestWithList: _GET | _LISTS,
    SetRequest: _SET,
    SetRequestWithFirstDataBlock: _SET | Conformance.BLOCK_TRANSFER_WITH_SET,
    SetRequestWithDataBlock: _SET | Conformance.BLOCK_TRANSFER_WITH_SET,
    SetRequestWithList: _SET | _LISTS,
    SetRequestWithListAndFirstDataBlock: _SET | _LISTS | Conformance.BLOCK_TRANSFER_WITH_SET,
    ActionRequest: _ACTION,
    ActionRequestNextPblock: _ACTION | Conformance.BLOCK_TRANSFER_WITH_ACTION,
    ActionRequestWithList: _ACTION | _LISTS,
    ActionRequestWithFirstPblock: _ACTION | Conformance.BLOCK_TRANSFER_WITH_ACTION,
    ActionRequestWithListAndFirstPblock: _ACTION | _LISTS | Conformance.BLOCK_TRANSFER_WITH_ACTION,
    ActionRequestWithPblock: _ACTION | Conformance.BLOCK_TRANSFER_WITH_ACTION,
}


def needed_for(apdu: Apdu) -> Conformance | None:
    """What must have been agreed for an APDU of a client; None for what no client sends."""
    needed = _NEEDS.get(type(apdu))
    if needed is not None and _selects(apdu):
        needed |= Conformance.SELECTIVE_ACCESS
    return needed


def _selects(apdu: Apdu) -> bool:
    """Whether a request is about a part of an attribute: selective access."""
    match apdu:
        case GetRequest() | SetRequest() | SetRequestWithFirstDataBlock():
            return apdu.selection is not None
        case GetRequestWithList() | SetRequestWithList() | SetRequestWithListAndFirstDataBlock():
            return any(selection is not None for _, selection in apdu.attributes)
        case _:
            return False
