"""Lists and blocks as other stacks write them: their octets, read into values written out by hand, and back.

From the tests of gosem (Go, pkg/dlms) and of u9n/dlms-cosem c52e9d4 (tests/test_xdlms). gosem's blocks carry octets
that are no encoded value: layout is what they vouch for.
"""

from __future__ import annotations

import pytest

from cosem_objects import axdr
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms.apdu import AttributeDescriptor, DataBlock, MethodDescriptor
from cosem_objects.obis import ObisCode

OBIS = ObisCode.parse("1-0:0.3.0.255")
ATTRIBUTE, METHOD = AttributeDescriptor(1, OBIS, 2), MethodDescriptor(1, OBIS, 2)
NUMBERS = (axdr.double_long_unsigned(0), axdr.double_long_unsigned(5), axdr.long_unsigned(0), axdr.long_unsigned(0))
SELECTION = (2, axdr.structure(*NUMBERS))
FIVE = b"\x01\x02\x03\x04\x05"
VALUE = axdr.octet_string(FIVE)
LAST = DataBlock(1, FIVE, is_last=True)
NAME = AttributeDescriptor(1, ObisCode.parse("0-0:42.0.0.255"), 2)
TIME = AttributeDescriptor(8, ObisCode.parse("0-0:1.0.0.255"), 2)
SELECTED = "00010100000300ff020102020406000000000600000005120000120000"

GOSEM: list[tuple[str, xdlms.Apdu]] = [
    ("c0034501" + SELECTED, xdlms.GetRequestWithList(((ATTRIBUTE, SELECTION),), 0x45)),
    ("c0025100000002", xdlms.GetRequestNext(2, 0x51)),
    (
        "c402510100000001000c07d20c04030a060bff007800",
        xdlms.GetResponseWithDataBlock(1, bytes.fromhex("07d20c04030a060bff007800"), True, 0x51),
    ),
    (
        "c10251" + SELECTED + "0100000001050102030405",
        xdlms.SetRequestWithFirstDataBlock(ATTRIBUTE, LAST, SELECTION, 0x51),
    ),
    ("c103510100000001050102030405", xdlms.SetRequestWithDataBlock(LAST, 0x51)),
    ("c1044501" + SELECTED + "0109050102030405", xdlms.SetRequestWithList(((ATTRIBUTE, SELECTION),), (VALUE,), 0x45)),
    (
        "c1054501" + SELECTED + "0100000001050102030405",
        xdlms.SetRequestWithListAndFirstDataBlock(((ATTRIBUTE, SELECTION),), LAST, 0x45),
    ),
    ("c5015100", xdlms.SetResponse(0, 0x51)),
    ("c5025100000001", xdlms.SetResponseDataBlock(1, 0x51)),
    ("c503510000000001", xdlms.SetResponseLastDataBlock(0, 1, 0x51)),
    ("c50451030001fa00000001", xdlms.SetResponseLastDataBlockWithList((0, 1, 250), 1, 0x51)),
    ("c50551030001fa", xdlms.SetResponseWithList((0, 1, 250), 0x51)),
    ("c3015100010100000300ff020109050102030405", xdlms.ActionRequest(METHOD, VALUE, 0x51)),
    ("c3025100000001", xdlms.ActionRequestNextPblock(1, 0x51)),
    ("c303510100010100000300ff020109050102030405", xdlms.ActionRequestWithList((METHOD,), (VALUE,), 0x51)),
    (
        "c3045100010100000300ff020100000001050102030405",
        xdlms.ActionRequestWithFirstPblock(METHOD, LAST, 0x51),
    ),
    (
        "c305510100010100000300ff020100000001050102030405",
        xdlms.ActionRequestWithListAndFirstPblock((METHOD,), LAST, 0x51),
    ),
    ("c306510100000001050102030405", xdlms.ActionRequestWithPblock(LAST, 0x51)),
    ("c7015100010000", xdlms.ActionResponse(0, axdr.NULL, 0x51)),
    ("c702510100000001050102030405", xdlms.ActionResponseWithPblock(LAST, 0x51)),
    ("c703510100010000", xdlms.ActionResponseWithList(((0, axdr.NULL),), 0x51)),
    ("c7045100000001", xdlms.ActionResponseNextPblock(1, 0x51)),
]
U9N: list[tuple[str, xdlms.Apdu]] = [
    (
        "c003c102000100002a0000ff020000080000010000ff0200",
        xdlms.GetRequestWithList(((NAME, None), (TIME, None)), 0xC1),
    ),
    (
        "c403c10200091049534b3130333037373737363433363600090c07e50603040e091700ffc400",
        xdlms.GetResponseWithList(
            (
                axdr.octet_string(b"ISK1030777764366"),
                axdr.octet_string(bytes.fromhex("07e50603040e091700ffc400")),
            ),
            0xC1,
        ),
    ),
    ("c002c100000003", xdlms.GetRequestNext(3, 0xC1)),
    ("c402c101000000130101", xdlms.GetResponseWithDataBlock(19, 1, True, 0xC1)),
]


@pytest.mark.parametrize(("octets", "apdu"), [*GOSEM, *U9N], ids=lambda part: part[:4] if isinstance(part, str) else "")
def test_lists_and_blocks_are_read_and_written_as_others_do(octets: str, apdu: xdlms.Apdu) -> None:
    assert xdlms.decode(bytes.fromhex(octets)) == apdu
    assert apdu.encode().hex() == octets


def test_a_list_of_nine_results_is_read_to_its_end() -> None:
    # u9n/dlms-cosem, test_get.py: seven numbers, a structure of seven and one of five.
    octets = (
        "c403c109001200320012000000120000001200000012000000120000001208fe"
        "000207060190560b120326111111021200f01200011200000002051202d0120ca8111811200fc0"
    )
    decoded = xdlms.decode(bytes.fromhex(octets))
    assert isinstance(decoded, xdlms.GetResponseWithList)
    values = [result for result in decoded.results if isinstance(result, axdr.Data)]
    assert [value.integer for value in values[:7]] == [0x32, 0, 0, 0, 0, 0, 0x8FE]
    assert [len(value.elements) for value in values[7:]] == [7, 5]
    assert decoded.encode().hex() == octets
