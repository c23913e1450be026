"""COSEM data and its bytes."""

from __future__ import annotations

import math
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects import axdr
from cosem_objects.axdr import DEPTH_MAX, VALUES_MAX, CompactArray, Data, DataType, TypeDescription
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from cosem_objects.octets import encode_length
from tests.cosem_objects.strategies import compact_arrays, damaged, data_objects, understood

# Hand-made after IEC 62056-6-2 clause 4.1.5 and the A-XDR rules of IEC 61334-6.
WIRE = [
    (axdr.NULL, "00"),
    (axdr.array(axdr.unsigned(1), axdr.unsigned(2)), "01 02 11 01 11 02"),
    (axdr.structure(), "02 00"),
    (axdr.structure(axdr.enum(3), axdr.bit_string("")), "02 02 16 03 04 00"),
    (axdr.boolean(True), "03 01"),
    (axdr.boolean(False), "03 00"),
    (axdr.bit_string("1"), "04 01 80"),
    (axdr.bit_string("101"), "04 03 a0"),
    (axdr.bit_string("01000000"), "04 08 40"),
    (axdr.bit_string("000000001"), "04 09 00 80"),
    (axdr.double_long(-2), "05 ff ff ff fe"),
    (axdr.double_long_unsigned(5009), "06 00 00 13 91"),
    (axdr.octet_string(b"\x01\x02\x03"), "09 03 01 02 03"),
    (axdr.visible_string("é"), "0a 01 e9"),
    (axdr.utf8_string("é"), "0c 02 c3 a9"),
    (Data(DataType.BCD, 0x42), "0d 42"),
    (axdr.integer(-5), "0f fb"),
    (axdr.long(-500), "10 fe 0c"),
    (axdr.unsigned(255), "11 ff"),
    (axdr.long_unsigned(65_535), "12 ff ff"),
    (Data(DataType.LONG64, -1), "14 ff ff ff ff ff ff ff ff"),
    (axdr.long64_unsigned(1), "15 00 00 00 00 00 00 00 01"),
    (axdr.enum(2), "16 02"),
    (Data(DataType.FLOAT32, 1.5), "17 3f c0 00 00"),
    (Data(DataType.FLOAT64, -2.0), "18 c0 00 00 00 00 00 00 00"),
    (Data(DataType.DATE_TIME, bytes(range(12))), "19 00 01 02 03 04 05 06 07 08 09 0a 0b"),
    (Data(DataType.DATE, bytes(range(5))), "1a 00 01 02 03 04"),
    (Data(DataType.TIME, bytes(range(4))), "1b 00 01 02 03"),
    (Data(DataType.DELTA_INTEGER, -1), "1c ff"),
    (Data(DataType.DELTA_LONG_UNSIGNED, 258), "20 01 02"),
    (Data(DataType.DONT_CARE, None), "ff"),
    (
        Data(DataType.COMPACT_ARRAY, CompactArray(TypeDescription(DataType.LONG_UNSIGNED), ())),
        "13 12 00",
    ),
    (
        Data(
            DataType.COMPACT_ARRAY,
            CompactArray(TypeDescription(DataType.LONG_UNSIGNED), (axdr.long_unsigned(1), axdr.long_unsigned(2))),
        ),
        "13 12 04 00 01 00 02",
    ),
    (
        Data(
            DataType.COMPACT_ARRAY,
            CompactArray(
                TypeDescription(
                    DataType.STRUCTURE,
                    (
                        TypeDescription(DataType.UNSIGNED),
                        TypeDescription(DataType.ARRAY, (TypeDescription(DataType.INTEGER),), 2),
                        TypeDescription(DataType.OCTET_STRING),
                    ),
                ),
                (
                    axdr.structure(
                        axdr.unsigned(7), axdr.array(axdr.integer(-1), axdr.integer(1)), axdr.octet_string(b"ab")
                    ),
                ),
            ),
        ),
        "13 02 03 11 01 00 02 0f 09 06 07 ff 01 02 61 62",
    ),
]


@pytest.mark.parametrize(("data", "octets"), WIRE, ids=[octets for _, octets in WIRE])
def test_a_value_has_these_octets_and_no_others(data: Data, octets: str) -> None:
    assert axdr.encode(data).hex(" ") == octets
    assert axdr.decode(bytes.fromhex(octets)) == data


def test_every_type_of_the_standard_stands_in_the_table() -> None:
    left_out = {  # the same layout as their signed or shorter sisters in the table
        DataType.DELTA_LONG,
        DataType.DELTA_DOUBLE_LONG,
        DataType.DELTA_UNSIGNED,
        DataType.DELTA_DOUBLE_LONG_UNSIGNED,
    }
    assert {data.type for data, _ in WIRE} | left_out == set(DataType)


LENGTHS = [(0, "00"), (127, "7f"), (128, "8180"), (255, "81ff"), (256, "820100"), (65_536, "83010000")]


@pytest.mark.parametrize(("length", "prefix"), LENGTHS)
def test_long_values_carry_their_length_in_as_many_octets_as_needed(length: int, prefix: str) -> None:
    for data, contents in [
        (axdr.octet_string(b"\x55" * length), b"\x55" * length),
        (axdr.visible_string("U" * length), b"U" * length),
        (axdr.utf8_string("U" * length), b"U" * length),
        (axdr.array(*[axdr.NULL] * length), bytes(length)),
        (axdr.structure(*[axdr.NULL] * length), bytes(length)),
        (axdr.bit_string("1" * length), (((1 << length) - 1) << -length % 8).to_bytes((length + 7) // 8, "big")),
    ]:
        encoded = axdr.encode(data)
        assert encoded[1:] == bytes.fromhex(prefix) + contents
        assert axdr.decode(encoded) == data


@pytest.mark.parametrize("count", [*range(18), 127, 128, 129, 255, 256, 257, 65_536])
def test_a_bit_string_has_exactly_its_bits(count: int) -> None:
    bits = ("10110" * (count // 5 + 1))[:count]
    encoded = axdr.encode(axdr.bit_string(bits))
    assert axdr.decode(encoded).bits == bits
    assert len(encoded) == 1 + len(encode_length(count)) + (count + 7) // 8


def test_the_count_of_a_bit_string_is_in_bits_and_the_padding_is_not_looked_at() -> None:
    assert axdr.decode(bytes.fromhex("04 03 bf")).bits == "101"
    with pytest.raises(RemoteProtocolError, match="1 octets too many"):
        axdr.decode(bytes.fromhex("04 03 a0 00"))


@given(data_objects)
def test_every_value_comes_back_as_it_was(data: Data) -> None:
    assert axdr.decode(axdr.encode(data)) == data


@given(compact_arrays())
def test_every_compact_array_comes_back_with_its_description(data: Data) -> None:
    assert axdr.decode(axdr.encode(data)) == data


@given(st.sampled_from([(DataType.FLOAT32, ">f", 4), (DataType.FLOAT64, ">d", 8)]), st.data())
def test_not_a_number_stays_not_a_number(kind: tuple[DataType, str, int], data: st.DataObject) -> None:
    data_type, layout, size = kind
    octets = data.draw(st.binary(min_size=size, max_size=size))
    value = axdr.decode(bytes((data_type,)) + octets).value
    (expected,) = struct.unpack(layout, octets)
    assert value == expected or (isinstance(value, float) and math.isnan(value) and math.isnan(expected))


def test_any_octet_but_zero_is_true() -> None:
    assert axdr.decode(b"\x03\xff") == axdr.decode(b"\x03\x01") == axdr.boolean(True)


# What comes from outside.


@given(st.binary(max_size=200))
def test_arbitrary_octets_are_a_value_or_a_remote_error(octets: bytes) -> None:
    _check_decoding(octets)


@given(damaged(data_objects.map(axdr.encode)))
def test_damaged_values_are_a_value_or_a_remote_error(octets: bytes) -> None:
    _check_decoding(octets)


def _check_decoding(octets: bytes) -> None:
    data = understood(axdr.decode, octets)
    if data is None:
        return
    # Whatever was understood is written, and read again, the same way from then on.
    again = axdr.encode(data)
    assert axdr.encode(axdr.decode(again)) == again
    assert len(again) <= len(octets)
    assert repr(data)


@given(data_objects, st.binary(min_size=1, max_size=3))
def test_octets_after_the_value_are_refused(data: Data, more: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        axdr.decode(axdr.encode(data) + more)


@given(data_objects, st.data())
def test_a_value_that_is_cut_is_refused(data: Data, cut: st.DataObject) -> None:
    encoded = axdr.encode(data)
    with pytest.raises(RemoteProtocolError):
        axdr.decode(encoded[: cut.draw(st.integers(0, len(encoded) - 1))])


@pytest.mark.parametrize("tag", sorted(set(range(256)) - set(DataType)))
def test_a_tag_that_is_no_type_is_refused(tag: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"{tag} at offset 0"):
        axdr.decode(bytes((tag, 0, 0, 0, 0)))


@pytest.mark.parametrize(
    "octets",
    ["0c 01 ff", "0c 03 ed a0 80", "13 13 00", "13 02 01 13 11 00", "13 01 00 01 13 11 00", "13 07 00", "13 11 05 00"],
    ids=["not-utf8", "surrogate", "in-itself", "in-a-structure", "in-an-array", "no-type", "cut"],
)
def test_text_that_is_none_and_impossible_descriptions_are_refused(octets: str) -> None:
    with pytest.raises(RemoteProtocolError):
        axdr.decode(bytes.fromhex(octets))


def test_a_compact_array_ends_with_a_whole_element() -> None:
    with pytest.raises(RemoteProtocolError):
        axdr.decode(bytes.fromhex("13 12 03 00 01 00"))


@pytest.mark.parametrize("tag", [DataType.ARRAY, DataType.STRUCTURE])
def test_more_elements_than_octets_are_refused_at_once(tag: int) -> None:
    with pytest.raises(RemoteProtocolError, match="4294967295 elements announced, 1000 octets are left"):
        axdr.decode(bytes((tag,)) + b"\x84\xff\xff\xff\xff" + bytes(1000))


# Depth.


def _nested(depth: int, tag: int = 1) -> bytes:
    return bytes((tag, 1)) * depth + b"\x00"


@pytest.mark.parametrize("tag", [DataType.ARRAY, DataType.STRUCTURE])
def test_nesting_is_believed_down_to_a_depth(tag: int) -> None:
    assert axdr.decode(_nested(DEPTH_MAX, tag)).elements
    with pytest.raises(RemoteProtocolError, match="nested deeper"):
        axdr.decode(_nested(DEPTH_MAX + 1, tag))


@pytest.mark.parametrize(
    "octets",
    [
        _nested(30_000, 1),
        _nested(30_000, 2),
        b"\x01\x01\x02\x01" * 15_000 + b"\0",
        b"\x13" + b"\x02\x01" * 30_000 + b"\x11\x00",
        b"\x13" + b"\x01\x00\x01" * 20_000 + b"\x11\x00",
        b"\x01\x01" * 10 + b"\x13" + b"\x02\x01" * 10_000 + b"\x11\x00",
    ],
    ids=["arrays", "structures", "both", "described-structures", "described-arrays", "described-inside"],
)
def test_endless_nesting_is_refused_without_recursing_into_it(octets: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="nested deeper"):
        axdr.decode(octets)


def test_a_compact_array_deep_inside_is_still_bounded() -> None:
    # A description as deep as allowed, inside arrays as deep as allowed.
    deep = b"\x01\x01" * (DEPTH_MAX - 1) + b"\x13" + b"\x02\x01" * (DEPTH_MAX - 1) + b"\x11\x01\x07"
    with pytest.raises(RemoteProtocolError, match="nested deeper"):
        axdr.decode(deep)


# Memory: a number that somebody sent must not become memory before its octets are there.

_NULLS_9990 = (9990).to_bytes(2, "big") + b"\x00"
_UNSIGNED_AND_NULLS = b"\x13\x02\x02\x11\x01" + _NULLS_9990 + b"\x01\x07"

BOMBS = {
    "octet-string": b"\x09\x84\xff\xff\xff\xff",
    "visible-string": b"\x0a\x84\xff\xff\xff\xff" + bytes(1000),
    "utf8-string": b"\x0c\x84\xff\xff\xff\xff",
    "bit-string": b"\x04\x84\xff\xff\xff\xff",
    "array": b"\x01\x84\xff\xff\xff\xff",
    "structure": b"\x02\x84\xff\xff\xff\xff" + bytes(1000),
    "array-of-arrays": b"\x01\x82\x03\xe8" + b"\x01\x84\xff\xff\xff\xff" * 1000,
    "compact-array": b"\x13\x11\x84\xff\xff\xff\xff",
    "compact-array-of-nulls": b"\x13\x00\x01\x07",
    "compact-array-of-dont-care": b"\x13\xff\x82\x03\xe8" + bytes(1000),
    "compact-array-of-empty-structures": b"\x13\x02\x00\x82\x03\xe8" + bytes(1000),
    "compact-array-of-empty-arrays": b"\x13\x01\x00\x00\x11\x82\x03\xe8" + bytes(1000),
    "compact-array-of-arrays-of-nulls": b"\x13\x01\xff\xff\x00\x01\x07",
    "description-of-many": b"\x13\x02\x84\xff\xff\xff\xff",
    "description-of-arrays-in-arrays": b"\x13" + b"\x01\xff\xff" * 15 + b"\x11\x01\x07",
    "description-of-arrays-of-nulls-in-arrays": b"\x13\x02\x02\x11" + b"\x01\xff\xff" * 14 + b"\x00\x01\x07",
    "one-octet-for-many-nulls": _UNSIGNED_AND_NULLS,
    "many-times-one-octet-for-many-nulls": b"\x01\x14" + _UNSIGNED_AND_NULLS * 20,
    # Too few octets for a single element: nothing of it may be believed.
    "many-nulls-before-what-is-missing": b"\x13\x02\x02\x01\xff\xff\x00\x12\x01\x07",
    "nulls-in-nulls-before-what-is-missing": b"\x13\x02\x02\x01\x01\x2c\x01\x01\x2c\x00\x12\x01\x07",
    "big-array-of-octet-strings": b"\x13\x01\xff\xff\x09\x04\x00\x00\x00\x00",
}


@pytest.mark.parametrize("octets", BOMBS.values(), ids=BOMBS.keys())
def test_a_few_octets_never_become_much_memory(octets: bytes) -> None:
    tracemalloc.start()
    try:
        axdr.decode(octets)
    except RemoteProtocolError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 1_000_000 + 500 * len(octets)


def test_honest_large_values_cost_memory_in_proportion() -> None:
    octets = b"\x01\x83\x01\x00\x00" + bytes(65_536)
    tracemalloc.start()
    data = axdr.decode(octets)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(data.elements) == 65_536
    assert peak < 500 * len(octets)


@pytest.mark.parametrize(
    "octets",
    [
        b"\x01\x83" + (VALUES_MAX + 1).to_bytes(3, "big") + bytes(VALUES_MAX + 1),
        b"\x02\x02" + 2 * (b"\x01\x83" + (VALUES_MAX // 2).to_bytes(3, "big") + bytes(VALUES_MAX // 2)),
        b"\x13\x11\x83" + (VALUES_MAX + 1).to_bytes(3, "big") + bytes(VALUES_MAX + 1),
        b"\x13\x01\xff\xff\x11\x83" + (4 * 0xFFFF).to_bytes(3, "big") + bytes(4 * 0xFFFF),
        b"\x01\x05" + 5 * (b"\x13\x11\x82\xea\x60" + bytes(60_000)),
    ],
    ids=["array", "arrays", "compact-array", "compact-array-of-arrays", "compact-arrays"],
)
def test_more_values_than_any_object_has_are_refused(octets: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match=f"more than {VALUES_MAX} values"):
        axdr.decode(octets)


# What we write.


@pytest.mark.parametrize(
    "data",
    [
        axdr.unsigned(256),
        axdr.unsigned(-1),
        axdr.integer(128),
        axdr.double_long(1 << 31),
        axdr.enum(256),
        axdr.long64_unsigned(1 << 64),
        Data(DataType.UNSIGNED, "7"),
        Data(DataType.UNSIGNED, None),
        Data(DataType.UNSIGNED, b"\x07"),
        Data(DataType.UNSIGNED, 1.5),
        Data(DataType.FLOAT32, 1e300),
        Data(DataType.FLOAT64, "1"),
        Data(DataType.DATE_TIME, bytes(11)),
        Data(DataType.DATE_TIME, bytes(13)),
        Data(DataType.DATE_TIME, "today"),
        Data(DataType.TIME, 5),
        Data(DataType.NULL_DATA, 5),
        Data(DataType.DONT_CARE, "x"),
        Data(DataType.OCTET_STRING, "text"),
        Data(DataType.OCTET_STRING, 5),
        Data(DataType.VISIBLE_STRING, b"octets"),
        axdr.visible_string("…"),
        axdr.utf8_string("\ud800"),
        Data(DataType.BIT_STRING, 5),
        axdr.bit_string("12"),
        axdr.bit_string("1_0"),
        axdr.bit_string("0b1"),
        axdr.bit_string("-1"),
        axdr.bit_string(" 1"),
        axdr.bit_string("١"),
        Data(DataType.ARRAY, 5),
        Data(DataType.STRUCTURE, None),
        Data(DataType.STRUCTURE, "ab"),
        axdr.array(axdr.unsigned(256)),
        Data(DataType.COMPACT_ARRAY, (axdr.unsigned(1),)),
        Data(DataType.COMPACT_ARRAY, CompactArray(TypeDescription(DataType.ENUM), (axdr.unsigned(1),))),
        Data(
            DataType.COMPACT_ARRAY,
            CompactArray(
                TypeDescription(DataType.ARRAY, (TypeDescription(DataType.ENUM),), 2), (axdr.array(axdr.enum(1)),)
            ),
        ),
        Data(
            DataType.COMPACT_ARRAY,
            CompactArray(
                TypeDescription(DataType.STRUCTURE, (TypeDescription(DataType.ENUM),)),
                (axdr.structure(axdr.enum(1), axdr.enum(2)),),
            ),
        ),
        Data(
            DataType.COMPACT_ARRAY,
            CompactArray(TypeDescription(DataType.ARRAY, (TypeDescription(DataType.ENUM),), 70_000), ()),
        ),
    ],
    ids=repr,
)
def test_a_value_that_does_not_fit_its_type_is_our_own_error(data: Data) -> None:
    with pytest.raises(LocalProtocolError, match="is not a value of"):
        axdr.encode(data)


# The typed readers.


@pytest.mark.parametrize(
    ("reader", "fits", "does_not_fit"),
    [
        ("integer", axdr.unsigned(5), axdr.boolean(True)),
        ("integer", axdr.enum(5), Data(DataType.FLOAT64, 1.0)),
        ("octets", axdr.octet_string(b"x"), axdr.visible_string("x")),
        ("octets", Data(DataType.DATE_TIME, bytes(12)), axdr.NULL),
        ("bits", axdr.bit_string("01"), axdr.visible_string("01")),
        ("boolean", axdr.boolean(False), axdr.unsigned(0)),
        ("text", axdr.visible_string("x"), axdr.bit_string("01")),
        ("text", axdr.utf8_string("x"), axdr.NULL),
        ("text", axdr.octet_string(b"x"), Data(DataType.DATE_TIME, bytes(12))),
        ("elements", axdr.array(), axdr.octet_string(b"")),
        ("elements", axdr.structure(axdr.NULL), axdr.NULL),
    ],
)
def test_a_reader_gives_its_kind_of_value_or_says_what_came_instead(
    reader: str, fits: Data, does_not_fit: Data
) -> None:
    assert getattr(fits, reader) in (fits.value, "x")
    with pytest.raises(RemoteProtocolError, match=f"was expected, {does_not_fit.type.standard_name} received"):
        getattr(does_not_fit, reader)


def test_text_in_an_octet_string_that_is_no_ascii_is_readable_all_the_same() -> None:
    assert axdr.octet_string(b"a\xffb").text == "a\ufffdb"


def test_the_elements_of_a_compact_array_are_read_like_those_of_an_array() -> None:
    assert axdr.decode(bytes.fromhex("13 11 02 01 02")).elements == (axdr.unsigned(1), axdr.unsigned(2))


def test_a_structure_may_be_longer_than_expected_but_not_shorter() -> None:
    data = axdr.structure(axdr.enum(1), axdr.enum(2), axdr.enum(3))
    assert data.structure(2) == (axdr.enum(1), axdr.enum(2))
    with pytest.raises(RemoteProtocolError, match="a structure of 4 was expected, one of 3 received"):
        data.structure(4)


# What may be shown.


@pytest.mark.parametrize("text", ["48643202781314010686", "01010101010101010101", "", "0"])
def test_the_text_of_a_value_is_shown_by_its_length_only(text: str) -> None:
    for data in (axdr.visible_string(text), axdr.utf8_string(text), axdr.octet_string(text.encode())):
        shown = repr(axdr.structure(data))
        assert f"of {len(text)} " in shown
        assert not text or text not in shown.replace(f"of {len(text)} ", "")


def test_bits_and_numbers_are_shown_whole() -> None:
    data = axdr.structure(axdr.bit_string("0100"), axdr.long(-5))
    assert repr(data) == "<structure (<bit-string '0100'>, <long -5>)>"
