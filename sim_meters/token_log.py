"""Class 7, the token log: one entry for each token that was worked on, whatever came of it, oldest first.

Time, how it came, its status and the balance after it; never the token. It is the ledger, read as a Profile generic.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeAlias

from cosem_objects import axdr, payment, profile_generic, token_gateway
from cosem_objects.axdr import Data
from cosem_objects.clock import CosemDateTime
from cosem_objects.dlms.apdu import DataAccessResult
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.interface_classes import SortMethod
from cosem_objects.obis import ObisCode
from cosem_objects.payment import AccountAttribute
from cosem_objects.profile import MeterProfile
from cosem_objects.profile_generic import (
    Attribute,
    CaptureObject,
    Entry,
    EntryDescriptor,
    Method,
    RangeDescriptor,
    Selector,
    capture_objects_to_data,
)
from sim_meters.asked import Asked, InterfaceClass, constant, date_time, not_allowed
from sim_meters.records import EmergencyTaken, TokenEntry

ENTRIES_MAX = 1000
"""The oldest ones make room."""

_CLOCK_TIME = CaptureObject(profile_generic.CLOCK_CLASS_ID, ObisCode.parse("0-0:1.0.0.255"), profile_generic.CLOCK_TIME)
_HUNDREDTH = timedelta(milliseconds=10)

_Row: TypeAlias = tuple[TokenEntry, int]
"""A token, and the balance after it in token units."""


def columns_of(profile: MeterProfile) -> tuple[CaptureObject, ...]:
    """What is captured; the balance only where there is an account to show it."""
    gateway = partial(CaptureObject, token_gateway.CLASS_ID, profile.gateway_obis)
    columns = (
        _CLOCK_TIME,
        gateway(token_gateway.Attribute.TOKEN_DELIVERY_METHOD),
        gateway(token_gateway.Attribute.TOKEN_STATUS, 1),  # its first element, the status_code
    )
    if profile.account_obis is None:
        return columns
    balance = CaptureObject(payment.ACCOUNT_CLASS_ID, profile.account_obis, AccountAttribute.AVAILABLE_CREDIT)
    return (*columns, balance)


def _rows(asked: Asked) -> list[_Row]:
    rows: list[_Row] = []
    balance_units = 0
    for record in asked.meter.ledger.records:
        if isinstance(record, EmergencyTaken):
            balance_units += record.units
        elif isinstance(record, TokenEntry):
            balance_units += record.balance_change
            rows.append((record, balance_units))
    return rows[-ENTRIES_MAX:]


def _captured(asked: Asked, row: _Row) -> Entry:
    entry, balance_units = row
    config = asked.meter.config
    own_codes = {standard: own for own, standard in config.profile.status_map.items()}
    code = own_codes.get(entry.status.code, entry.status.code)
    values = (date_time(asked, entry.time), axdr.enum(entry.delivery), axdr.enum(code))
    if config.profile.account_obis is None:
        return values
    return (*values, axdr.double_long(config.unit.raw(balance_units)))


def _buffer(asked: Asked, rows: list[_Row]) -> Data:
    return axdr.array(*(axdr.structure(*_captured(asked, row)) for row in rows))


def _selected(asked: Asked, selector: int, parameters: Data) -> Data | DataAccessResult:
    try:
        match selector:
            case Selector.RANGE:
                return _in_range(asked, RangeDescriptor.from_data(parameters))
            case Selector.ENTRY:
                chosen = EntryDescriptor.from_data(parameters).entries([_captured(asked, row) for row in _rows(asked)])
                return axdr.array(*(axdr.structure(*entry) for entry in chosen))
    except RemoteProtocolError:
        return DataAccessResult.TYPE_UNMATCHED
    return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED


def _in_range(asked: Asked, wanted: RangeDescriptor) -> Data | DataAccessResult:
    """The entries of a range of time, and of them the columns asked for. Raises ``RemoteProtocolError``."""
    columns = columns_of(asked.meter.config.profile)
    if wanted.restricting_object != _CLOCK_TIME or not set(wanted.selected_values) <= set(columns):
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    first, last = _moment(asked, wanted.from_value), _moment(asked, wanted.to_value, is_end=True)
    rows = [row for row in _rows(asked) if first <= row[0].time <= last]
    if not wanted.selected_values:
        return _buffer(asked, rows)
    places = [columns.index(column) for column in wanted.selected_values]
    entries = [_captured(asked, row) for row in rows]
    return axdr.array(*(axdr.structure(*(entry[place] for place in places)) for entry in entries))


def _moment(asked: Asked, data: Data, *, is_end: bool = False) -> datetime:
    """A date-time of a client. Without a deviation it is this meter's local time; without hundredths, an end includes
    all of its second. Raises ``RemoteProtocolError``."""
    asked_for = CosemDateTime.from_octets(data.octets)
    moment = asked_for.to_datetime(asked.meter.config.profile.deviation_sign)
    if moment is None:
        raise RemoteProtocolError("a range needs whole date-times")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=asked.meter.now().tzinfo or UTC)
    hundredths = asked_for.hundredths
    if hundredths is None:
        hundredths = 99 if is_end else 0
    return moment + hundredths * _HUNDREDTH


def _entries_in_use(asked: Asked) -> Data:
    return axdr.double_long_unsigned(min(len(asked.meter.ledger.entries), ENTRIES_MAX))


TOKEN_LOG = InterfaceClass(
    profile_generic.CLASS_ID,
    1,
    readers={
        Attribute.BUFFER: lambda asked: _buffer(asked, _rows(asked)),
        Attribute.CAPTURE_OBJECTS: lambda asked: capture_objects_to_data(columns_of(asked.meter.config.profile)),
        Attribute.CAPTURE_PERIOD: constant(axdr.double_long_unsigned(0)),  # whenever a token comes
        Attribute.SORT_METHOD: constant(axdr.enum(SortMethod.FIFO)),
        Attribute.SORT_OBJECT: constant(_CLOCK_TIME.to_data()),
        Attribute.ENTRIES_IN_USE: _entries_in_use,
        Attribute.PROFILE_ENTRIES: constant(axdr.double_long_unsigned(ENTRIES_MAX)),
    },
    methods=dict.fromkeys(Method, not_allowed),  # a log that a client can empty is none
    selective_readers={Attribute.BUFFER: _selected},
)
