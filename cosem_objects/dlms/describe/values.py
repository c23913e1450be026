"""COSEM values in words."""

from __future__ import annotations

from cosem_objects import axdr
from cosem_objects.axdr import DEPTH_MAX, CompactArray, Data, DataType
from cosem_objects.dlms.ciphered import HEADER_SIZE, TAG_SIZE
from cosem_objects.dlms.describe.moments import date_time_words, date_words, is_date_time, time_words
from cosem_objects.dlms.describe.naming import Place, obis_words
from cosem_objects.dlms.describe.node import Node
from cosem_objects.dlms.describe.scribe import Scribe
from cosem_objects.dlms.describe.secrets import may_be_token, secret_words, text_has_token
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.obis import ObisCode

_OCTETS_SHOWN_MAX = 64
_VALUES_SHOWN_MAX = 50_000
"""Of one APDU: a tree takes fifty times the memory of its octets, and nobody reads so many lines."""
_HLS_GMAC_SIZE = HEADER_SIZE + TAG_SIZE
_CONTAINERS = (DataType.ARRAY, DataType.STRUCTURE)


def write_data(scribe: Scribe, name: str, place: Place, depth: int = 0) -> None:
    """Read one value with its tag."""
    reader, start = scribe.reader, scribe.position
    tag = reader.peek()
    if tag in _CONTAINERS:
        _write_elements(scribe, name, place, depth)
        return
    data = axdr.read(reader, depth)
    if isinstance(data.value, CompactArray):
        offset = scribe.source.offset(start)
        children = _element_nodes(data, place, offset, scribe)
        scribe.put(Node(name, data_words(data, place), offset, scribe.position - start, children=children))
        return
    hidden = "" if scribe.context.show_secrets else secret_kind(data, place)
    scribe.note(name, data_words(data, place, hidden), start, is_secret=bool(hidden))


def _write_elements(scribe: Scribe, name: str, place: Place, depth: int) -> None:
    reader = scribe.reader
    with scribe.group(name) as group:
        is_array = reader.octet() == DataType.ARRAY
        count = reader.length()
        group.value = f"{'array' if is_array else 'structure'} of {count}"
        if depth >= DEPTH_MAX:
            raise RemoteProtocolError(f"COSEM data nested deeper than {DEPTH_MAX} levels")
        if count > reader.remaining:
            raise RemoteProtocolError(f"{count} elements announced, {reader.remaining} octets are left")
        axdr.count_values(reader, count)
        for index in range(count):
            if scribe.values_shown >= _VALUES_SHOWN_MAX:
                _skip_elements(scribe, count - index, depth + 1)
                return
            scribe.values_shown += 1
            element = place.element_name(index, of_array=is_array)
            write_data(scribe, element, place.inside(index, of_array=is_array), depth + 1)


def _skip_elements(scribe: Scribe, count: int, depth: int) -> None:
    """Read and not shown: what comes after them has to be found."""
    start, offset = scribe.position, scribe.source.offset(scribe.position)
    for _ in range(count):
        axdr.read(scribe.reader, depth)
    scribe.put(Node(f"… {count} more", "not shown", offset, scribe.position - start))


def _element_nodes(data: Data, place: Place, offset: int, scribe: Scribe) -> tuple[Node, ...]:
    """The elements of a compact-array, which have no tags of their own to point at."""
    is_array = data.type is not DataType.STRUCTURE
    show_secrets = scribe.context.show_secrets
    nodes = []
    for index, element in enumerate(data.elements):
        if scribe.values_shown >= _VALUES_SHOWN_MAX:
            nodes.append(Node(f"… {len(data.elements) - index} more", "not shown", offset))
            break
        scribe.values_shown += 1
        inside = place.inside(index, of_array=is_array)
        name = place.element_name(index, of_array=is_array)
        if isinstance(element.value, tuple):
            children = _element_nodes(element, inside, offset, scribe)
            nodes.append(Node(name, data_words(element, inside), offset, children=children))
        else:
            hidden = "" if show_secrets else secret_kind(element, inside)
            nodes.append(Node(name, data_words(element, inside, hidden), offset))
    return tuple(nodes)


def secret_kind(data: Data, place: Place) -> str:
    """What must not be shown of a value: ``token``, ``secret``, or empty.

    A token may be handed over digit by digit, so where one stands every number is hidden, too; where keys stand, the
    numbers only say which.
    """
    value = data.value
    if value is None or value in ("", b""):
        return ""
    if isinstance(value, bytes | str):
        is_token = data.type is not DataType.BIT_STRING and may_be_token(_octets(data))
        return place.hides or ("token" if is_token else "")
    return "token" if place.hides == "token" or text_has_token(str(value)) else ""


def data_words(data: Data, place: Place, hidden: str = "") -> str:
    """``enum execution-ok (3)``: the type and the value; ``hidden`` says what kind of secret it is."""
    name, value = data.type.standard_name, data.value
    if hidden:
        return f"{name} {secret_words(hidden, _octets(data))}"
    if value is None:
        return name
    if isinstance(value, CompactArray | tuple):
        return f"{name} of {len(data.elements)}"
    if isinstance(value, bool):
        return f"{name} {str(value).lower()}"
    if isinstance(value, int):
        return f"{name} {place.number_words(value)}"
    if isinstance(value, bytes):
        is_answer = place.is_hls_reply and len(value) == _HLS_GMAC_SIZE
        return f"{name} {_gmac_words(value) if is_answer else _octets_of_type_words(data.type, value)}"
    if data.type is DataType.BIT_STRING and isinstance(value, str):
        return f"{name} {bits_words(value, place.bit_names())}"
    return f"{name} {text_words(value)}" if isinstance(value, str) else f"{name} {value!r}"


def _octets(data: Data) -> bytes:
    if isinstance(data.value, bytes):
        return data.value
    return str(data.value).encode("utf-8", "surrogatepass")


def _octets_of_type_words(data_type: DataType, octets: bytes) -> str:
    if data_type is DataType.DATE_TIME:
        return date_time_words(octets)
    if data_type is DataType.DATE:
        return date_words(octets)
    return time_words(octets) if data_type is DataType.TIME else octets_words(octets)


def _gmac_words(octets: bytes) -> str:
    """f(challenge) of HLS-GMAC: who has the keys can make it."""
    counter = int.from_bytes(octets[1:HEADER_SIZE], "big")
    header = f"security control {octets[0]:02X}, invocation counter {counter}"
    return f"{octets.hex().upper()} (answer to the challenge: {header})"


def octets_words(octets: bytes) -> str:
    """Hex, and what it can mean: text, a date-time, the name of an object."""
    if not octets:
        return "(empty)"
    if is_date_time(octets):
        return date_time_words(octets)
    shown = octets[:_OCTETS_SHOWN_MAX].hex().upper()
    if len(octets) > _OCTETS_SHOWN_MAX:
        shown += f"… ({len(octets)} octets)"
    if len(octets) == 6 and octets[5] == 0xFF:
        return f"{shown} = {obis_words(ObisCode(octets))}"
    if all(0x20 <= octet < 0x7F for octet in octets):
        return f"{shown} {text_words(octets[:_OCTETS_SHOWN_MAX].decode('ascii'))}"
    return shown


def text_words(text: str) -> str:
    """In quotation marks; what cannot be printed as its number, so that a meter cannot move the reader's cursor."""
    shown = "".join(c if c.isprintable() and c not in '"\\' else _escaped(c) for c in text)
    return f'"{shown}"'


def _escaped(character: str) -> str:
    return f"\\{character}" if character in '"\\' else f"\\u{{{ord(character):x}}}"


def bits_words(bits: str, names: tuple[str, ...] = ()) -> str:
    """Bits, the first on the wire first, and the names of those that are set."""
    if not bits:
        return "(empty)"
    said = [names[index] if index < len(names) else f"bit {index}" for index, bit in enumerate(bits) if bit == "1"]
    return f"{bits} ({', '.join(said) or 'none'})" if names else bits
