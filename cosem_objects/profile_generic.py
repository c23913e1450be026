"""Class 7, Profile generic: a table that grows by itself, one entry for each capture: load profiles, logs.

IEC 62056-6-2 (Blue Book clause 4.3.6, version 1). A buffer may be long, so a client asks for a part of it by selective
access: the entries of a range of time, or those from one number to another.

Two things shorten what travels. A compact-array writes the types once. And null-data in an entry stands for what the
entry before says; for the time of an entry, when a capture period is set, for the time one period on. How null-data
counts on is what two public stacks do, Gurux and dlms-cosem (which differ in the unit of the period: the standard's
is the second); guess: that in all other columns it repeats the value before, which they leave to their callers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import TypeAlias

from cosem_objects import axdr
from cosem_objects.axdr import Data, DataType
from cosem_objects.clock import DATE_TIME_SIZE, CosemDateTime
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.interface_classes import SortMethod
from cosem_objects.obis import ObisCode

CLASS_ID = 7
CLOCK_CLASS_ID, CLOCK_TIME = 8, 2
"""The attribute that most profiles capture first, and sort by."""

Entry: TypeAlias = tuple[Data, ...]
"""One captured value for each column."""


class Attribute(IntEnum):
    LOGICAL_NAME = 1
    BUFFER = 2
    CAPTURE_OBJECTS = 3
    CAPTURE_PERIOD = 4
    SORT_METHOD = 5
    SORT_OBJECT = 6
    ENTRIES_IN_USE = 7
    PROFILE_ENTRIES = 8


class Method(IntEnum):
    RESET = 1
    CAPTURE = 2


class Selector(IntEnum):
    """Of selective access to the buffer."""

    RANGE = 1
    ENTRY = 2


@dataclass(frozen=True, slots=True)
class CaptureObject:
    """A column: an attribute, or with ``data_index`` a part of it (0 = all of it, 1 = its first element)."""

    class_id: int
    logical_name: ObisCode
    attribute_index: int
    data_index: int = 0

    @classmethod
    def from_data(cls, data: Data) -> CaptureObject:
        """Raises ``RemoteProtocolError``."""
        class_id, logical_name, attribute_index, data_index = data.structure(4)
        name = ObisCode.from_octets(logical_name.octets)
        return cls(class_id.integer, name, attribute_index.integer, data_index.integer)

    def to_data(self) -> Data:
        return axdr.structure(
            axdr.long_unsigned(self.class_id),
            axdr.octet_string(self.logical_name.octets),
            axdr.integer(self.attribute_index),
            axdr.long_unsigned(self.data_index),
        )

    @property
    def is_time(self) -> bool:
        """Whether the column says when an entry was made."""
        return (self.class_id, self.attribute_index, self.data_index) == (CLOCK_CLASS_ID, CLOCK_TIME, 0)


def capture_objects_from_data(data: Data) -> tuple[CaptureObject, ...]:
    """Attribute 3. Raises ``RemoteProtocolError``."""
    return tuple(CaptureObject.from_data(element) for element in data.elements)


def capture_objects_to_data(columns: Sequence[CaptureObject]) -> Data:
    return axdr.array(*(column.to_data() for column in columns))


@dataclass(frozen=True, slots=True)
class RangeDescriptor:
    """Selector 1: the entries whose value in one column is in a range, both ends included."""

    restricting_object: CaptureObject
    from_value: Data
    to_value: Data
    selected_values: tuple[CaptureObject, ...] = ()
    """The columns to be sent; none = all."""

    @classmethod
    def from_data(cls, data: Data) -> RangeDescriptor:
        """Raises ``RemoteProtocolError``."""
        restricting_object, from_value, to_value, selected_values = data.structure(4)
        columns = capture_objects_from_data(selected_values)
        return cls(CaptureObject.from_data(restricting_object), from_value, to_value, columns)

    def selection(self) -> tuple[int, Data]:
        """Selector and parameters, as a GET takes them."""
        parameters = axdr.structure(
            self.restricting_object.to_data(),
            self.from_value,
            self.to_value,
            capture_objects_to_data(self.selected_values),
        )
        return Selector.RANGE, parameters


@dataclass(frozen=True, slots=True)
class EntryDescriptor:
    """Selector 2: entries, and in them columns, by their numbers. Both count from 1; 0 as an end = the last one.

    Entries are numbered as ``sort_method`` sorts them: by FIFO the last one is the newest.
    """

    from_entry: int = 1
    to_entry: int = 0
    from_selected_value: int = 1
    to_selected_value: int = 0

    @classmethod
    def from_data(cls, data: Data) -> EntryDescriptor:
        """Raises ``RemoteProtocolError``."""
        from_entry, to_entry, from_value, to_value = (element.integer for element in data.structure(4))
        if min(from_entry, to_entry, from_value, to_value) < 0:
            raise RemoteProtocolError("an entry_descriptor counts from 1, and 0 is the last one")
        return cls(from_entry, to_entry, from_value, to_value)

    def selection(self) -> tuple[int, Data]:
        """Selector and parameters, as a GET takes them."""
        parameters = axdr.structure(
            axdr.double_long_unsigned(self.from_entry),
            axdr.double_long_unsigned(self.to_entry),
            axdr.long_unsigned(self.from_selected_value),
            axdr.long_unsigned(self.to_selected_value),
        )
        return Selector.ENTRY, parameters

    def entries(self, buffer: Sequence[Entry]) -> list[Entry]:
        """What is selected of a whole buffer."""
        columns = slice(max(self.from_selected_value, 1) - 1, self.to_selected_value or None)
        chosen = buffer[max(self.from_entry, 1) - 1 : self.to_entry or None]
        return [entry[columns] for entry in chosen]


def read_buffer(
    data: Data,
    columns: Sequence[CaptureObject],
    *,
    capture_period_seconds: int = 0,
    sort_method: int = SortMethod.FIFO,
) -> list[Entry]:
    """The entries of attribute 2, whether they came as array or compact-array, with null-data made good.

    ``columns`` are those that were asked for. Raises ``RemoteProtocolError`` for an entry of another size, and for
    a period longer than any calendar.
    """
    # In a profile that begins with the newest entry, the next one down is older.
    sign = -1 if sort_method in (SortMethod.LIFO, SortMethod.LARGEST) else 1
    try:
        period = timedelta(seconds=sign * capture_period_seconds)
    except OverflowError:
        raise RemoteProtocolError(f"a capture_period of {capture_period_seconds} seconds cannot be") from None
    entries: list[Entry] = []
    before: Entry = ()
    for number, element in enumerate(data.elements, 1):
        entry = element.elements
        if len(entry) != len(columns):
            raise RemoteProtocolError(
                f"entry {number} of the buffer has {len(entry)} values, {len(columns)} were expected"
            )
        before = _made_good(entry, before, columns, period) if before else entry
        entries.append(before)
    return entries


def _made_good(entry: Entry, before: Entry, columns: Sequence[CaptureObject], period: timedelta) -> Entry:
    return tuple(
        value if value.type is not DataType.NULL_DATA else _moved(last, period) if column.is_time else last
        for value, last, column in zip(entry, before, columns, strict=True)
    )


def _moved(time: Data, period: timedelta) -> Data:
    """The time of the entry before, one period on; as it is where it does not say a whole moment."""
    if not period or not isinstance(time.value, bytes) or len(time.value) != DATE_TIME_SIZE:
        return time
    last = CosemDateTime.from_octets(time.value)
    try:
        # Local time, whatever the zone: deviation and status stay what they were.
        moment = datetime(
            last.year or 0, last.month or 0, last.day or 0, last.hour or 0, last.minute or 0, last.second or 0
        )
        moved = moment + period
    except (ValueError, OverflowError):
        return time
    weekday = None if last.weekday is None else moved.isoweekday()
    shown = replace(
        last,
        year=moved.year,
        month=moved.month,
        day=moved.day,
        weekday=weekday,
        hour=moved.hour,
        minute=moved.minute,
        second=moved.second,
    )
    return Data(time.type, shown.to_octets())
