"""GET, SET and ACTION that are too long for one APDU: their blocks, on both sides (IEC 62056-5-3, 7.3 to 7.5).

How to think about it: whoever has something long cuts its *encoding* into numbered blocks, and sends each only after
the other side has said that the one before arrived. A long request is therefore pulled by the server, a long answer
by the client:

    client                                server
    SET first-datablock 1           ->
                                    <-    SET-response datablock 1            "I have 1"
    SET datablock 2, last           ->
                                    <-    SET-response last-datablock, result

    GET normal                      ->
                                    <-    GET-response datablock 1
    GET next 1                      ->                                        "I have 1"
                                    <-    GET-response datablock 2, last

ACTION goes both ways like that, with its *pblocks*. Here are the blocks and ``ClientTransfer``, one request with its
answer; the server's half is in ``block_server.py``. A wrong number, or blocks that nobody asked for, end a transfer.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TypeAlias

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionRequestNextPblock,
    ActionRequestWithFirstPblock,
    ActionRequestWithList,
    ActionRequestWithListAndFirstPblock,
    ActionRequestWithPblock,
    ActionResponse,
    ActionResponseNextPblock,
    ActionResponseWithList,
    ActionResponseWithPblock,
    Apdu,
    Conformance,
    DataBlock,
    GetRequest,
    GetRequestNext,
    GetRequestWithList,
    GetResponse,
    GetResponseWithDataBlock,
    GetResponseWithList,
    Request,
    Response,
    SetRequest,
    SetRequestWithDataBlock,
    SetRequestWithFirstDataBlock,
    SetRequestWithList,
    SetRequestWithListAndFirstDataBlock,
    SetResponse,
    SetResponseDataBlock,
    SetResponseLastDataBlock,
    SetResponseLastDataBlockWithList,
    SetResponseWithList,
)
from cosem_objects.dlms.apdu.action import read_outcomes
from cosem_objects.dlms.apdu.get import read_results
from cosem_objects.dlms.apdu.set import encode_values
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from cosem_objects.octets import OctetReader

TRANSFER_SIZE_MAX = 1 << 24
"""Octets that are put together from blocks at most, so that no stream of blocks fills the memory."""

INVOKE_ID = 0x0F
"""The bits of invoke-id-and-priority that tell which request is answered."""

LENGTH_OCTETS = 2
"""Of the length of a block's octets, beyond the one that an empty block has: for blocks up to 64 KiB."""


class Gathered:
    """The octets of the blocks that have come so far, in order."""

    def __init__(self) -> None:
        self.number = 0
        """Of the last block; 0 before the first."""
        self._octets = bytearray()

    def add(self, number: int, octets: bytes, *, is_last: bool) -> None:
        """Raises ``RemoteProtocolError`` for a block that is not the next, or brings nothing."""
        if number != self.number + 1:
            raise RemoteProtocolError(f"block {number} was received, {self.number + 1} expected")
        if not octets and not is_last:
            raise RemoteProtocolError(f"block {number} is empty, and not the last")
        if len(self._octets) + len(octets) > TRANSFER_SIZE_MAX:
            raise RemoteProtocolError(f"blocks of more than {TRANSFER_SIZE_MAX} octets together")
        self.number = number
        self._octets += octets

    @property
    def octets(self) -> bytes:
        return bytes(self._octets)


def cut(octets: bytes, first_size: int, size: int) -> deque[DataBlock]:
    """Blocks of up to ``size`` octets, the first of up to ``first_size``. Raises ``LocalProtocolError``."""
    if min(first_size, size) < 1:
        raise LocalProtocolError("the other side's PDU size leaves no room for a block")
    starts = [0, *range(first_size, len(octets), size)]
    ends = [*starts[1:], len(octets)]
    return deque(
        DataBlock(number, octets[start:end], is_last=end == len(octets))
        for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1)
    )


_EMPTY = DataBlock(1, b"")


class ClientTransfer:
    """One request and its answer, as the client sees them. ``invoke``: invoke-id-and-priority, instead of the
    request's own; ``room``: octets that a plain APDU to the meter may have, 0 = no limit. Raises
    ``LocalProtocolError`` if the request has no form in which it fits."""

    def __init__(self, request: Request, invoke: int, conformance: Conformance, room: int) -> None:
        self._request = request
        self._invoke = invoke
        self._conformance = conformance
        self._to_send: deque[DataBlock] = deque()
        self._sent_number = 0
        self._gathered = Gathered()
        whole = _with_invoke(request.encode(), invoke)
        self.first = whole if not room or len(whole) <= room else self._begin_blocks(room, len(whole))
        """The APDU that begins it."""

    @property
    def is_reading(self) -> bool:
        """Whether the request is one that changes nothing in the meter."""
        return isinstance(self._request, GetRequest | GetRequestWithList)

    def _begin_blocks(self, room: int, size: int) -> bytes:
        begun = _first_block_of(self._request)
        if begun is None or not self._conformance & begun[2]:
            raise LocalProtocolError(f"the request has {size} octets, {room} at most fit into an APDU for this meter")
        first, octets, _ = begun
        rest = _next_block_of(first, _EMPTY)
        sizes = [room - len(apdu.encode()) - LENGTH_OCTETS for apdu in (first, rest)]
        self._to_send = cut(octets, *sizes)
        return _with_invoke(replace(first, block=self._next_to_send()).encode(), self._invoke)

    def _next_to_send(self) -> DataBlock:
        block = self._to_send.popleft()
        self._sent_number = block.number
        return block

    def receive(self, apdu: Apdu) -> bytes | Response:
        """The meter's APDU: what has to be sent next, or the answer to the request. Raises ``RemoteProtocolError``."""
        answer = _matching(self._request, self._invoke, apdu)
        if isinstance(answer, SetResponseDataBlock | ActionResponseNextPblock):
            return self._send_next(answer)
        if self._to_send and not _is_refusal(answer):
            raise RemoteProtocolError("the meter answered before it had the whole request")
        self._check_blocks(answer)
        match answer:
            case GetResponseWithDataBlock():
                return self._gather_get(answer)
            case ActionResponseWithPblock():
                return self._gather_action(answer.block)
            case SetResponseLastDataBlock():
                return SetResponse(answer.result, answer.invoke)
            case SetResponseLastDataBlockWithList():
                return self._counted(SetResponseWithList(answer.results, answer.invoke))
            case _:
                return self._counted(answer)

    def _check_blocks(self, answer: _Answer) -> None:
        needed = _ANSWER_BLOCKS.get(type(answer))
        if needed is not None and not self._conformance & needed:
            raise RemoteProtocolError(f"a {type(answer).__name__}, which was not agreed")
        if needed is None and self._gathered.number and not _is_refusal(answer):
            raise RemoteProtocolError(f"a {type(answer).__name__} in the middle of an answer in blocks")

    def _send_next(self, answer: SetResponseDataBlock | ActionResponseNextPblock) -> bytes:
        if not self._to_send or answer.number != self._sent_number:
            raise RemoteProtocolError(f"block {answer.number} was confirmed, {self._sent_number} was sent")
        return _with_invoke(_next_block_of(self._request, self._next_to_send()).encode(), self._invoke)

    def _gather_get(self, answer: GetResponseWithDataBlock) -> bytes | Response:
        if isinstance(answer.result, int):
            return GetResponse(answer.result, answer.invoke)
        self._gathered.add(answer.number, answer.result, is_last=answer.is_last)
        if not answer.is_last:
            return GetRequestNext(answer.number, self._invoke).encode()
        reader = OctetReader(self._gathered.octets, "get-response in blocks")
        response: Response
        if isinstance(self._request, GetRequestWithList):
            response = GetResponseWithList(read_results(reader), answer.invoke)
        else:
            response = GetResponse(axdr.read(reader), answer.invoke)
        reader.finish()
        return self._counted(response)

    def _gather_action(self, block: DataBlock) -> bytes | Response:
        self._gathered.add(block.number, block.octets, is_last=block.is_last)
        invoke = self._invoke
        if not block.is_last:
            return ActionRequestNextPblock(block.number, invoke).encode()
        if not isinstance(self._request, ActionRequestWithList):
            return ActionResponse(0, _read_returned(self._gathered.octets), invoke)
        reader = OctetReader(self._gathered.octets, "action-response in blocks")
        response = ActionResponseWithList(read_outcomes(reader), invoke)
        reader.finish()
        return self._counted(response)

    def _counted(self, response: Response) -> Response:
        """As many answers as questions."""
        if not isinstance(self._request, _LISTS):
            return response
        asked, answered = _list_size(self._request), _list_size(response)
        if answered is not None and answered != asked:
            raise RemoteProtocolError(f"{answered} results were received, {asked} expected")
        return response


_ANSWERS: dict[type[Request], tuple[type[_Answer], ...]] = {
    GetRequest: (GetResponse, GetResponseWithDataBlock),
    GetRequestWithList: (GetResponseWithList, GetResponseWithDataBlock, GetResponse),
    SetRequest: (SetResponse, SetResponseDataBlock, SetResponseLastDataBlock),
    SetRequestWithList: (
        *(SetResponseWithList, SetResponseDataBlock, SetResponseLastDataBlockWithList),
        *(SetResponse, SetResponseLastDataBlock),
    ),
    ActionRequest: (ActionResponse, ActionResponseWithPblock, ActionResponseNextPblock),
    ActionRequestWithList: (
        *(ActionResponseWithList, ActionResponseWithPblock),
        *(ActionResponseNextPblock, ActionResponse),
    ),
}
"""Which APDUs answer a request. One with list may be refused as a whole by the form without."""

_ANSWER_BLOCKS: dict[type[_Answer], Conformance] = {
    GetResponseWithDataBlock: Conformance.BLOCK_TRANSFER_WITH_GET,
    ActionResponseWithPblock: Conformance.BLOCK_TRANSFER_WITH_ACTION,
}
"""Pieces of an answer, and what must have been agreed for them. Those that speak of the blocks of a request need
nothing: without agreement there were none."""

_NORMAL = (GetResponse, SetResponse, SetResponseLastDataBlock, ActionResponse)
_LISTS = (GetRequestWithList, SetRequestWithList, ActionRequestWithList)

_Answer: TypeAlias = (
    Response
    | GetResponseWithDataBlock
    | SetResponseDataBlock
    | SetResponseLastDataBlock
    | SetResponseLastDataBlockWithList
    | ActionResponseWithPblock
    | ActionResponseNextPblock
)


def _with_invoke(apdu: bytes, invoke: int) -> bytes:
    """Every APDU of a service has its invoke-id-and-priority after tag and choice."""
    return apdu[:2] + invoke.to_bytes(1, "big") + apdu[3:]


def _matching(request: Request, invoke: int, apdu: Apdu) -> _Answer:
    """``apdu`` as an answer to this request. Raises ``RemoteProtocolError`` if it is none."""
    if not isinstance(apdu, _ANSWERS[type(request)]):
        raise RemoteProtocolError(f"a {type(apdu).__name__} where another answer was expected")
    if (apdu.invoke ^ invoke) & INVOKE_ID and not _is_refused_read(apdu):
        raise RemoteProtocolError(f"an answer to invoke-id {apdu.invoke & INVOKE_ID}; {invoke & INVOKE_ID} was asked")
    if isinstance(apdu, _NORMAL) and isinstance(request, _LISTS) and not _is_refusal(apdu):
        raise RemoteProtocolError(f"a {type(apdu).__name__} where a list was expected")
    return apdu


def _is_refused_read(apdu: _Answer) -> bool:
    # Gurux' servers refuse a GET under invoke-id 1, whatever was asked. A refusal of a read changes nothing, and
    # its true answer, should it still come, would meet the next question and fail there.
    return isinstance(apdu, GetResponse) and not isinstance(apdu.result, Data)


def _is_refusal(answer: _Answer) -> bool:
    match answer:
        case GetResponse():
            return not isinstance(answer.result, Data)
        case GetResponseWithDataBlock():
            return isinstance(answer.result, int)
        case SetResponse() | SetResponseLastDataBlock() | ActionResponse():
            return answer.result != 0
        case _:
            return False


def _list_size(apdu: Request | Response) -> int | None:
    match apdu:
        case GetRequestWithList() | SetRequestWithList():
            return len(apdu.attributes)
        case ActionRequestWithList():
            return len(apdu.methods)
        case GetResponseWithList() | SetResponseWithList():
            return len(apdu.results)
        case ActionResponseWithList():
            return len(apdu.outcomes)
        case _:
            return None


_FirstBlock: TypeAlias = (
    SetRequestWithFirstDataBlock
    | SetRequestWithListAndFirstDataBlock
    | ActionRequestWithFirstPblock
    | ActionRequestWithListAndFirstPblock
)


def _first_block_of(request: Request) -> tuple[_FirstBlock, bytes, Conformance] | None:
    """The first APDU of a request in blocks, its block still empty; the octets to cut; what has to be agreed."""
    invoke, with_set, with_action = (
        request.invoke,
        Conformance.BLOCK_TRANSFER_WITH_SET,
        Conformance.BLOCK_TRANSFER_WITH_ACTION,
    )
    match request:
        case SetRequest(attribute, data, selection):
            return SetRequestWithFirstDataBlock(attribute, _EMPTY, selection, invoke), axdr.encode(data), with_set
        case SetRequestWithList(attributes, values):
            first = SetRequestWithListAndFirstDataBlock(attributes, _EMPTY, invoke)
            return first, encode_values(values), with_set
        case ActionRequest(method, Data() as data):
            # The blocks hold the parameters alone, without the octet that says that there are some.
            return ActionRequestWithFirstPblock(method, _EMPTY, invoke), axdr.encode(data), with_action
        case ActionRequestWithList(methods, values):
            return ActionRequestWithListAndFirstPblock(methods, _EMPTY, invoke), encode_values(values), with_action
        case _:
            return None


def _next_block_of(begun: Request | _FirstBlock, block: DataBlock) -> SetRequestWithDataBlock | ActionRequestWithPblock:
    kind = SetRequestWithDataBlock if begun.TAG == SetRequest.TAG else ActionRequestWithPblock
    return kind(block, begun.invoke)


def _read_returned(octets: bytes) -> Data:
    """The return value from the blocks of an ACTION-response.

    What they hold is told in three ways: the bare value (Gurux), a Get-Data-Result before it (jDLMS, client), or the
    whole Action-Response-With-Optional-Data (jDLMS, server). The first octets tell them apart: 00 begins a bare value
    only if that is null-data, and no return value that needs blocks is.
    """
    for head in (b"\x00\x01\x00", b"\x00"):
        if octets.startswith(head) and len(octets) > len(head):
            return axdr.decode(octets[len(head) :])
    return axdr.decode(octets)
