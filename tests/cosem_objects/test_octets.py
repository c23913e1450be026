"""The cursor that every decoder reads through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects.errors import RemoteProtocolError
from cosem_objects.octets import OctetReader, encode_length, with_length

LENGTHS = [
    (0, "00"),
    (1, "01"),
    (127, "7f"),
    (128, "8180"),
    (255, "81ff"),
    (256, "820100"),
    (65_535, "82ffff"),
    (65_536, "83010000"),
    (16_777_216, "8401000000"),
    (0xFFFF_FFFF, "84ffffffff"),
]


@pytest.mark.parametrize(("length", "octets"), LENGTHS)
def test_a_length_is_written_as_short_as_possible_and_read_back(length: int, octets: str) -> None:
    assert encode_length(length).hex() == octets
    assert OctetReader(bytes.fromhex(octets), "x").length() == length


@pytest.mark.parametrize("octets", ["8105", "820005", "8400000005"])
def test_a_length_in_more_octets_than_needed_is_read_too(octets: str) -> None:
    assert OctetReader(bytes.fromhex(octets), "x").length() == 5


@pytest.mark.parametrize(
    "octets",
    ["", "81", "8201", "84ffffff", "80", "8500000000ff", "ff"],
    ids=["nothing", "cut", "cut-in-two", "cut-in-four", "indefinite", "five-octets", "reserved"],
)
def test_a_length_that_is_cut_or_of_another_form_is_refused(octets: str) -> None:
    with pytest.raises(RemoteProtocolError):
        OctetReader(bytes.fromhex(octets), "x").length()


def test_reading_goes_through_the_octets_in_order() -> None:
    reader = OctetReader(bytes.fromhex("01 0203 0000 ff 0405"), "x")
    assert (reader.octet(), reader.unsigned(2), reader.peek()) == (1, 0x0203, 0)
    assert (reader.take(2), reader.flag(), reader.remaining) == (b"\0\0", True, 2)
    assert reader.rest() == b"\x04\x05"
    assert (reader.remaining, reader.peek()) == (0, None)
    reader.finish()


@pytest.mark.parametrize("count", [1, 2, 0xFFFF_FFFF])
def test_no_more_is_taken_than_there_is(count: int) -> None:
    reader = OctetReader(b"", "a reading")
    with pytest.raises(RemoteProtocolError, match="a reading"):
        reader.take(count)


def test_a_failed_take_moves_nothing() -> None:
    reader = OctetReader(b"\x01\x02", "x")
    with pytest.raises(RemoteProtocolError):
        reader.take(3)
    assert reader.rest() == b"\x01\x02"


def test_octets_left_over_are_an_error_that_says_where() -> None:
    reader = OctetReader(b"\x01\x02\x03", "a reading")
    reader.octet()
    with pytest.raises(RemoteProtocolError, match="a reading: 2 octets too many at offset 1"):
        reader.finish()


@given(st.binary(max_size=400))
def test_octets_with_their_length_are_read_back(octets: bytes) -> None:
    reader = OctetReader(with_length(octets), "x")
    assert reader.take(reader.length()) == octets
    reader.finish()


@given(st.binary(max_size=8), st.lists(st.integers(0, 12), max_size=4))
def test_the_reader_never_leaves_its_octets(octets: bytes, counts: list[int]) -> None:
    reader = OctetReader(octets, "x")
    taken = b""
    for count in counts:
        try:
            taken += reader.take(count)
        except RemoteProtocolError:
            assert count > reader.remaining
    assert taken == octets[: reader.position]
