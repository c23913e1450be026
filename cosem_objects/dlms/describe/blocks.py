"""Pieces of long requests and answers, and what they say once they are together."""

from __future__ import annotations

from collections.abc import Callable

from cosem_objects.dlms.apdu import DataAccessResult
from cosem_objects.dlms.apdu.action import read_outcome
from cosem_objects.dlms.apdu.descriptors import read_result
from cosem_objects.dlms.describe.context import Asked
from cosem_objects.dlms.describe.members import name_or, write_values
from cosem_objects.dlms.describe.results import (
    only_place,
    returned_place,
    write_answered,
    write_outcome,
    write_outcomes,
    write_result,
    write_results,
)
from cosem_objects.dlms.describe.scribe import Scribe
from cosem_objects.dlms.describe.source import Source
from cosem_objects.dlms.describe.values import octets_words, write_data
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.octets import OctetReader


def write_get_block(scribe: Scribe, invoke: int) -> None:
    is_last = _write_last(scribe)
    number = scribe.number("block-number", 4)
    choice = scribe.reader.octet()
    if choice > 1:
        raise RemoteProtocolError(f"block choice {choice}, expected octets (0) or an error (1)")
    if choice:
        scribe.choice("result", DataAccessResult)
        scribe.context.asked("get", invoke)
        return
    whole = _gather(scribe, ("get-response", str(invoke & 0x0F)), number, is_last=is_last)
    if whole is not None:
        asked = scribe.context.asked("get", invoke)
        write_answered(scribe, only_place(asked))
        _write_whole(scribe, whole, lambda inner: _write_get_whole(inner, asked))


def _write_get_whole(scribe: Scribe, asked: Asked) -> None:
    if asked.is_list:
        write_results(scribe, asked)
    else:
        write_data(scribe, name_or(only_place(asked), "data"), only_place(asked))


def write_request_block(scribe: Scribe, service: str, invoke: int) -> None:
    is_last = _write_last(scribe)
    number = scribe.number("block-number", 4)
    whole = _gather(scribe, (f"{service}-request", str(invoke & 0x0F)), number, is_last=is_last)
    if whole is None:
        return
    asked = scribe.context.asked(service, invoke, is_last=False)
    if asked.is_list:
        _write_whole(scribe, whole, lambda inner: write_values(inner, asked))
    else:
        place = only_place(asked)
        _write_whole(scribe, whole, lambda inner: write_data(inner, name_or(place, "data"), place))


def write_action_block(scribe: Scribe, invoke: int) -> None:
    is_last = _write_last(scribe)
    number = scribe.number("block-number", 4)
    whole = _gather(scribe, ("action-response", str(invoke & 0x0F)), number, is_last=is_last)
    if whole is None:
        return
    asked = scribe.context.asked("action", invoke)
    if asked.is_list:
        _write_whole(scribe, whole, lambda inner: write_outcomes(inner, asked))
        return
    place = only_place(asked)
    # The books leave open what the blocks of a single method hold; stacks differ. The first that fits is it.
    if _fits(whole, read_outcome):
        _write_whole(scribe, whole, lambda inner: write_outcome(inner, place))
    elif _fits(whole, read_result):
        _write_whole(scribe, whole, lambda inner: write_result(inner, returned_place(place)))
    else:
        _write_whole(scribe, whole, lambda inner: write_data(inner, "data", returned_place(place)))


def _fits(whole: Source, read: Callable[[OctetReader], object]) -> bool:
    reader = OctetReader(whole.octets, "blocks")
    try:
        read(reader)
    except RemoteProtocolError:
        return False
    return not reader.remaining


def _write_last(scribe: Scribe) -> bool:
    start = scribe.position
    is_last = scribe.reader.flag()
    scribe.note("last-block", "yes" if is_last else "no", start)
    return is_last


def _gather(scribe: Scribe, key: tuple[str, ...], number: int, *, is_last: bool) -> Source | None:
    return scribe.gather(key, number, write_part(scribe), is_last=is_last)


def write_part(scribe: Scribe) -> Source:
    """The octets of one block: a piece of anything, perhaps of a token, so they are not shown by themselves."""
    start = scribe.position
    size = scribe.reader.length()
    part = scribe.part(size)
    shown = f"{size} octets"
    if scribe.context.show_secrets:
        shown = octets_words(part.octets)
    scribe.note("raw-data", shown, start, is_secret=True)
    return part


def _write_whole(scribe: Scribe, whole: Source, write: Callable[[Scribe], None]) -> None:
    """What the blocks say together, below the last of them."""
    inner = scribe.inner(whole, "blocks put together")
    try:
        write(inner)
        inner.finish()
    except RemoteProtocolError as error:
        inner.fail(error)
    scribe.put_inner("put together", f"{len(whole)} octets", inner)
