"""A log of a meter, Profile generic (class 7), read entry by entry or over a range of time.

Only the part that is wanted is asked for, by selective access. A meter that refuses that is asked for all of it, and
the part is taken here; then ``note`` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from cosem_objects import axdr, payment, profile_generic
from cosem_objects.axdr import Data
from cosem_objects.clock import CosemDateTime
from cosem_objects.dlms.apdu import AttributeDescriptor, DataAccessResult, GetRequest, GetResponse
from cosem_objects.dlms.describe.node import Json
from cosem_objects.errors import RemoteProtocolError, RemoteRefusal
from cosem_objects.interface_classes import SortMethod
from cosem_objects.names import spell
from cosem_objects.obis import ObisCode
from cosem_objects.payment import AccountAttribute, Currency
from cosem_objects.profile import MeterProfile
from cosem_objects.profile_generic import (
    Attribute,
    CaptureObject,
    EntryDescriptor,
    RangeDescriptor,
    capture_objects_from_data,
    read_buffer,
)
from gateway.reading.log_words import cell, column_name, is_amount
from gateway.reading.report_values import Said, Surroundings
from gateway.session import Session

_NEWEST_FIRST = (SortMethod.LIFO, SortMethod.LARGEST)
"""Sorting methods under which entry 1 is the newest; a log is sorted by its time, if it is sorted at all."""


class LogUnreadable(RemoteRefusal):
    """There is no such log, or not for us, or not in this way."""


@dataclass(frozen=True, slots=True)
class Between:
    """Entries of a range of time, both ends included; ``None`` = open. Times without a zone are the meter's own."""

    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, slots=True)
class Last:
    """The newest entries."""

    count: int


Wanted: TypeAlias = Between | Last | None
"""Which entries; ``None`` = all."""


@dataclass(frozen=True, slots=True)
class Column:
    """One captured attribute, and its short name."""

    place: CaptureObject
    name: str


@dataclass(frozen=True, slots=True)
class Log:
    """Entries, oldest first."""

    obis: ObisCode
    columns: tuple[Column, ...]
    entries: tuple[tuple[Said, ...], ...]
    note: str = ""

    def to_json(self) -> dict[str, Json]:
        columns: list[Json] = [
            {
                "name": column.name,
                "class_id": column.place.class_id,
                "obis": str(column.place.logical_name),
                "attribute": column.place.attribute_index,
                "data_index": column.place.data_index,
            }
            for column in self.columns
        ]
        entries: list[Json] = [[said.json for said in entry] for entry in self.entries]
        return {"obis": str(self.obis), "columns": columns, "entries": entries, "note": self.note or None}


@dataclass(frozen=True, slots=True)
class _Table:
    """What must be known of a log before its buffer is asked for."""

    obis: ObisCode
    columns: tuple[CaptureObject, ...]
    capture_period_seconds: int
    sort_method: int
    entries_in_use: int | None

    @property
    def is_newest_first(self) -> bool:
        return self.sort_method in _NEWEST_FIRST

    @property
    def time_place(self) -> int:
        """Which column says when. Raises ``LogUnreadable``."""
        for place, column in enumerate(self.columns):
            if column.is_time:
                return place
        raise LogUnreadable(f"the log {self.obis} captures no time: entries cannot be chosen by it")


async def read_log(session: Session, profile: MeterProfile, obis: ObisCode, wanted: Wanted) -> Log:
    """The entries that are wanted. Raises ``LogUnreadable``; else as ``Session.get``."""
    table = await _read_table(session, obis)
    buffer, note = await _read_buffer(session, profile, table, wanted)
    entries = read_buffer(
        buffer,
        table.columns,
        capture_period_seconds=table.capture_period_seconds,
        sort_method=table.sort_method,
    )
    if table.is_newest_first:
        entries.reverse()
    if isinstance(wanted, Between) and note:
        place, sign = table.time_place, profile.deviation_sign
        entries = [entry for entry in entries if _is_between(entry[place], wanted, sign)]
    elif isinstance(wanted, Last):
        entries = entries[-wanted.count :]
    around = Surroundings(profile, await _read_currency(session, profile, table.columns))
    shown = tuple(
        tuple(cell(value, column, around) for value, column in zip(entry, table.columns, strict=True))
        for entry in entries
    )
    return Log(obis, tuple(Column(column, column_name(column)) for column in table.columns), shown, note)


async def _read_table(session: Session, obis: ObisCode) -> _Table:
    wanted = (Attribute.CAPTURE_OBJECTS, Attribute.CAPTURE_PERIOD, Attribute.SORT_METHOD, Attribute.ENTRIES_IN_USE)
    attributes = [AttributeDescriptor(profile_generic.CLASS_ID, obis, attribute) for attribute in wanted]
    columns, period, sort_method, in_use = await session.get_many(attributes)
    if not isinstance(columns, Data):
        raise _unreadable(obis, "its capture_objects are", columns)
    return _Table(
        obis,
        capture_objects_from_data(columns),
        _whole(period) or 0,
        _whole(sort_method) or SortMethod.FIFO,
        _whole(in_use),
    )


async def _read_buffer(session: Session, profile: MeterProfile, table: _Table, wanted: Wanted) -> tuple[Data, str]:
    """The buffer, or the part of it that is wanted, and a note if the meter gave more than that."""
    if table.entries_in_use == 0:
        return axdr.array(), ""
    attribute = AttributeDescriptor(profile_generic.CLASS_ID, table.obis, Attribute.BUFFER)
    selection = _selection(table, profile, wanted)
    note = ""
    response = await session.ask(GetRequest(attribute, selection))
    assert isinstance(response, GetResponse)
    if selection is not None and not isinstance(response.result, Data):
        words = spell(DataAccessResult, response.result)
        note = f"the meter refused to give a part of the log ({words}): all of it was read, and the part taken here"
        response = await session.ask(GetRequest(attribute))
        assert isinstance(response, GetResponse)
    if not isinstance(response.result, Data):
        raise _unreadable(table.obis, "its buffer is", response.result)
    return response.result, note


def _selection(table: _Table, profile: MeterProfile, wanted: Wanted) -> tuple[int, Data] | None:
    match wanted:
        case Between(first, last):
            column = table.columns[table.time_place]
            sign = profile.deviation_sign
            return RangeDescriptor(column, _limit(first, _FIRST, sign), _limit(last, _LAST, sign)).selection()
        case Last(count):
            if table.is_newest_first:
                return EntryDescriptor(1, count).selection()
            if table.entries_in_use is not None:
                # To the last one, whatever its number is by now: an entry may come while we ask.
                return EntryDescriptor(max(1, table.entries_in_use - count + 1)).selection()
    return None


_FIRST, _LAST = datetime(2000, 1, 1), datetime(2099, 12, 31, 23, 59, 59)
"""What stands for an open end: a range has two."""


def _limit(moment: datetime | None, otherwise: datetime, deviation_sign: int) -> Data:
    """An end of a range. Some meters refuse a deviation, others its absence (Gurux java, pull request 25): it goes as
    the caller wrote the time, with a zone or without."""
    shown = replace(CosemDateTime.from_datetime(moment or otherwise), weekday=None)
    if shown.deviation is not None and deviation_sign < 0:
        shown = replace(shown, deviation=-shown.deviation)
    return axdr.octet_string(shown.to_octets())


def _is_between(time: Data, wanted: Between, deviation_sign: int) -> bool:
    """Where either side has no zone, by what the clocks show."""
    try:
        moment = CosemDateTime.from_octets(time.octets).to_datetime(deviation_sign)
    except RemoteProtocolError:
        return False
    if moment is None:
        return False
    ends = [end for end in (wanted.first, wanted.last) if end is not None]
    if any((end.tzinfo is None) != (moment.tzinfo is None) for end in ends):
        local = CosemDateTime.from_octets(time.octets[:9] + b"\x80\x00\xff").to_datetime()
        return local is not None and _lies_between(local, wanted, drop_zone=True)
    return _lies_between(moment, wanted)


def _lies_between(moment: datetime, wanted: Between, *, drop_zone: bool = False) -> bool:
    first, last = (
        end.replace(tzinfo=None) if end is not None and drop_zone else end for end in (wanted.first, wanted.last)
    )
    return (first is None or first <= moment) and (last is None or moment <= last)


async def _read_currency(session: Session, profile: MeterProfile, columns: Sequence[CaptureObject]) -> Currency | None:
    """The account's, if there is a column in it."""
    if profile.account_obis is None or not any(is_amount(column) for column in columns):
        return None
    result = await session.get(payment.ACCOUNT_CLASS_ID, profile.account_obis, AccountAttribute.CURRENCY)
    if not isinstance(result, Data):
        return None
    found = Currency.from_data(result)
    return Currency(found.name or profile.currency_name, found.scale, found.unit)


def _whole(result: Data | int) -> int | None:
    """A number, if it can be read: a log can be read without it."""
    if not isinstance(result, Data) or not isinstance(result.value, int):
        return None
    return int(result.value)


def _unreadable(obis: ObisCode, what: str, result: int) -> LogUnreadable:
    words = spell(DataAccessResult, result)
    return LogUnreadable(f"the log {obis} cannot be read: {what} answered with {words}")
