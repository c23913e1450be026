"""The server's half of block transfer: requests put together, answers cut. See ``block_transfer.py`` for the states.

``ServerTransfer`` lives as long as the association. A new request ends whatever was under way; so does a block, or the
wish for one, that does not belong to it.
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
    ActionResult,
    Apdu,
    Conformance,
    DataAccessResult,
    DataBlock,
    GetRequestNext,
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
from cosem_objects.dlms.apdu.action import encode_outcomes
from cosem_objects.dlms.apdu.get import encode_results
from cosem_objects.dlms.apdu.set import read_values
from cosem_objects.dlms.block_transfer import INVOKE_ID, LENGTH_OCTETS, Gathered, cut
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from cosem_objects.octets import OctetReader

_FirstBlock: TypeAlias = (
    SetRequestWithFirstDataBlock
    | SetRequestWithListAndFirstDataBlock
    | ActionRequestWithFirstPblock
    | ActionRequestWithListAndFirstPblock
)
_NextBlock: TypeAlias = SetRequestWithDataBlock | ActionRequestWithPblock
_Fetch: TypeAlias = GetRequestNext | ActionRequestNextPblock


class ServerTransfer:
    """What is under way between one client and the objects."""

    def __init__(self) -> None:
        self._begun: _FirstBlock | None = None
        self._gathered = Gathered()
        self._in_blocks = False
        """The request that the objects are answering came in blocks, the last with the number:"""
        self._last_number = 0
        self._answered: Response | None = None
        """The answer that is going out in blocks."""
        self._to_send: deque[DataBlock] = deque()
        self._sent_number = 0

    def receive(self, apdu: Apdu) -> Request | bytes:
        """What the client said: a whole request for the objects, or our plain answer to a block or to the wish for
        one. Raises ``RemoteProtocolError``: for what no client says, and for a value that cannot be decoded."""
        match apdu:
            case GetRequestNext() | ActionRequestNextPblock():
                return self._send_next(apdu)
            case SetRequestWithDataBlock() | ActionRequestWithPblock():
                return self._gather(apdu)
        self._in_blocks = False
        self._end()
        match apdu:
            case (
                SetRequestWithFirstDataBlock()
                | SetRequestWithListAndFirstDataBlock()
                | ActionRequestWithFirstPblock()
                | ActionRequestWithListAndFirstPblock()
            ):
                self._begun = apdu
                return self._gather(apdu)
        if isinstance(apdu, Request):
            return apdu
        raise RemoteProtocolError(f"a {type(apdu).__name__} is nothing that a client asks")

    def respond(self, response: Response, room: int, conformance: Conformance) -> bytes:
        """The first plain APDU of an answer; the others follow when the client asks for them. ``room`` as in
        ``ClientTransfer``. Raises ``LocalProtocolError`` for an answer that fits in no form."""
        whole = self._final_form(response).encode()
        return whole if not room or len(whole) <= room else self._begin_blocks(response, room, conformance)

    def _end(self) -> None:
        """Whatever was under way is over."""
        self._begun, self._answered, self._gathered = None, None, Gathered()
        self._to_send.clear()

    def _gather(self, apdu: _FirstBlock | _NextBlock) -> Request | bytes:
        begun, block, expected = self._begun, apdu.block, self._gathered.number + 1
        if begun is None or begun.TAG != apdu.TAG or not _same_invoke(begun, apdu):
            self._end()
            return _refuse_block(apdu, DataAccessResult.NO_LONG_SET_IN_PROGRESS)
        try:
            self._gathered.add(block.number, block.octets, is_last=block.is_last)
        except RemoteProtocolError:
            self._end()
            if block.number != expected:
                return _refuse_block(apdu, DataAccessResult.DATA_BLOCK_NUMBER_INVALID)
            return _refuse_block(apdu, DataAccessResult.LONG_SET_ABORTED)
        if not block.is_last:
            kind = SetResponseDataBlock if apdu.TAG == SetRequest.TAG else ActionResponseNextPblock
            return kind(block.number, apdu.invoke).encode()
        octets, self._last_number = self._gathered.octets, block.number
        self._end()
        self._in_blocks = True
        return _whole_request(begun, octets)

    def _final_form(self, response: Response) -> Response | SetResponseLastDataBlock | SetResponseLastDataBlockWithList:
        """What became of values that came in blocks is said in a form of its own; ACTION has none."""
        match response:
            case SetResponse() if self._in_blocks:
                return SetResponseLastDataBlock(response.result, self._last_number, response.invoke)
            case SetResponseWithList() if self._in_blocks:
                return SetResponseLastDataBlockWithList(response.results, self._last_number, response.invoke)
            case _:
                return response

    def _begin_blocks(self, response: Response, room: int, conformance: Conformance) -> bytes:
        match response:
            case GetResponse(Data() as data) if conformance & Conformance.BLOCK_TRANSFER_WITH_GET:
                octets = axdr.encode(data)
            case GetResponseWithList(results) if conformance & Conformance.BLOCK_TRANSFER_WITH_GET:
                octets = encode_results(results)
            case ActionResponse(ActionResult.SUCCESS, Data() as data) if (
                conformance & Conformance.BLOCK_TRANSFER_WITH_ACTION
            ):
                octets = axdr.encode(data)  # bare, as Gurux does it; other stacks write more, see the client's half
            case ActionResponseWithList(outcomes) if conformance & Conformance.BLOCK_TRANSFER_WITH_ACTION:
                octets = encode_outcomes(outcomes)
            case _:
                raise LocalProtocolError("an answer that has no form in blocks")
        size = room - len(_block_answer(response.TAG, DataBlock(1, b""), response.invoke)) - LENGTH_OCTETS
        self._to_send, self._answered = cut(octets, size, size), response
        return self._send_block(response)

    def _send_block(self, answered: Response) -> bytes:
        block = self._to_send.popleft()
        self._sent_number = block.number
        return _block_answer(answered.TAG, block, answered.invoke)

    def _send_next(self, fetch: _Fetch) -> bytes:
        answered = self._answered
        wanted = GetResponse.TAG if isinstance(fetch, GetRequestNext) else ActionResponse.TAG
        if not self._to_send or answered is None or wanted != answered.TAG or not _same_invoke(answered, fetch):
            self._end()
            return _refuse_fetch(fetch, DataAccessResult.NO_LONG_GET_IN_PROGRESS)
        if fetch.number != self._sent_number:
            self._end()
            return _refuse_fetch(fetch, DataAccessResult.DATA_BLOCK_NUMBER_INVALID)
        return self._send_block(answered)


def _same_invoke(one: Request | Response | _FirstBlock, other: _FirstBlock | _NextBlock | _Fetch) -> bool:
    return one.invoke & INVOKE_ID == other.invoke & INVOKE_ID


def _block_answer(tag: int, block: DataBlock, invoke: int) -> bytes:
    if tag == GetResponse.TAG:
        return GetResponseWithDataBlock(block.number, block.octets, block.is_last, invoke).encode()
    return ActionResponseWithPblock(block, invoke).encode()


def _refuse_fetch(fetch: _Fetch, reason: DataAccessResult) -> bytes:
    if isinstance(fetch, GetRequestNext):
        return GetResponseWithDataBlock(fetch.number, reason, is_last=True, invoke=fetch.invoke).encode()
    aborted = reason is DataAccessResult.DATA_BLOCK_NUMBER_INVALID
    result = ActionResult.LONG_ACTION_ABORTED if aborted else ActionResult.NO_LONG_ACTION_IN_PROGRESS
    return ActionResponse(result, None, fetch.invoke).encode()


def _refuse_block(apdu: _FirstBlock | _NextBlock, reason: DataAccessResult) -> bytes:
    if apdu.TAG == SetRequest.TAG:
        return SetResponseLastDataBlock(reason, apdu.block.number, apdu.invoke).encode()
    none_in_progress = reason is DataAccessResult.NO_LONG_SET_IN_PROGRESS
    result = ActionResult.NO_LONG_ACTION_IN_PROGRESS if none_in_progress else ActionResult.LONG_ACTION_ABORTED
    return ActionResponse(result, None, apdu.invoke).encode()


def _whole_request(begun: _FirstBlock, octets: bytes) -> Request:
    """The request that came in blocks. Raises ``RemoteProtocolError``."""
    match begun:
        case SetRequestWithFirstDataBlock():
            return SetRequest(begun.attribute, axdr.decode(octets), begun.selection, begun.invoke)
        case ActionRequestWithFirstPblock():
            return ActionRequest(begun.method, axdr.decode(octets), begun.invoke)
        case SetRequestWithListAndFirstDataBlock():
            return SetRequestWithList(begun.attributes, _values(octets, len(begun.attributes)), begun.invoke)
        case ActionRequestWithListAndFirstPblock():
            return ActionRequestWithList(begun.methods, _values(octets, len(begun.methods)), begun.invoke)


def _values(octets: bytes, expected: int) -> tuple[Data, ...]:
    reader = OctetReader(octets, "list of values in blocks")
    values = read_values(reader, expected)
    reader.finish()
    return values


def too_long(response: Response) -> Response:
    """What is said instead of an answer that fits in no form: never that something was not done which was."""
    match response:
        case GetResponse() | GetResponseWithList():
            return GetResponse(DataAccessResult.OTHER_REASON, response.invoke)
        case ActionResponse():
            return replace(response, returned=None)
        case ActionResponseWithList():
            return replace(response, outcomes=tuple((result, None) for result, _ in response.outcomes))
        case SetResponse() | SetResponseWithList():
            return response
