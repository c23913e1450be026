"""GET, SET and ACTION: where their values stand."""

from __future__ import annotations

from collections.abc import Callable

from cosem_objects.dlms.apdu import ActionRequest, ActionResponse, GetRequest, GetResponse, SetRequest
from cosem_objects.dlms.apdu.descriptors import read_attribute, read_count, read_method
from cosem_objects.dlms.masking.places import Cover, Places
from cosem_objects.dlms.masking.questions import Questions
from cosem_objects.dlms.masking.walk import Walk
from cosem_objects.errors import RemoteProtocolError

_GET, _ACTION = "get", "action"


def _get_request(walk: Walk, places: Places, questions: Questions) -> None:
    reader = walk.reader
    choice, invoke = walk.choice(1, 2, 3), reader.octet()
    if choice == 2:
        reader.take(4)
        return
    covers = []
    for _ in range(read_count(reader) if choice == 3 else 1):
        covers.append(places.read(read_attribute(reader)))
        walk.selection()
    questions.ask(_GET, invoke, tuple(covers))


def _get_response(walk: Walk, _places: Places, questions: Questions) -> None:
    reader = walk.reader
    choice, invoke = walk.choice(1, 2, 3), reader.octet()
    if choice == 2:
        is_last = reader.flag()
        reader.take(4)
        if walk.choice(0, 1):
            reader.octet()
            questions.cover_of_blocks(_GET, invoke, is_last=True)
        else:
            walk.hide_piece(questions.cover_of_blocks(_GET, invoke, is_last=is_last))
        return
    for cover in questions.covers(_GET, invoke, read_count(reader) if choice == 3 else 1):
        walk.hide_result(cover)


def _set_request(walk: Walk, places: Places, _questions: Questions) -> None:
    reader = walk.reader
    choice, _invoke = walk.choice(1, 2, 3, 4, 5), reader.octet()
    covers = []
    if choice != 3:
        for _ in range(read_count(reader) if choice in (4, 5) else 1):
            covers.append(places.written(read_attribute(reader)))
            walk.selection()
    _values(walk, covers, is_list=choice == 4, is_block=choice in (2, 3, 5))


def _action_request(walk: Walk, places: Places, questions: Questions) -> None:
    reader = walk.reader
    choice, invoke = walk.choice(1, 2, 3, 4, 5, 6), reader.octet()
    if choice == 2:
        reader.take(4)
        return
    methods = []
    if choice != 6:
        methods = [read_method(reader) for _ in range(read_count(reader) if choice in (3, 5) else 1)]
        questions.ask(_ACTION, invoke, tuple(map(places.returned, methods)))
    if choice == 1 and not reader.flag():
        return
    _values(walk, list(map(places.handed, methods)), is_list=choice == 3, is_block=choice in (4, 5, 6))


def _action_response(walk: Walk, _places: Places, questions: Questions) -> None:
    reader = walk.reader
    choice, invoke = walk.choice(1, 2, 3, 4), reader.octet()
    if choice == 4:
        reader.take(4)
        return
    if choice == 2:
        is_last = reader.flag()
        reader.take(4)
        walk.hide_piece(questions.cover_of_blocks(_ACTION, invoke, is_last=is_last))
        return
    for cover in questions.covers(_ACTION, invoke, read_count(reader) if choice == 3 else 1):
        reader.octet()
        if choice == 1 and not reader.remaining:  # some meters leave the optional part out altogether
            return
        if reader.flag():
            walk.hide_result(cover)


def _values(walk: Walk, covers: list[Cover], *, is_list: bool, is_block: bool) -> None:
    """What is written, or handed to a method: values, or a block of their encoding.

    A block may begin and end in the middle of a value: it is hidden, whatever stands there.
    """
    reader = walk.reader
    if is_block:
        reader.flag()
        reader.take(4)
        walk.hide_next(reader.length())
        return
    if is_list and read_count(reader) != len(covers):
        raise RemoteProtocolError(f"{reader.what}: not as many values as attributes or methods")
    for cover in covers:
        walk.hide_value(cover)


SERVICES: dict[int, Callable[[Walk, Places, Questions], None]] = {
    GetRequest.TAG: _get_request,
    GetResponse.TAG: _get_response,
    SetRequest.TAG: _set_request,
    ActionRequest.TAG: _action_request,
    ActionResponse.TAG: _action_response,
}
"""By tag; each is called behind the tag, and has to read to the end."""
