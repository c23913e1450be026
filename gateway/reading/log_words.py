"""What stands in a log: the names of its columns and the words of its values. Pure."""

from __future__ import annotations

from cosem_objects import payment
from cosem_objects.axdr import Data, DataType
from cosem_objects.dlms.describe import Place
from cosem_objects.dlms.describe.values import data_words, secret_kind
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.payment import CreditAttribute
from cosem_objects.profile_generic import CaptureObject
from gateway.reading.report_values import Said, Surroundings, amount, said_moment, said_name

_AMOUNTS = {
    *((payment.ACCOUNT_CLASS_ID, attribute) for attribute in (5, 6, 7, 8)),
    (payment.CREDIT_CLASS_ID, int(CreditAttribute.CURRENT_CREDIT_AMOUNT)),
}
"""Attributes that count in the account's currency."""


def is_amount(column: CaptureObject) -> bool:
    return (column.class_id, column.attribute_index) in _AMOUNTS and not column.data_index


def _place(column: CaptureObject) -> Place:
    path = (column.data_index - 1,) if column.data_index else ()
    return Place(column.class_id, column.attribute_index, obis=column.logical_name, path=path)


def column_name(column: CaptureObject) -> str:
    """As the standard calls the attribute, or the part of it."""
    whole = Place(column.class_id, column.attribute_index)
    if not column.data_index:
        return whole.name
    part = whole.element_name(column.data_index - 1, of_array=False)
    return f"{whole.name}{part}" if part.startswith("[") else part


def cell(value: Data, column: CaptureObject, around: Surroundings) -> Said:
    place = _place(column)
    if value.type is DataType.NULL_DATA:
        return Said("-", None)
    try:
        if column.is_time:
            return said_moment(value.octets, around.profile.deviation_sign)
        if is_amount(column):
            return amount(value, around)
    except RemoteProtocolError:
        pass  # a value of another form is shown as it is
    hidden = secret_kind(value, place)
    words = data_words(value, place, hidden).removeprefix(f"{value.type.standard_name} ")
    if isinstance(value.value, int) and not hidden:
        named = said_name(words) if "(" in words else Said(words, value.value)
        return Said(named.words, value.value if isinstance(value.value, bool) else named.json)
    return Said(words, words)
