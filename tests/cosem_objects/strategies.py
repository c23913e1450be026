"""For property tests: COSEM data of every type, every APDU, bytes that are nearly right, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hypothesis import strategies as st

from cosem_objects.axdr import CompactArray, Data, DataType, TypeDescription
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms.acse import Aare, Aarq, AcseApdu, Rlre, Rlrq
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.obis import ObisCode

T = TypeVar("T")


def _signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)


def _unsigned(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << bits) - 1)


octet = _unsigned(8)
octets = st.binary(max_size=300)

LEAVES: dict[DataType, st.SearchStrategy[object]] = {
    DataType.NULL_DATA: st.none(),
    DataType.BOOLEAN: st.booleans(),
    DataType.BIT_STRING: st.text("01", max_size=140),
    DataType.DOUBLE_LONG: _signed(32),
    DataType.DOUBLE_LONG_UNSIGNED: _unsigned(32),
    DataType.OCTET_STRING: octets,
    DataType.VISIBLE_STRING: st.text(st.characters(max_codepoint=255), max_size=140),
    DataType.UTF8_STRING: st.text(st.characters(exclude_categories=["Cs"]), max_size=140),
    DataType.BCD: octet,
    DataType.INTEGER: _signed(8),
    DataType.LONG: _signed(16),
    DataType.UNSIGNED: octet,
    DataType.LONG_UNSIGNED: _unsigned(16),
    DataType.LONG64: _signed(64),
    DataType.LONG64_UNSIGNED: _unsigned(64),
    DataType.ENUM: octet,
    DataType.FLOAT32: st.floats(width=32, allow_nan=False),
    DataType.FLOAT64: st.floats(allow_nan=False),
    DataType.DATE_TIME: st.binary(min_size=12, max_size=12),
    DataType.DATE: st.binary(min_size=5, max_size=5),
    DataType.TIME: st.binary(min_size=4, max_size=4),
    DataType.DELTA_INTEGER: _signed(8),
    DataType.DELTA_LONG: _signed(16),
    DataType.DELTA_DOUBLE_LONG: _signed(32),
    DataType.DELTA_UNSIGNED: octet,
    DataType.DELTA_LONG_UNSIGNED: _unsigned(16),
    DataType.DELTA_DOUBLE_LONG_UNSIGNED: _unsigned(32),
    DataType.DONT_CARE: st.none(),
}

leaves = st.sampled_from(sorted(LEAVES)).flatmap(lambda kind: st.builds(Data, st.just(kind), LEAVES[kind]))

_with_octets = st.sampled_from(sorted(set(LEAVES) - {DataType.NULL_DATA, DataType.DONT_CARE})).map(TypeDescription)
"""Descriptions of values that take octets: a compact-array of others says nothing about how many there are."""

descriptions = st.recursive(
    _with_octets,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4).map(lambda some: TypeDescription(DataType.STRUCTURE, tuple(some)))
        | st.builds(lambda one, count: TypeDescription(DataType.ARRAY, (one,), count), inner, st.integers(1, 4))
    ),
    max_leaves=3,
)


def described(description: TypeDescription) -> st.SearchStrategy[Data]:
    """Values of this description."""
    if description.type is DataType.STRUCTURE:
        inside = st.tuples(*map(described, description.elements))
    elif description.type is DataType.ARRAY:
        inside = st.tuples(*[described(description.elements[0])] * description.count)
    else:
        return st.builds(Data, st.just(description.type), LEAVES[description.type])
    return st.builds(Data, st.just(description.type), inside)


@st.composite
def compact_arrays(draw: st.DrawFn) -> Data:
    description = draw(descriptions)
    elements = draw(st.lists(described(description), max_size=3))
    return Data(DataType.COMPACT_ARRAY, CompactArray(description, tuple(elements)))


data_objects = st.recursive(
    leaves | compact_arrays(),
    lambda inner: st.builds(
        Data,
        st.sampled_from([DataType.ARRAY, DataType.STRUCTURE]),
        st.lists(inner, max_size=4).map(tuple),
    ),
    max_leaves=5,
)

# APDUs.

obis_codes = st.builds(ObisCode, st.binary(min_size=6, max_size=6))
attributes = st.builds(xdlms.AttributeDescriptor, _unsigned(16), obis_codes, _signed(8))
methods = st.builds(xdlms.MethodDescriptor, _unsigned(16), obis_codes, _signed(8))
selections = st.none() | st.tuples(octet, leaves)
conformances = _unsigned(24).map(xdlms.Conformance)
results = data_objects | octet
outcomes = st.tuples(octet, st.none() | results)
block_numbers = _unsigned(32)
blocks = st.builds(xdlms.DataBlock, block_numbers, octets, st.booleans())


def some(elements: st.SearchStrategy[T]) -> st.SearchStrategy[tuple[T, ...]]:
    """A list of a few, none included: what an APDU with list carries."""
    return st.lists(elements, max_size=4).map(tuple)


wanted = st.tuples(attributes, selections)
selected = some(wanted)


def with_values(what: st.SearchStrategy[T]) -> st.SearchStrategy[tuple[tuple[T, ...], tuple[Data, ...]]]:
    """A list of attributes or methods, and as many values."""
    return some(st.tuples(what, data_objects)).map(
        lambda pairs: (tuple(p[0] for p in pairs), tuple(p[1] for p in pairs))
    )


access_results = st.lists(octet, max_size=300).map(tuple)

SERVICES: dict[str, st.SearchStrategy[xdlms.ServiceApdu]] = {
    "get-request-normal": st.builds(xdlms.GetRequest, attributes, selections, octet),
    "get-request-next": st.builds(xdlms.GetRequestNext, block_numbers, octet),
    "get-request-with-list": st.builds(xdlms.GetRequestWithList, selected, octet),
    "get-response-normal": st.builds(xdlms.GetResponse, results, octet),
    "get-response-with-datablock": st.builds(
        xdlms.GetResponseWithDataBlock, block_numbers, octets | octet, st.booleans(), octet
    ),
    "get-response-with-list": st.builds(xdlms.GetResponseWithList, some(results), octet),
    "set-request-normal": st.builds(xdlms.SetRequest, attributes, data_objects, selections, octet),
    "set-request-with-first-datablock": st.builds(
        xdlms.SetRequestWithFirstDataBlock, attributes, blocks, selections, octet
    ),
    "set-request-with-datablock": st.builds(xdlms.SetRequestWithDataBlock, blocks, octet),
    "set-request-with-list": st.builds(
        lambda lists, invoke: xdlms.SetRequestWithList(*lists, invoke), with_values(wanted), octet
    ),
    "set-request-with-list-and-first-datablock": st.builds(
        xdlms.SetRequestWithListAndFirstDataBlock, selected, blocks, octet
    ),
    "set-response-normal": st.builds(xdlms.SetResponse, octet, octet),
    "set-response-datablock": st.builds(xdlms.SetResponseDataBlock, block_numbers, octet),
    "set-response-last-datablock": st.builds(xdlms.SetResponseLastDataBlock, octet, block_numbers, octet),
    "set-response-last-datablock-with-list": st.builds(
        xdlms.SetResponseLastDataBlockWithList, access_results, block_numbers, octet
    ),
    "set-response-with-list": st.builds(xdlms.SetResponseWithList, access_results, octet),
    "action-request-normal": st.builds(xdlms.ActionRequest, methods, st.none() | data_objects, octet),
    "action-request-next-pblock": st.builds(xdlms.ActionRequestNextPblock, block_numbers, octet),
    "action-request-with-list": st.builds(
        lambda lists, invoke: xdlms.ActionRequestWithList(*lists, invoke), with_values(methods), octet
    ),
    "action-request-with-first-pblock": st.builds(xdlms.ActionRequestWithFirstPblock, methods, blocks, octet),
    "action-request-with-list-and-first-pblock": st.builds(
        xdlms.ActionRequestWithListAndFirstPblock, some(methods), blocks, octet
    ),
    "action-request-with-pblock": st.builds(xdlms.ActionRequestWithPblock, blocks, octet),
    "action-response-normal": st.builds(xdlms.ActionResponse, octet, st.none() | results, octet),
    "action-response-with-pblock": st.builds(xdlms.ActionResponseWithPblock, blocks, octet),
    "action-response-with-list": st.builds(xdlms.ActionResponseWithList, some(outcomes), octet),
    "action-response-next-pblock": st.builds(xdlms.ActionResponseNextPblock, block_numbers, octet),
}
"""Every form of the three services, by the name that the standard gives it."""

OTHERS: dict[str, st.SearchStrategy[xdlms.Apdu]] = {
    "data-notification": st.builds(xdlms.DataNotification, _unsigned(32), st.binary(max_size=12), data_objects),
    "event-notification-request": st.builds(
        xdlms.EventNotification, attributes, data_objects, st.none() | st.binary(max_size=12)
    ),
    "exception-response": st.one_of(
        st.builds(xdlms.ExceptionResponse, octet, octet.filter(lambda service: service != 6)),
        st.builds(xdlms.ExceptionResponse, octet, st.just(6), st.none() | _unsigned(32)),
    ),
    "confirmed-service-error": st.builds(xdlms.ConfirmedServiceError, octet, octet, octet),
    "initiate-request": st.builds(
        xdlms.InitiateRequest,
        conformances,
        _unsigned(16),
        st.none() | st.binary(max_size=40),
        st.booleans(),
        st.none() | octet,
        octet,
    ),
    "initiate-response": st.builds(
        xdlms.InitiateResponse, conformances, _unsigned(16), st.none() | octet, octet, _unsigned(16)
    ),
    "general-block-transfer": st.builds(
        xdlms.GeneralBlockTransfer,
        _unsigned(16),
        _unsigned(16),
        octets,
        st.booleans(),
        st.booleans(),
        _unsigned(6),
    ),
}
PREFIXED: dict[str, st.SearchStrategy[xdlms.Apdu]] = {
    "gateway-request": st.builds(xdlms.PrefixedRequest, octet, octets, octets),
    "gateway-response": st.builds(xdlms.PrefixedResponse, octet, octets, octets),
}
"""An APDU behind a prefix goes to the end: nothing can be too many after it."""

service_apdus: st.SearchStrategy[xdlms.ServiceApdu] = st.one_of(*SERVICES.values())
bounded_apdus: st.SearchStrategy[xdlms.Apdu] = st.one_of(service_apdus, *OTHERS.values())
apdus: st.SearchStrategy[xdlms.Apdu] = st.one_of(bounded_apdus, *PREFIXED.values())

_some_octets = st.none() | octets
aarqs = st.builds(Aarq, octet, octets, _some_octets, octet, _some_octets)
aares = st.builds(Aare, octet, octet, octet, _some_octets, st.booleans(), _some_octets, st.none() | octet, _some_octets)
releases = st.builds(Rlrq, st.none() | octet, _some_octets) | st.builds(Rlre, st.none() | octet, _some_octets)
acse_apdus: st.SearchStrategy[AcseApdu] = aarqs | aares | releases


# Bytes that are nearly right: where arbitrary ones are refused at the first octet, these go deep.


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Valid octets, then cut, lengthened, or with a few octets set, taken out or doubled."""
    octets_now = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 3))):
        position = draw(st.integers(0, len(octets_now)))
        match draw(st.sampled_from(["cut", "append", "set", "delete", "insert", "flip"])):
            case "cut":
                del octets_now[position:]
            case "append":
                octets_now += draw(st.binary(max_size=4))
            case "set":
                octets_now[position : position + 1] = bytes((draw(st.sampled_from([0, 1, 2, 0x7F, 0x80, 0x84, 0xFF])),))
            case "delete":
                del octets_now[position : position + 1]
            case "insert":
                octets_now[position:position] = draw(st.binary(min_size=1, max_size=3))
            case _:
                octets_now[position : position + 1] = bytes(
                    octet_now ^ 1 << draw(st.integers(0, 7)) for octet_now in octets_now[position : position + 1]
                )
    return bytes(octets_now)


def understood(decode: Callable[[bytes], T], octets: bytes) -> T | None:
    """What ``decode`` makes of octets from outside, or None where it refuses them: in a short message, and in no other
    way than with ``RemoteProtocolError``."""
    try:
        return decode(octets)
    except RemoteProtocolError as error:
        message = str(error)
    assert len(message) < 200
    return None
