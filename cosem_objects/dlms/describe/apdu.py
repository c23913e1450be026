"""Any APDU, by its tag, and values that stand alone."""

from __future__ import annotations

from collections.abc import Callable

from cosem_objects.dlms.apdu import ServiceError, StateError
from cosem_objects.dlms.apdu.notification import read_date_time
from cosem_objects.dlms.describe import association, blocks, ciphering, members, services
from cosem_objects.dlms.describe.context import Context
from cosem_objects.dlms.describe.moments import date_time_words
from cosem_objects.dlms.describe.naming import Place
from cosem_objects.dlms.describe.node import Node
from cosem_objects.dlms.describe.scribe import Around, Scribe
from cosem_objects.dlms.describe.source import Source
from cosem_objects.dlms.describe.values import octets_words, write_data
from cosem_objects.errors import RemoteProtocolError


def describe_apdu(apdu: bytes | Source, context: Context, sender: str = "") -> Node:
    """One APDU, plain or ciphered, that fills ``apdu``. Raises nothing: what is wrong stands in the tree.

    ``sender`` names the direction in any words; it keeps apart the blocks of both sides.
    """
    source = apdu if isinstance(apdu, Source) else Source(apdu)
    return _describe_whole(source, Around(context, _describe_whole, sender))


def describe_next(source: Source, context: Context, start: int = 0) -> tuple[Node, int | None]:
    """The APDU that begins at ``start``, and where it ends; None if it could not be read to its end."""
    scribe, node = _describe(source, Around(context, _describe_whole), start)
    return node, None if scribe.is_cut_short else scribe.position


def describe_data(
    source: Source, context: Context, place: Place | None = None, start: int = 0
) -> tuple[Node, int | None]:
    """The COSEM value (tag and contents) that begins at ``start``, as that of ``place`` if it is known, and where it
    ends; None if it could not be read to its end."""
    place = place or Place()
    scribe = Scribe(source, "COSEM data", Around(context, _describe_whole), start)
    try:
        write_data(scribe, place.name or "data", place)
    except RemoteProtocolError as error:
        scribe.fail(error)
    if not scribe.is_cut_short:
        return scribe.nodes[0], scribe.position
    size = scribe.position - start
    return Node(place.name or "data", "", source.offset(start), size, children=scribe.nodes), None


def _describe_whole(source: Source, around: Around) -> Node:
    scribe, node = _describe(source, around)
    if scribe.is_cut_short or not scribe.reader.remaining:
        return node
    rest = scribe.reader.remaining
    problem = Node("error", f"{rest} octets too many", source.offset(scribe.position), rest, is_problem=True)
    return Node(node.name, node.value, node.offset, node.size, children=(*node.children, problem))


def _describe(source: Source, around: Around, start: int = 0) -> tuple[Scribe, Node]:
    tag = source.octets[start] if start < len(source) else None
    name, write = ("APDU", _write_nothing) if tag is None else _READERS.get(tag, (f"APDU {tag:02X}", _write_unknown))
    scribe = Scribe(source, name, around, start)
    try:
        scribe.reader.octet()
        write(scribe)
    except RemoteProtocolError as error:
        scribe.fail(error)
    name = f"{name}-{scribe.form}" if scribe.form else name
    return scribe, Node(name, "", source.offset(start), scribe.position - start, children=scribe.nodes)


def _write_nothing(scribe: Scribe) -> None:
    raise RemoteProtocolError("an empty APDU")


def _write_unknown(scribe: Scribe) -> None:
    tag = scribe.source.octets[scribe.start]
    name = f" ({_NOT_READ[tag]})" if tag in _NOT_READ else ""
    scribe.reader.position = scribe.start
    raise RemoteProtocolError(f"no APDU that is known here begins with {tag:02X}{name}")


def _write_data_notification(scribe: Scribe) -> None:
    scribe.number("long-invoke-id-and-priority", 4, lambda value: f"{value:08X} (id {value & 0xFFFFFF})")
    start = scribe.position
    scribe.note("date-time", _optional_time(read_date_time(scribe.reader)), start)
    write_data(scribe, "notification-body", Place())


def _write_event_notification(scribe: Scribe) -> None:
    start = scribe.position
    if scribe.reader.flag():
        scribe.octets("time", _optional_time)
    else:
        scribe.note("time", "none", start)
    place = members.write_attribute_name(scribe)
    write_data(scribe, place.name or "attribute-value", place)


def _optional_time(octets: bytes) -> str:
    if not octets:
        return "none"
    return date_time_words(octets) if len(octets) == 12 else octets_words(octets)


def _write_exception_response(scribe: Scribe) -> None:
    scribe.choice("state-error", StateError)
    service = scribe.choice("service-error", ServiceError)
    if service == ServiceError.INVOCATION_COUNTER_ERROR and scribe.reader.remaining:
        scribe.number("invocation-counter", 4, lambda counter: f"{counter} expected")


_SERVICES = {1: "initiateError", 5: "read", 6: "write"}
_KINDS = {
    0: "application-reference",
    1: "hardware-resource",
    2: "vde-state-error",
    3: "service",
    4: "definition",
    5: "access",
    6: "initiate",
    7: "load-data-set",
    9: "task",
    10: "other",
}
_INITIATE = {
    0: "other",
    1: "dlms-version-too-low",
    2: "incompatible-conformance",
    3: "pdu-size-too-short",
    4: "refused-by-the-VDE-handler",
}


def _write_confirmed_service_error(scribe: Scribe) -> None:
    scribe.number("confirmed-service-error", 1, lambda value: f"{_SERVICES.get(value, 'unknown')} ({value})")
    kind = scribe.number("service-error", 1, lambda value: f"{_KINDS.get(value, 'unknown')} ({value})")
    words = _INITIATE if kind == 6 else {}
    scribe.number("value", 1, lambda value: f"{words[value]} ({value})" if value in words else str(value))


def _write_general_block_transfer(scribe: Scribe) -> None:
    start = scribe.position
    control = scribe.reader.octet()
    words = ["last block"] if control & 0x80 else []
    words += ["streaming"] if control & 0x40 else []
    scribe.note("block-control", ", ".join([*words, f"window {control & 0x3F}"]), start)
    number = scribe.number("block-number", 2)
    scribe.number("block-number-acknowledged", 2)
    part = blocks.write_part(scribe)
    if not part.octets:  # nothing but an acknowledgement
        return
    key = ("general-block-transfer", scribe.around.sender)
    whole = scribe.gather(key, number, part, is_last=bool(control & 0x80))
    if whole is not None:
        scribe.put(scribe.inside(whole))


def _write_prefixed(scribe: Scribe) -> None:
    scribe.number("network-id")
    scribe.octets("physical-device-address", octets_words)
    # An APDU that is one of several in an input ends where it ends, not where the input does.
    rest = scribe.source.cut(scribe.position, len(scribe.source))
    node = scribe.inside(rest)
    scribe.reader.take(scribe.reader.remaining)
    scribe.put(node)


_READERS: dict[int, tuple[str, Callable[[Scribe], None]]] = {
    0x60: ("AARQ", association.write_aarq),
    0x61: ("AARE", association.write_aare),
    0x62: ("RLRQ", association.write_release),
    0x63: ("RLRE", association.write_release),
    0x01: ("initiate-request", association.write_initiate_request),
    0x08: ("initiate-response", association.write_initiate_response),
    0x0E: ("confirmed-service-error", _write_confirmed_service_error),
    0x0F: ("data-notification", _write_data_notification),
    0xC0: ("get-request", services.write_get_request),
    0xC1: ("set-request", services.write_set_request),
    0xC2: ("event-notification-request", _write_event_notification),
    0xC3: ("action-request", services.write_action_request),
    0xC4: ("get-response", services.write_get_response),
    0xC5: ("set-response", services.write_set_response),
    0xC7: ("action-response", services.write_action_response),
    0xD8: ("exception-response", _write_exception_response),
    0xE0: ("general-block-transfer", _write_general_block_transfer),
    0xE6: ("gateway-request", _write_prefixed),
    0xE7: ("gateway-response", _write_prefixed),
    0xDB: ("general-glo-ciphering", ciphering.write_general_ciphered),
    0xDC: ("general-ded-ciphering", ciphering.write_general_ciphered),
    0xDD: ("general-ciphering", ciphering.write_general_ciphering),
    0xDF: ("general-signing", ciphering.write_general_signing),
    **{
        tag + offset: (f"{form}-{name}", ciphering.write_service_ciphered)
        for form, offset in (("glo", 0x20), ("ded", 0x40))
        for tag, name in ((0x01, "initiate-request"), (0x08, "initiate-response"), (0x0E, "confirmed-service-error"))
    },
    **{
        tag + offset: (f"{form}-{name}", ciphering.write_service_ciphered)
        for form, offset in (("glo", 0x08), ("ded", 0x10))
        for tag, name in (
            (0xC0, "get-request"),
            (0xC1, "set-request"),
            (0xC2, "event-notification-request"),
            (0xC3, "action-request"),
            (0xC4, "get-response"),
            (0xC5, "set-response"),
            (0xC7, "action-response"),
        )
    },
}
TAGS = frozenset(_READERS)
"""First octets of the APDUs that are known here."""
_NOT_READ = {
    0x05: "read-request, short names",
    0x06: "write-request, short names",
    0x0C: "read-response, short names",
    0x0D: "write-response, short names",
    0x16: "unconfirmed-write-request, short names",
    0x18: "information-report-request, short names",
    0xD9: "access-request",
    0xDA: "access-response",
    0x7E: "an HDLC frame?",
}
"""APDUs that exist, and are not read here."""
