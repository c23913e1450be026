"""Class 40: the list of what is pushed, and where to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import binary, builds, integers, lists

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.obis import ObisCode
from cosem_objects.push_setup import (
    Message,
    PushObject,
    SendDestinationAndMethod,
    TransportService,
    push_object_list_from_data,
    push_object_list_to_data,
)
from tests.cosem_objects.strategies import data_objects

OBJECTS = builds(
    PushObject,
    integers(0, 0xFFFF),
    builds(ObisCode, binary(min_size=6, max_size=6)),
    integers(-128, 127),
    integers(0, 0xFFFF),
)


def test_a_list_octet_by_octet() -> None:
    """Made by hand from the type: the status of the Token gateway."""
    listed = (PushObject(115, ObisCode.parse("0-0:19.40.0.255"), 6),)
    assert axdr.encode(push_object_list_to_data(listed)) == bytes.fromhex("0101020412007309060000132800FF0F06120000")


def test_a_destination_octet_by_octet() -> None:
    destination = SendDestinationAndMethod(TransportService.UDP, b"[::1]:4059", Message.A_XDR_ENCODED_XDLMS_APDU)
    assert axdr.encode(destination.to_data()) == bytes.fromhex("02031601090A") + b"[::1]:4059" + b"\x16\x00"


@given(lists(OBJECTS).map(tuple))
def test_a_list_is_read_as_it_was_written(listed: tuple[PushObject, ...]) -> None:
    data = axdr.decode(axdr.encode(push_object_list_to_data(listed)))
    assert push_object_list_from_data(data) == listed


@given(builds(SendDestinationAndMethod, integers(0, 255), binary(), integers(0, 255)))
def test_a_destination_is_read_as_it_was_written(destination: SendDestinationAndMethod) -> None:
    assert SendDestinationAndMethod.from_data(axdr.decode(axdr.encode(destination.to_data()))) == destination


@given(data_objects)
def test_whatever_else_comes_is_the_senders_fault(data: Data) -> None:
    wrong = axdr.array(axdr.structure(axdr.long_unsigned(115), data))
    with pytest.raises(RemoteProtocolError):
        push_object_list_from_data(wrong)
    with pytest.raises(RemoteProtocolError):
        SendDestinationAndMethod.from_data(axdr.structure(axdr.enum(0), data))
