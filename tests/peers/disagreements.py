"""Where a peer and we disagree about an APDU, and who is right.

Every row says what it is about, and knows by itself for which things of the corpus it must show. A disagreement that no
row explains fails the run, and so does a row that shows no more: then either side has changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from cosem_objects.axdr import Data, DataType
from cosem_objects.dlms import apdu

Peer: TypeAlias = Literal["dlms-cosem", "gurux"]
Side: TypeAlias = Literal["reads", "writes", "sends"]
Outcome: TypeAlias = Literal["alike", "refused", "otherwise", "misread"]
"""``misread``: refused, or read as something else, as the octets happen to fall."""


@dataclass(frozen=True)
class Disagreement:
    name: str
    peer: Peer
    side: Side
    """`reads`: what the peer makes of our octets. `writes`: what it writes for a thing that it has read alike. `sends`:
    what its client or server does by itself; these rows have a test of their own each."""
    outcome: Outcome
    what: str
    ours: str
    theirs: str
    right: str
    """Who, and by which fact."""
    shows: Callable[[str, Any], bool]
    """Of (kind, thing)."""
    written: Callable[[Any], bytes] | None = None
    """What the peer writes instead, where that is certain."""


# --- what the rows speak of ---


def kinds(*names: str) -> Callable[[str, Any], bool]:
    return lambda kind, thing: kind in names


def selections(thing: Any) -> bool:
    """Whether anything is selected, in an APDU with one attribute or with a list of them."""
    if hasattr(thing, "selection"):
        return thing.selection is not None
    return any(selection is not None for _attribute, selection in getattr(thing, "attributes", ()))


def initiate(thing: Any) -> Any:
    """The InitiateRequest or InitiateResponse that this thing is or carries."""
    if isinstance(thing, (apdu.InitiateRequest, apdu.InitiateResponse)):
        return thing
    octets = getattr(thing, "user_information", None)
    return apdu.decode(octets) if octets else None


def quality(thing: Any) -> bool:
    return getattr(initiate(thing), "quality_of_service", None) is not None


def no_response(thing: Any) -> bool:
    return getattr(initiate(thing), "response_allowed", True) is False


def longest(data: Any) -> int:
    """The largest length that is written inside this data."""
    if isinstance(data, tuple):
        return max(map(longest, data), default=0)
    if not isinstance(data, Data) or not isinstance(data.value, (bytes, str, tuple)):
        return 0
    inside = longest(data.value) if isinstance(data.value, tuple) else 0
    return max(len(data.value), inside)


def leaves(data: Data) -> list[Data]:
    if isinstance(data.value, tuple):
        return [leaf for element in data.value for leaf in leaves(element)]
    return [data]


def is_type(*types: DataType) -> Callable[[str, Any], bool]:
    return lambda kind, thing: isinstance(thing, Data) and thing.type in types


def one_invoke(thing: Any) -> Any:
    return dataclasses.replace(thing, invoke=thing.invoke & 0xF0 | 1)


NOT_IN_DLMS_COSEM = kinds(
    "set-request-with-first-datablock",
    "set-request-with-datablock",
    "set-request-with-list",
    "set-request-with-list-and-first-datablock",
    "set-response-datablock",
    "set-response-last-datablock",
    "set-response-last-datablock-with-list",
    "set-response-with-list",
    "action-request-next-pblock",
    "action-request-with-list",
    "action-request-with-first-pblock",
    "action-request-with-list-and-first-pblock",
    "action-request-with-pblock",
    "action-response-with-pblock",
    "action-response-with-list",
    "action-response-next-pblock",
)
DELTAS = (
    DataType.DELTA_INTEGER,
    DataType.DELTA_LONG,
    DataType.DELTA_DOUBLE_LONG,
    DataType.DELTA_UNSIGNED,
    DataType.DELTA_LONG_UNSIGNED,
    DataType.DELTA_DOUBLE_LONG_UNSIGNED,
)
ASN1 = "by the ASN.1 of the COSEM application layer (IEC 62056-5-3)"

DLMS_COSEM_ROWS = [
    Disagreement(
        "dlms-cosem-has-no-blocks-and-lists",
        "dlms-cosem",
        "reads",
        "refused",
        "SET and ACTION in blocks and with lists",
        "all forms of the service",
        "only the normal form is implemented",
        f"ours, {ASN1}",
        NOT_IN_DLMS_COSEM,
    ),
    Disagreement(
        "dlms-cosem-selects-in-profiles-only",
        "dlms-cosem",
        "reads",
        "refused",
        "selective access of a class of its own",
        "any selector with any data",
        "selectors 1 and 2 with the parameters of class 7; none with a list or with SET",
        f"ours: an access-selector is an Unsigned8 and its parameters are Data, {ASN1}",
        lambda kind, thing: selections(thing),
    ),
    Disagreement(
        "dlms-cosem-has-no-error-in-a-block-before-the-last",
        "dlms-cosem",
        "reads",
        "refused",
        "GET-response-with-datablock, last-block false, with a data-access-result",
        "read as it stands",
        "an error only in the last block",
        "both: the ASN.1 lets both stand together; an error ends the transfer either way, which is the association's",
        lambda kind, thing: (
            kind == "get-response-with-datablock" and isinstance(thing.result, int) and not thing.is_last
        ),
    ),
    Disagreement(
        "dlms-cosem-writes-no-normal-get-response",
        "dlms-cosem",
        "writes",
        "refused",
        "GET-response-normal with data",
        "written",
        "TypeError: it adds octets to a list of octets",
        f"ours, {ASN1}",
        lambda kind, thing: kind == "get-response-normal" and isinstance(thing.result, Data),
    ),
    Disagreement(
        "dlms-cosem-long-lengths-fail",
        "dlms-cosem",
        "reads",
        "refused",
        "a length above 255 inside data",
        "82 and two octets",
        "an error where it writes the data again to show it",
        "ours: BER form of lengths (ISO/IEC 8825-1, 8.1.3)",
        lambda kind, thing: kind == "get-response-with-list" and longest(thing.results) > 255,
    ),
    Disagreement(
        "dlms-cosem-long-lengths-in-one-octet",
        "dlms-cosem",
        "reads",
        "otherwise",
        "a length of 128 to 255 inside data",
        "81 and one octet",
        "one octet, which reads as the number of octets of a length",
        "ours: BER form of lengths (ISO/IEC 8825-1, 8.1.3)",
        lambda kind, thing: kind == "get-response-with-list" and longest(thing.results) > 127,
    ),
    Disagreement(
        "dlms-cosem-does-not-know-the-type",
        "dlms-cosem",
        "reads",
        "refused",
        "delta types, compact-array, bit-string, utf8-string, float, bcd, don't-care in data",
        "read",
        "no class for the tag, or one that cannot read",
        f"ours: all are choices of Data, {ASN1}",
        is_type(
            *DELTAS,
            DataType.COMPACT_ARRAY,
            DataType.BIT_STRING,
            DataType.UTF8_STRING,
            DataType.FLOAT32,
            DataType.FLOAT64,
            DataType.BCD,
            DataType.DONT_CARE,
        ),
    ),
    Disagreement(
        "dlms-cosem-has-no-unspecified-times",
        "dlms-cosem",
        "reads",
        "misread",
        "date-time; date and time with FF (not specified)",
        "the octets as they are",
        "a Python time, which cannot say it; the clock status beside it",
        "ours: FF is 'not specified' in every field (IEC 62056-6-2, 4.1.6.1)",
        lambda kind, thing: (
            is_type(DataType.DATE_TIME)(kind, thing)
            or (is_type(DataType.DATE, DataType.TIME)(kind, thing) and 0xFF in thing.value)
        ),
    ),
    Disagreement(
        "dlms-cosem-does-not-write-the-type",
        "dlms-cosem",
        "writes",
        "refused",
        "null-data, boolean, date-time, date, time",
        "written",
        "value_to_bytes is not implemented",
        f"ours, {ASN1}",
        is_type(
            DataType.NULL_DATA,
            DataType.BOOLEAN,
            DataType.DATE_TIME,
            DataType.DATE,
            DataType.TIME,
        ),
    ),
    Disagreement(
        "dlms-cosem-writes-short-lengths-only",
        "dlms-cosem",
        "writes",
        "misread",
        "octet-string and visible-string of more than 127 octets",
        "81 or 82 and the length",
        "one octet, or an error",
        "ours: BER form of lengths (ISO/IEC 8825-1, 8.1.3)",
        lambda kind, thing: isinstance(thing, Data) and longest(thing) > 127,
    ),
    Disagreement(
        "dlms-cosem-notification-time-with-presence",
        "dlms-cosem",
        "writes",
        "otherwise",
        "DataNotification with a date-time",
        "a length (0C) and 12 octets",
        "a presence octet (01) and 12 octets, the day of the week lost",
        f"ours: date-time is an OCTET STRING there, empty if absent, {ASN1}",
        lambda kind, thing: kind == "data-notification" and thing.date_time != b"",
    ),
    Disagreement(
        "dlms-cosem-counter-in-one-octet",
        "dlms-cosem",
        "writes",
        "otherwise",
        "exception-response, invocation-counter-error, a counter below 256",
        "four octets",
        "one octet, or none for 0",
        f"ours: Unsigned32, {ASN1}",
        lambda kind, thing: (
            kind == "exception-response" and thing.invocation_counter is not None and thing.invocation_counter < 256
        ),
        lambda thing: (
            bytes((0xD8, thing.state_error, thing.service_error))
            + (bytes((thing.invocation_counter,)) if thing.invocation_counter else b"")
        ),
    ),
    Disagreement(
        "dlms-cosem-counter-does-not-fit",
        "dlms-cosem",
        "writes",
        "refused",
        "exception-response, invocation-counter-error, a counter above 255",
        "four octets",
        "one octet, which cannot hold it",
        f"ours: Unsigned32, {ASN1}",
        lambda kind, thing: kind == "exception-response" and thing.invocation_counter is not None,
    ),
    Disagreement(
        "dlms-cosem-every-service-error-is-of-initiate",
        "dlms-cosem",
        "writes",
        "otherwise",
        "ConfirmedServiceError of read or write",
        "the choice of the service",
        "always initiateError",
        f"ours: the CHOICE names the service, {ASN1}",
        lambda kind, thing: kind == "confirmed-service-error" and thing.service != 1,
        lambda thing: dataclasses.replace(thing, service=1).encode(),
    ),
    Disagreement(
        "dlms-cosem-no-quality-of-service-proposed",
        "dlms-cosem",
        "reads",
        "refused",
        "InitiateRequest with proposed-quality-of-service",
        "presence octet and one octet",
        "the presence octet is taken for the value",
        "ours: an OPTIONAL Integer8 in A-XDR (IEC 61334-6)",
        lambda kind, thing: kind in {"initiate-request", "rlrq", "aarq"} and quality(thing),
    ),
    Disagreement(
        "dlms-cosem-response-always-allowed",
        "dlms-cosem",
        "writes",
        "otherwise",
        "InitiateRequest with response-allowed false",
        "01 00",
        "the default",
        "ours: a DEFAULT in A-XDR has a presence octet (IEC 61334-6)",
        lambda kind, thing: no_response(thing),
    ),
    Disagreement(
        "dlms-cosem-quality-of-service-without-presence",
        "dlms-cosem",
        "writes",
        "otherwise",
        "InitiateResponse with negotiated-quality-of-service",
        "presence octet and one octet",
        "one octet, which then is the presence octet",
        "ours: an OPTIONAL Integer8 in A-XDR (IEC 61334-6)",
        lambda kind, thing: kind in {"initiate-response", "rlre", "aare"} and quality(thing),
    ),
    Disagreement(
        "dlms-cosem-short-lengths-of-acse",
        "dlms-cosem",
        "reads",
        "refused",
        "AARQ and AARE of more than 127 octets",
        "81 and one octet",
        "one octet",
        "ours: BER form of lengths (ISO/IEC 8825-1, 8.1.3)",
        lambda kind, thing: kind in {"aarq", "aare"} and thing.encode()[1] > 0x80,
    ),
]
GURUX_ROWS = [
    Disagreement(
        "gurux-drops-selections-in-lists",
        "gurux",
        "reads",
        "otherwise",
        "selective access with a list of attributes",
        "each attribute has its own",
        "read over, not shown",
        f"ours, {ASN1}",
        lambda kind, thing: kind in {"get-request-with-list", "set-request-with-list"} and selections(thing),
    ),
    Disagreement(
        "gurux-has-no-selection-with-set",
        "gurux",
        "reads",
        "misread",
        "SET with selective access",
        "selector and parameters",
        "the selector is taken for the value",
        f"ours, {ASN1}",
        lambda kind, thing: kind == "set-request-normal" and selections(thing),
    ),
    Disagreement(
        "gurux-drops-errors-in-lists",
        "gurux",
        "reads",
        "otherwise",
        "GET-response-with-list in which one attribute has an error",
        "the error at its place",
        "read over: the list is shorter than the request",
        f"ours, {ASN1}",
        lambda kind, thing: (
            kind == "get-response-with-list" and any(isinstance(result, int) for result in thing.results)
        ),
    ),
    Disagreement(
        "gurux-wants-the-first-block-to-be-1",
        "gurux",
        "reads",
        "otherwise",
        "SET-request-with-first-datablock with another block number than 1, or with a selection",
        "read; the association refuses the number",
        "nothing is shown",
        "both as to the number (blocks count from 1); ours as to the selection",
        lambda kind, thing: (
            kind == "set-request-with-first-datablock" and (selections(thing) or thing.block.number != 1)
        ),
    ),
    Disagreement(
        "gurux-has-no-blocks-with-lists",
        "gurux",
        "reads",
        "refused",
        "SET request and response in blocks with a list, ACTION-response-with-pblock and -with-list",
        "read",
        "errors, some of Python",
        f"ours, {ASN1}",
        kinds(
            "set-request-with-list-and-first-datablock",
            "set-response-last-datablock-with-list",
            "action-response-with-pblock",
            "action-response-with-list",
        ),
    ),
    Disagreement(
        "gurux-has-only-normal-action-requests",
        "gurux",
        "reads",
        "misread",
        "ACTION requests in blocks and with lists",
        "read",
        "the octets after the invoke-id are taken for a method descriptor",
        f"ours, {ASN1}",
        kinds(
            "action-request-next-pblock",
            "action-request-with-list",
            "action-request-with-first-pblock",
            "action-request-with-list-and-first-pblock",
            "action-request-with-pblock",
        ),
    ),
    Disagreement(
        "gurux-does-not-know-the-type",
        "gurux",
        "reads",
        "refused",
        "delta types in data",
        "read",
        "Invalid data type",
        f"ours: choices of Data, {ASN1}",
        is_type(*DELTAS),
    ),
    Disagreement(
        "gurux-cannot-show-text",
        "gurux",
        "reads",
        "otherwise",
        "utf8-string beyond ASCII, visible-string with control or other octets",
        "text",
        "hexadecimal digits as text",
        "ours: the value is text; octets beyond ASCII in a visible-string are kept as they are",
        lambda kind, thing: (
            is_type(DataType.UTF8_STRING, DataType.VISIBLE_STRING)(kind, thing)
            and any(not " " <= character <= "\x7f" for character in thing.value)
        ),
    ),
    Disagreement(
        "gurux-cannot-show-the-type",
        "gurux",
        "reads",
        "misread",
        "compact-array, date, don't-care through the translator",
        "read",
        "an empty element, or an error",
        f"ours: choices of Data, {ASN1}",
        is_type(DataType.COMPACT_ARRAY, DataType.DONT_CARE, DataType.DATE),
    ),
    Disagreement(
        "gurux-has-three-service-errors",
        "gurux",
        "reads",
        "refused",
        "exception-response with pdu-too-long, deciphering-error, invocation-counter-error",
        "read",
        "the translator knows 1 to 3; the client class reads all, and the counter",
        f"ours, {ASN1}",
        lambda kind, thing: kind == "exception-response" and thing.service_error > 3,
    ),
    Disagreement(
        "gurux-quality-of-service",
        "gurux",
        "reads",
        "misread",
        "Initiate with a quality of service",
        "presence octet and one octet",
        "presence octet, a length, an octet",
        "ours: an OPTIONAL Integer8 in A-XDR has no length (IEC 61334-6)",
        lambda kind, thing: quality(thing),
    ),
    Disagreement(
        "gurux-response-not-allowed",
        "gurux",
        "reads",
        "otherwise",
        "InitiateRequest with response-allowed false",
        "response-allowed false",
        "shown as a quality of service of 0",
        "ours: response-allowed stands before the quality of service (IEC 62056-5-3)",
        lambda kind, thing: no_response(thing),
    ),
    Disagreement(
        "gurux-provider-is-user",
        "gurux",
        "reads",
        "otherwise",
        "AARE with a diagnostic of the service provider",
        "acse-service-provider (A2)",
        "shown as one of the user",
        "ours: a CHOICE of two (ISO/IEC 8650-1)",
        lambda kind, thing: kind == "aare" and thing.provider_diagnostic,
    ),
    Disagreement(
        "gurux-does-not-show-requests-behind-a-prefix",
        "gurux",
        "reads",
        "otherwise",
        "an APDU behind the prefix E6",
        "network, address and APDU",
        "nothing is shown",
        "ours: E6 is a request as E7 is a response (DLMS UA Green Book)",
        kinds("gateway-request"),
    ),
    Disagreement(
        "gurux-writes-an-access-selection-tag",
        "gurux",
        "writes",
        "otherwise",
        "GET-request-with-list, not empty",
        "the descriptor",
        "1D before each descriptor (a number of its own tables)",
        f"ours, {ASN1}",
        lambda kind, thing: kind == "get-request-with-list" and thing.attributes,
    ),
    Disagreement(
        "gurux-block-error-without-choice",
        "gurux",
        "writes",
        "otherwise",
        "GET-response-with-datablock with an error",
        "choice 01 and the error",
        "the error alone",
        f"ours: a CHOICE of raw-data and data-access-result, {ASN1}",
        lambda kind, thing: kind == "get-response-with-datablock" and isinstance(thing.result, int),
    ),
    Disagreement(
        "gurux-action-without-optional-part",
        "gurux",
        "writes",
        "otherwise",
        "ACTION-response-normal without a return value",
        "00 at the end",
        "nothing at the end (we read that, too)",
        f"ours: OPTIONAL has a presence octet in A-XDR, {ASN1}",
        lambda kind, thing: kind == "action-response-normal" and thing.returned is None,
        lambda thing: one_invoke(thing).encode()[:-1],
    ),
    Disagreement(
        "gurux-does-not-write-it",
        "gurux",
        "writes",
        "refused",
        "answers with list, last block of SET, general blocks, service errors, RLRQ, RLRE, dedicated keys, times",
        "written",
        "errors of Python",
        "ours; the translator's writing half is incomplete (what its client and server send: test_gurux_sends.py)",
        lambda kind, thing: (
            kind
            in {
                "get-response-with-list",
                "set-response-last-datablock",
                "set-response-with-list",
                "action-response-next-pblock",
                "general-block-transfer",
                "confirmed-service-error",
                "rlrq",
                "rlre",
            }
            or (kind == "aarq" and thing.mechanism > 1)
            or (kind == "initiate-request" and thing.dedicated_key is not None)
            or bool(getattr(thing, "date_time", b"") or getattr(thing, "time", b""))
        ),
    ),
    Disagreement(
        "gurux-writes-what-it-would-propose",
        "gurux",
        "writes",
        "otherwise",
        "InitiateRequest, InitiateResponse, AARQ through the translator",
        "what was read",
        "conformance 40 1E 5D and size FFFF of its own; no conformance in a response",
        "ours: the XML names conformance and size",
        lambda kind, thing: (
            kind in {"initiate-request", "aarq"} or (kind == "initiate-response" and thing.conformance != 0)
        ),
    ),
    Disagreement(
        "gurux-writes-an-association-response-of-its-own",
        "gurux",
        "writes",
        "misread",
        "AARE through the translator",
        "what was read",
        "context 1 and an InitiateResponse always, errors of Python with a mechanism",
        "ours: the XML names them",
        lambda kind, thing: (
            kind == "aare"
            and (
                thing.mechanism is not None
                or thing.context != 1
                or thing.user_information is None
                or getattr(initiate(thing), "conformance", 0) != 0
            )
        ),
    ),
    Disagreement(
        "gurux-bits-in-octets",
        "gurux",
        "writes",
        "otherwise",
        "bit-string of a length that is no multiple of 8",
        "the number of bits",
        "the number rounded up to whole octets",
        "ours: the length of a BIT STRING counts bits (IEC 61334-6)",
        lambda kind, thing: is_type(DataType.BIT_STRING)(kind, thing) and len(thing.value) % 8 != 0,
    ),
    Disagreement(
        "gurux-time-without-hundredths",
        "gurux",
        "writes",
        "otherwise",
        "time with hundredths",
        "four octets as they are",
        "the hundredths are 00",
        "ours: hundredths are part of time (IEC 62056-6-2, 4.1.6.1)",
        lambda kind, thing: is_type(DataType.TIME)(kind, thing) and thing.value[3] not in {0, 0xFF},
    ),
    Disagreement(
        "gurux-deviation-not-specified",
        "gurux",
        "writes",
        "otherwise",
        "date-time without any field",
        "the octets as they are",
        "the hundredths FF, or the deviation lost",
        "ours: every field says for itself that it is not specified (IEC 62056-6-2, 4.1.6.1)",
        lambda kind, thing: is_type(DataType.DATE_TIME)(kind, thing) and thing.value[0] == 0xFF,
    ),
    Disagreement(
        "gurux-signed-numbers-inside-become-double-long",
        "gurux",
        "writes",
        "otherwise",
        "long and long64 inside an array or structure",
        "their own type",
        "double-long; of a long64 the upper half is lost",
        "ours: what is read is written again",
        lambda kind, thing: (
            isinstance(thing, Data)
            and isinstance(thing.value, tuple)
            and any(leaf.type in {DataType.LONG, DataType.LONG64} for leaf in leaves(thing))
        ),
    ),
    Disagreement(
        "gurux-network-in-decimals",
        "gurux",
        "writes",
        "otherwise",
        "an APDU behind the prefix E7",
        "the network id that was read",
        "its decimal digits read as hexadecimal ones (196 becomes 96); invoke-id 1",
        "ours",
        lambda kind, thing: kind == "gateway-response" and (thing.network_id > 9 or thing.apdu[2] & 0x0F != 1),
    ),
    Disagreement(
        "gurux-invoke-id-is-1",
        "gurux",
        "writes",
        "otherwise",
        "an invoke-id other than 1 through the translator",
        "as read",
        "1, with the bits of priority and service class",
        "ours: a reply carries the invoke-id of its request",
        lambda kind, thing: hasattr(thing, "invoke") and thing.invoke & 0x0F != 1,
        lambda thing: one_invoke(thing).encode(),
    ),
]

SENT_ROWS = [
    Disagreement(
        "gurux-list-in-blocks",
        "gurux",
        "sends",
        "otherwise",
        "Gurux' server answers GET with list with more than fits into one APDU",
        "GET-response-with-datablock (02), block after block",
        "last-block, number and a length under choice 03 (with-list), and no further block",
        f"ours: only choice 02 has a block, {ASN1}",
        lambda kind, thing: False,
    ),
    Disagreement(
        "gurux-error-in-a-list-without-choice",
        "gurux",
        "sends",
        "otherwise",
        "GET-response-with-list of Gurux' server where an object does not exist or may not be read",
        "01 and the data-access-result",
        "the result alone, and for what may not be read the value behind it (session.py then asks one by one)",
        f"ours: each result is a CHOICE of data and data-access-result, {ASN1}",
        lambda kind, thing: False,
    ),
    Disagreement(
        "gurux-last-block-not-marked",
        "gurux",
        "sends",
        "otherwise",
        "SET in blocks where the rest is one or two octets too long for the last block",
        "one more block, which is marked as the last",
        "the rest whole in one block, which is not marked: the transfer never ends",
        f"ours: the last block has last-block true, {ASN1}",
        lambda kind, thing: False,
    ),
    Disagreement(
        "gurux-blocks-longer-than-agreed",
        "gurux",
        "sends",
        "otherwise",
        "SET in blocks of 128 octets and more, or with such a rest",
        "no APDU is longer than the size that was negotiated",
        "one or two octets more: the length octets are counted for another length",
        "ours: the server's max PDU size counts whole APDUs (IEC 62056-5-3, InitiateResponse)",
        lambda kind, thing: False,
    ),
    Disagreement(
        "gurux-no-room-for-the-system-title",
        "gurux",
        "sends",
        "otherwise",
        "blocks of SET and ACTION under general-glo and general-ded",
        "no APDU is longer than the size that was negotiated",
        "room is left for the header of service-specific ciphering only: blocks are some octets too long",
        "ours: the server's max PDU size counts whole APDUs (IEC 62056-5-3, InitiateResponse)",
        lambda kind, thing: False,
    ),
    Disagreement(
        "gurux-frame-length",
        "gurux",
        "sends",
        "otherwise",
        "HDLC frames in which only the 7 octets around make the length pass a multiple of 256",
        "the length of the whole frame",
        "upper three bits of the length without those 7 octets: 256 too small",
        "ours: the length counts everything between the flags (IEC 62056-46, 6.4.2; the check sum agrees)",
        lambda kind, thing: False,
    ),
]


ROWS: list[Disagreement] = [*DLMS_COSEM_ROWS, *GURUX_ROWS]


def expected(peer: Peer, side: Side, kind: str, thing: Any) -> Disagreement | None:
    """The first row that speaks of this thing."""
    return next((row for row in ROWS if (row.peer, row.side) == (peer, side) and row.shows(kind, thing)), None)
