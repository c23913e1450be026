"""Profile generic: selective access on the wire, and what a buffer says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects import axdr
from cosem_objects.axdr import NULL, CompactArray, Data, DataType, TypeDescription
from cosem_objects.clock import CosemDateTime
from cosem_objects.dlms.apdu import AttributeDescriptor, GetRequest
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.interface_classes import INTERFACE_CLASSES, SortMethod
from cosem_objects.obis import ObisCode
from cosem_objects.profile_generic import (
    CLASS_ID,
    Attribute,
    CaptureObject,
    EntryDescriptor,
    Method,
    RangeDescriptor,
    capture_objects_from_data,
    capture_objects_to_data,
    read_buffer,
)
from tests.cosem_objects.strategies import data_objects

LOG = ObisCode.parse("1-0:99.15.0.255")
TIME = CaptureObject(8, ObisCode.parse("0-0:1.0.0.255"), 2)
CREDIT = CaptureObject(111, ObisCode.parse("0-0:19.0.0.255"), 5)
STATUS = CaptureObject(115, ObisCode.parse("0-0:19.40.0.255"), 6, 1)

# Made by other stacks. dlms-cosem 25.1.0 (RangeDescriptor.to_bytes): selector and parameters, with deviations.
RANGE_DLMS_COSEM = (
    "010204020412000809060000010000ff0f02120000090c07ea0b01ff00000000000000090c07ea0b15ff0e030700ffc4000100"
)
# gurux-dlms 1.0.203 (readRowsByRange, readRowsByEntry): whole requests in a wrapper, without deviation and status.
RANGE_GURUX = (
    "c001c100070100630f00ff0201010204020412000809060000010000ff0f02120000"
    "090c07ea0b01ff00000000000000090c07ea0b15ff0e0307000000000100"
)
ENTRY_GURUX = "c001c100070100630f00ff020102020406000000030600000007120001120000"


def moment(time: datetime, **changes: int | None) -> Data:
    fields = CosemDateTime.from_datetime(time)
    shown = {name: getattr(fields, name) for name in CosemDateTime.__slots__} | {"weekday": None} | changes
    return axdr.octet_string(CosemDateTime(**shown).to_octets())


NOV_1, NOV_21 = datetime(2026, 11, 1), datetime(2026, 11, 21, 14, 3, 7)


def test_a_range_is_asked_for_as_dlms_cosem_does() -> None:
    first, last = NOV_1.replace(tzinfo=UTC), NOV_21.replace(tzinfo=timezone(timedelta(hours=1)))
    selector, parameters = RangeDescriptor(TIME, moment(first), moment(last)).selection()
    assert (bytes((selector,)) + axdr.encode(parameters)).hex() == RANGE_DLMS_COSEM


def test_a_range_is_asked_for_as_gurux_does() -> None:
    # For a time without a zone Gurux takes that of its machine, which was UTC.
    selection = RangeDescriptor(TIME, moment(NOV_1, deviation=0), moment(NOV_21, deviation=0)).selection()
    assert GetRequest(AttributeDescriptor(CLASS_ID, LOG, Attribute.BUFFER), selection).encode().hex() == RANGE_GURUX


def test_entries_are_asked_for_as_gurux_does() -> None:
    selection = EntryDescriptor(3, 7).selection()
    assert GetRequest(AttributeDescriptor(CLASS_ID, LOG, Attribute.BUFFER), selection).encode().hex() == ENTRY_GURUX


def test_the_names_of_attributes_and_methods_are_those_of_the_standard() -> None:
    names = INTERFACE_CLASSES[CLASS_ID]
    assert {one.value: one.name.lower() for one in Attribute} == names.attributes
    assert {one.value: one.name.lower() for one in Method}.items() <= names.methods.items()


columns = st.builds(
    CaptureObject,
    st.integers(0, 0xFFFF),
    st.binary(min_size=6, max_size=6).map(ObisCode),
    st.integers(-128, 127),
    st.integers(0, 0xFFFF),
)


@given(st.lists(columns, max_size=4), columns, data_objects, data_objects)
def test_what_is_asked_for_is_what_is_understood(
    chosen: list[CaptureObject], restricting: CaptureObject, first: Data, last: Data
) -> None:
    assert capture_objects_from_data(capture_objects_to_data(chosen)) == tuple(chosen)
    wanted = RangeDescriptor(restricting, first, last, tuple(chosen))
    assert RangeDescriptor.from_data(wanted.selection()[1]) == wanted


numbers = st.integers(0, 0xFFFF)


@given(numbers, numbers, numbers, numbers)
def test_an_entry_descriptor_is_understood_as_it_was_meant(first: int, last: int, left: int, right: int) -> None:
    wanted = EntryDescriptor(first, last, left, right)
    assert EntryDescriptor.from_data(wanted.selection()[1]) == wanted


@given(data_objects)
def test_what_is_no_descriptor_is_refused(data: Data) -> None:
    for kind in (RangeDescriptor, EntryDescriptor, CaptureObject):
        try:
            assert kind.from_data(data)
        except RemoteProtocolError:
            continue


def entry(*values: int) -> tuple[Data, ...]:
    return tuple(map(axdr.unsigned, values))


TABLE = [entry(10 * row, 10 * row + 1, 10 * row + 2) for row in range(1, 6)]


@pytest.mark.parametrize(
    ("wanted", "rows", "cells"),
    [
        (EntryDescriptor(), (0, 5), (0, 3)),
        (EntryDescriptor(2, 3), (1, 3), (0, 3)),
        (EntryDescriptor(4), (3, 5), (0, 3)),
        (EntryDescriptor(4, 99), (3, 5), (0, 3)),
        (EntryDescriptor(6, 9), (5, 5), (0, 3)),
        (EntryDescriptor(0, 1), (0, 1), (0, 3)),
        (EntryDescriptor(1, 0, 2, 2), (0, 5), (1, 2)),
        (EntryDescriptor(1, 1, 2, 0), (0, 1), (1, 3)),
    ],
)
def test_entries_and_columns_count_from_1_and_0_is_the_last(
    wanted: EntryDescriptor, rows: tuple[int, int], cells: tuple[int, int]
) -> None:
    assert wanted.entries(TABLE) == [row[slice(*cells)] for row in TABLE[slice(*rows)]]


# Buffers.


def rows(*entries: tuple[Data, ...]) -> Data:
    return axdr.array(*(axdr.structure(*one) for one in entries))


AT = [axdr.octet_string(CosemDateTime.from_datetime(NOV_21 + timedelta(minutes=15 * n)).to_octets()) for n in range(4)]
ONE, TWO = axdr.double_long(1), axdr.double_long(2)


def test_a_value_left_out_is_that_of_the_entry_before() -> None:
    buffer = rows((AT[0], ONE), (AT[1], NULL), (AT[2], TWO), (NULL, NULL))
    assert read_buffer(buffer, [TIME, CREDIT]) == [(AT[0], ONE), (AT[1], ONE), (AT[2], TWO), (AT[2], TWO)]


def test_the_first_entry_has_nothing_before_it() -> None:
    assert read_buffer(rows((NULL, ONE), (NULL, NULL)), [TIME, CREDIT], capture_period_seconds=900) == [
        (NULL, ONE),
        (NULL, ONE),
    ]


def test_a_time_left_out_is_one_period_after_the_entry_before() -> None:
    buffer = rows((AT[0], ONE), (NULL, NULL), (NULL, TWO), (AT[3], ONE))
    found = read_buffer(buffer, [TIME, CREDIT], capture_period_seconds=900)
    assert found == [(AT[0], ONE), (AT[1], ONE), (AT[2], TWO), (AT[3], ONE)]


@pytest.mark.parametrize("sort_method", [SortMethod.LIFO, SortMethod.LARGEST])
def test_where_the_newest_comes_first_it_is_one_period_before(sort_method: SortMethod) -> None:
    buffer = rows((AT[3], ONE), (NULL, NULL))
    found = read_buffer(buffer, [TIME, CREDIT], capture_period_seconds=900, sort_method=sort_method)
    assert found == [(AT[3], ONE), (AT[2], ONE)]


@pytest.mark.parametrize(
    ("last", "following"),
    [
        # The end of a month and of a year; deviation, status and an open weekday stay as they were.
        ("07ea0b1eff173b3b00ffc480", "07ea0c01ff000e3b00ffc480"),
        ("07ea0c1f04173b3bff800000", "07eb010105000e3bff800000"),
        # What is no whole moment, or no time at all, is left as it is.
        ("ffffffffff173b3b00800000", "ffffffffff173b3b00800000"),
        ("270f0c1fff173b3b00800000", "270f0c1fff173b3b00800000"),
        ("07ea0bfeff173b3b00800000", "07ea0bfeff173b3b00800000"),
        ("0102", "0102"),
    ],
)
def test_times_go_on_over_every_border(last: str, following: str) -> None:
    buffer = rows((axdr.octet_string(bytes.fromhex(last)),), (NULL,))
    found = read_buffer(buffer, [TIME], capture_period_seconds=900)
    assert found[1][0].octets.hex() == following


def test_only_a_clock_goes_on_by_itself() -> None:
    other = CaptureObject(8, TIME.logical_name, 5)
    assert read_buffer(rows((AT[0],), (NULL,)), [other], capture_period_seconds=900) == [(AT[0],), (AT[0],)]


def test_a_compact_array_says_the_same() -> None:
    inside = (TypeDescription(DataType.OCTET_STRING), TypeDescription(DataType.DOUBLE_LONG))
    elements = tuple(axdr.structure(AT[n], axdr.double_long(n)) for n in range(3))
    compact = Data(DataType.COMPACT_ARRAY, CompactArray(TypeDescription(DataType.STRUCTURE, inside), elements))
    read = axdr.decode(axdr.encode(compact))
    expected = read_buffer(axdr.array(*elements), [TIME, CREDIT])
    assert read_buffer(read, [TIME, CREDIT]) == expected == [(AT[n], axdr.double_long(n)) for n in range(3)]


@pytest.mark.parametrize(
    "buffer", [rows((AT[0],)), rows((AT[0], ONE), (AT[1], ONE, TWO)), axdr.array(ONE), axdr.unsigned(5), NULL]
)
def test_a_buffer_that_does_not_fit_its_columns_is_refused(buffer: Data) -> None:
    with pytest.raises(RemoteProtocolError):
        read_buffer(buffer, [TIME, CREDIT])


@pytest.mark.parametrize("period", [2**64 - 1, 10**14])
def test_a_capture_period_that_no_calendar_has_is_refused(period: int) -> None:
    with pytest.raises(RemoteProtocolError, match="capture_period"):
        read_buffer(rows((AT[0],), (NULL,)), [TIME], capture_period_seconds=period)


@given(data_objects, st.integers(0, 2**32 - 1) | st.integers())
def test_no_buffer_raises_anything_else(data: Data, period: int) -> None:
    for buffer in (data, rows((data,), (NULL,), (data,), (NULL,))):
        try:
            found = read_buffer(buffer, [TIME], capture_period_seconds=period)
        except RemoteProtocolError:
            continue
        assert all(len(one) == 1 for one in found)
