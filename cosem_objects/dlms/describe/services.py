"""GET, SET and ACTION, form by form."""

from __future__ import annotations

from cosem_objects.dlms.apdu import DataAccessResult
from cosem_objects.dlms.describe.blocks import write_action_block, write_get_block, write_request_block
from cosem_objects.dlms.describe.context import Asked
from cosem_objects.dlms.describe.members import write_attribute, write_list, write_method, write_optional, write_values
from cosem_objects.dlms.describe.results import (
    only_place,
    write_answered,
    write_outcome,
    write_outcomes,
    write_result,
    write_results,
    write_set_results,
)
from cosem_objects.dlms.describe.scribe import Scribe
from cosem_objects.dlms.describe.values import write_data
from cosem_objects.errors import RemoteProtocolError

# The forms of each service, as they are numbered from 1.
_GET_REQUEST = ("normal", "next", "with-list")
_GET_RESPONSE = ("normal", "with-datablock", "with-list")
_SET_REQUEST = (
    "normal",
    "with-first-datablock",
    "with-datablock",
    "with-list",
    "with-list-and-first-datablock",
)
_SET_RESPONSE = ("normal", "datablock", "last-datablock", "last-datablock-with-list", "with-list")
_ACTION_REQUEST = (
    "normal",
    "next-pblock",
    "with-list",
    "with-first-pblock",
    "with-list-and-first-pblock",
    "with-pblock",
)
_ACTION_RESPONSE = ("normal", "with-pblock", "with-list", "next-pblock")


def write_get_request(scribe: Scribe) -> None:
    choice, invoke = _head(scribe, _GET_REQUEST)
    match choice:
        case 1:
            scribe.context.ask("get", invoke, Asked((write_attribute(scribe),)))
        case 2:
            scribe.number("block-number", 4)
        case 3:
            scribe.context.ask("get", invoke, Asked(write_list(scribe, write_attribute), is_list=True))


def write_get_response(scribe: Scribe) -> None:
    choice, invoke = _head(scribe, _GET_RESPONSE)
    match choice:
        case 1:
            place = only_place(scribe.context.asked("get", invoke))
            write_answered(scribe, place)
            write_result(scribe, place, place.name)
        case 2:
            write_get_block(scribe, invoke)
        case 3:
            write_results(scribe, scribe.context.asked("get", invoke))


def write_set_request(scribe: Scribe) -> None:
    choice, invoke = _head(scribe, _SET_REQUEST)
    match choice:
        case 1:
            place = write_attribute(scribe)
            scribe.context.ask("set", invoke, Asked((place,)))
            write_data(scribe, place.name or "data", place)
        case 2:
            scribe.context.ask("set", invoke, Asked((write_attribute(scribe),)))
            write_request_block(scribe, "set", invoke)
        case 3:
            write_request_block(scribe, "set", invoke)
        case 4:
            asked = Asked(write_list(scribe, write_attribute), is_list=True)
            scribe.context.ask("set", invoke, asked)
            write_values(scribe, asked)
        case 5:
            scribe.context.ask("set", invoke, Asked(write_list(scribe, write_attribute), is_list=True))
            write_request_block(scribe, "set", invoke)


def write_set_response(scribe: Scribe) -> None:
    choice, invoke = _head(scribe, _SET_RESPONSE)
    match choice:
        case 1:
            write_answered(scribe, only_place(scribe.context.asked("set", invoke)))
            scribe.choice("result", DataAccessResult)
        case 2:
            scribe.number("block-number", 4)
        case 3:
            write_answered(scribe, only_place(scribe.context.asked("set", invoke)))
            scribe.choice("result", DataAccessResult)
            scribe.number("block-number", 4)
        case 4:
            write_set_results(scribe, scribe.context.asked("set", invoke))
            scribe.number("block-number", 4)
        case 5:
            write_set_results(scribe, scribe.context.asked("set", invoke))


def write_action_request(scribe: Scribe) -> None:
    choice, invoke = _head(scribe, _ACTION_REQUEST)
    match choice:
        case 1:
            place = write_method(scribe)
            scribe.context.ask("action", invoke, Asked((place,)))
            write_optional(scribe, "method-invocation-parameters", lambda name: write_data(scribe, name, place))
        case 2:
            scribe.number("block-number", 4)
        case 3:
            asked = Asked(write_list(scribe, write_method), is_list=True)
            scribe.context.ask("action", invoke, asked)
            write_values(scribe, asked)
        case 4:
            scribe.context.ask("action", invoke, Asked((write_method(scribe),)))
            write_request_block(scribe, "action", invoke)
        case 5:
            scribe.context.ask("action", invoke, Asked(write_list(scribe, write_method), is_list=True))
            write_request_block(scribe, "action", invoke)
        case 6:
            write_request_block(scribe, "action", invoke)


def write_action_response(scribe: Scribe) -> None:
    choice, invoke = _head(scribe, _ACTION_RESPONSE)
    match choice:
        case 1:
            place = only_place(scribe.context.asked("action", invoke))
            write_answered(scribe, place)
            write_outcome(scribe, place)
        case 2:
            write_action_block(scribe, invoke)
        case 3:
            write_outcomes(scribe, scribe.context.asked("action", invoke))
        case 4:
            scribe.number("block-number", 4)


def write_invoke(scribe: Scribe) -> int:
    """Bits 0 to 3 the id, bit 6 confirmed, bit 7 high priority."""
    return scribe.number("invoke-id-and-priority", 1, _invoke_words)


def _invoke_words(invoke: int) -> str:
    confirmed = "confirmed" if invoke & 0x40 else "unconfirmed"
    return f"id {invoke & 0x0F}, {confirmed}, {'high' if invoke & 0x80 else 'normal'} priority"


def _head(scribe: Scribe, forms: tuple[str, ...]) -> tuple[int, int]:
    """Which form of the service it is, and its invoke-id-and-priority."""
    choice = scribe.reader.octet()
    if not 1 <= choice <= len(forms):
        raise RemoteProtocolError(f"form {choice} of this service, expected 1 to {len(forms)}")
    scribe.form = forms[choice - 1]
    return choice, write_invoke(scribe)
