"""What is asked for: attributes and methods, one or several, and the values that go with them."""

from __future__ import annotations

from collections.abc import Callable

from cosem_objects.dlms.apdu.descriptors import read_attribute, read_count, read_method
from cosem_objects.dlms.describe.context import Asked
from cosem_objects.dlms.describe.naming import Place, place_words
from cosem_objects.dlms.describe.scribe import Scribe
from cosem_objects.dlms.describe.values import write_data

_NOTHING = Place()


def write_attribute_name(scribe: Scribe) -> Place:
    start = scribe.position
    read = read_attribute(scribe.reader)
    place = Place(read.class_id, read.attribute, obis=read.obis)
    scribe.note("attribute", place_words(place), start)
    return place


def write_attribute(scribe: Scribe) -> Place:
    """An attribute, and what part of it is selected."""
    place = write_attribute_name(scribe)
    if scribe.reader.flag():
        with scribe.group("selective-access"):
            scribe.number("selector")
            write_data(scribe, "parameters", _NOTHING)
    return place


def write_method(scribe: Scribe) -> Place:
    start = scribe.position
    read = read_method(scribe.reader)
    place = Place(read.class_id, read.method, is_method=True, obis=read.obis)
    scribe.note("method", place_words(place), start)
    return place


def write_list(scribe: Scribe, write: Callable[[Scribe], Place]) -> tuple[Place, ...]:
    count = read_count(scribe.reader)
    return tuple([write(scribe) for _ in range(count)])


def write_values(scribe: Scribe, asked: Asked) -> None:
    for index in range(read_count(scribe.reader)):
        place = nth_place(asked, index)
        write_data(scribe, name_or(place, f"[{index}]"), place)


def write_optional(scribe: Scribe, name: str, write: Callable[[str], None]) -> None:
    start = scribe.position
    if scribe.reader.flag():
        write(name)
    else:
        scribe.note(name, "none", start)


def nth_place(asked: Asked, index: int) -> Place:
    return asked.places[index] if index < len(asked.places) else _NOTHING


def name_or(place: Place, otherwise: str) -> str:
    return place.name or otherwise
