"""What is answered: values, and the results in their place; named by what was asked."""

from __future__ import annotations

from cosem_objects.dlms.apdu import ActionResult, DataAccessResult
from cosem_objects.dlms.apdu.descriptors import read_count
from cosem_objects.dlms.describe.context import Asked
from cosem_objects.dlms.describe.members import name_or, nth_place, write_optional
from cosem_objects.dlms.describe.naming import Place, place_words
from cosem_objects.dlms.describe.node import Node
from cosem_objects.dlms.describe.scribe import Scribe
from cosem_objects.dlms.describe.values import write_data
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.token_gateway import CLASS_ID as TOKEN_GATEWAY
from cosem_objects.token_gateway import METHOD_ENTER, Attribute

_NOTHING = Place()


def write_answered(scribe: Scribe, place: Place) -> None:
    """What an answer is about: it was said in the request, so no octets of the answer say it."""
    if place.is_known:
        scribe.put(Node("answers", place_words(place), scribe.source.offset(scribe.position)))


def only_place(asked: Asked) -> Place:
    return asked.places[0] if len(asked.places) == 1 else _NOTHING


def write_result(scribe: Scribe, place: Place, name: str = "") -> None:
    """Get-Data-Result: the value, or why there is none."""
    choice = scribe.reader.octet()
    shown = name or ("result" if choice else "data")
    if choice > 1:
        raise RemoteProtocolError(f"result choice {choice}, expected data (0) or an error (1)")
    if choice:
        scribe.choice(shown, DataAccessResult)
    else:
        write_data(scribe, shown, place)


def write_results(scribe: Scribe, asked: Asked) -> None:
    for index in range(read_count(scribe.reader)):
        place = nth_place(asked, index)
        write_result(scribe, place, name_or(place, f"[{index}]"))


def write_set_results(scribe: Scribe, asked: Asked) -> None:
    for index in range(read_count(scribe.reader)):
        scribe.choice(name_or(nth_place(asked, index), f"[{index}]"), DataAccessResult)


def write_outcome(scribe: Scribe, place: Place, name: str = "action-result") -> None:
    """Action-Response-With-Optional-Data."""
    scribe.choice(name, ActionResult)
    if scribe.reader.remaining:  # some meters leave the optional part out altogether
        write_optional(scribe, "return-parameters", lambda shown: write_result(scribe, returned_place(place), shown))


def returned_place(place: Place) -> Place:
    """What a method gives back is not what it was given: only of ``enter`` it is known, where there is any."""
    is_enter = place.is_method and (place.class_id, place.member) == (TOKEN_GATEWAY, METHOD_ENTER)
    if place.is_hls_reply:
        return place
    return Place(TOKEN_GATEWAY, Attribute.TOKEN_STATUS) if is_enter else _NOTHING


def write_outcomes(scribe: Scribe, asked: Asked) -> None:
    for index in range(read_count(scribe.reader)):
        place = nth_place(asked, index)
        write_outcome(scribe, place, name_or(place, f"[{index}]"))
