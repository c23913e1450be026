"""APDUs and COSEM data to compare codecs with: of every kind, drawn from seeds, so that a failure repeats.

What stands here is legal by the standard. Lists are sometimes empty, blocks sometimes long enough for a length of two
octets, numbers often at their limits. Inside of APDUs only those types of data stand that every peer can read (the
kind `data` has all of them): else one unknown type would hide how the APDU around it is read.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from cosem_objects.axdr import CompactArray, Data, DataType, TypeDescription
from cosem_objects.dlms import acse, apdu
from cosem_objects.obis import ObisCode

Draw: TypeAlias = random.Random

CLIENT_TITLE, METER_TITLE = bytes.fromhex("4D4D4D0000000001"), bytes.fromhex("4D4D4D0000BC614E")
SIGNED = {DataType.INTEGER: 8, DataType.LONG: 16, DataType.DOUBLE_LONG: 32, DataType.LONG64: 64}
UNSIGNED = {
    DataType.UNSIGNED: 8,
    DataType.LONG_UNSIGNED: 16,
    DataType.DOUBLE_LONG_UNSIGNED: 32,
    DataType.LONG64_UNSIGNED: 64,
    DataType.ENUM: 8,
}
DELTAS_SIGNED = {DataType.DELTA_INTEGER: 8, DataType.DELTA_LONG: 16, DataType.DELTA_DOUBLE_LONG: 32}
DELTAS_UNSIGNED = {
    DataType.DELTA_UNSIGNED: 8,
    DataType.DELTA_LONG_UNSIGNED: 16,
    DataType.DELTA_DOUBLE_LONG_UNSIGNED: 32,
}


def some_number(draw: Draw, bits: int) -> int:
    top = (1 << bits) - 1
    number: int = draw.choice([0, 1, top, top - 1, draw.randrange(top + 1), draw.randrange(top + 1)])
    return number


def some_signed(draw: Draw, bits: int) -> int:
    return some_number(draw, bits) - (1 << bits - 1)


def some_octets(draw: Draw) -> bytes:
    return draw.randbytes(draw.choice([0, 1, 3, 5, 12, 16, 20, 60, 127, 128, 200, 255, 256, 300]))


def common_leaf(draw: Draw) -> Data:
    """A value of a type that every peer can read."""
    kind = draw.choice([*SIGNED, *UNSIGNED, DataType.OCTET_STRING, DataType.VISIBLE_STRING])
    if kind in SIGNED:
        return Data(kind, some_signed(draw, SIGNED[kind]))
    if kind in UNSIGNED:
        return Data(kind, some_number(draw, UNSIGNED[kind]))
    if kind is DataType.OCTET_STRING:
        return Data(kind, some_octets(draw))
    return Data(kind, "ELECTRICITY 1234"[: draw.randrange(17)])


def common_data(draw: Draw, depth: int = 3) -> Data:
    if depth and draw.random() < 0.3:
        count = draw.choice([0, 1, 2, 3, 130]) if depth == 1 else draw.choice([0, 1, 2, 4])
        kind = draw.choice([DataType.ARRAY, DataType.STRUCTURE])
        return Data(kind, tuple(common_data(draw, depth - 1) for _ in range(count)))
    return common_leaf(draw)


RARE_LEAVES: dict[DataType, Callable[[Draw], Any]] = {
    DataType.NULL_DATA: lambda draw: None,
    DataType.BOOLEAN: lambda draw: draw.random() < 0.5,
    DataType.BIT_STRING: lambda draw: "".join(draw.choices("01", k=draw.choice([0, 1, 8, 16, 17, 24, 130]))),
    DataType.UTF8_STRING: lambda draw: draw.choice(["", "abc", "Zähler", "メーター"]),
    DataType.BCD: lambda draw: draw.randrange(256),
    DataType.FLOAT32: lambda draw: draw.choice([0.0, 1.5, -2.25, 2.0**100]),
    DataType.FLOAT64: lambda draw: draw.choice([0.0, 1.5, -2.25, 2.0**1000]),
    DataType.DATE_TIME: lambda draw: draw.choice(
        [bytes.fromhex("07E60B150601020300FFC400"), b"\xff" * 8 + b"\x80\x00\xff"]
    ).ljust(12, b"\x00"),
    DataType.DATE: lambda draw: draw.choice([bytes.fromhex("07E60B1506"), b"\xff" * 5]),
    DataType.TIME: lambda draw: draw.choice([bytes.fromhex("01020304"), bytes.fromhex("17000000"), b"\xff" * 4]),
    **{kind: partial(some_signed, bits=bits) for kind, bits in DELTAS_SIGNED.items()},
    **{kind: partial(some_number, bits=bits) for kind, bits in DELTAS_UNSIGNED.items()},
    DataType.DONT_CARE: lambda draw: None,
    DataType.VISIBLE_STRING: lambda draw: draw.choice(["\x00\x01", "é", "\x7f", "a\nb"]),
}


def rare_data(draw: Draw) -> Data:
    kind = draw.choice([*RARE_LEAVES, DataType.COMPACT_ARRAY])
    if kind is DataType.COMPACT_ARRAY:
        number = draw.choice([DataType.UNSIGNED, DataType.LONG_UNSIGNED])
        elements = tuple(Data(number, draw.randrange(256)) for _ in range(draw.randrange(1, 5)))
        return Data(kind, CompactArray(TypeDescription(number), elements))
    return Data(kind, RARE_LEAVES[kind](draw))


def some_data(draw: Draw) -> Data:
    return rare_data(draw) if draw.random() < 0.4 else common_data(draw)


def some_invoke(draw: Draw) -> int:
    return draw.randrange(16) | draw.choice([0, 0x40, 0x80, 0xC0, 0xC0])


def some_attribute(draw: Draw) -> apdu.AttributeDescriptor:
    class_id = draw.choice([1, 3, 7, 8, 15, 40, 64, 70, 111, 112, 113, 115])
    return apdu.AttributeDescriptor(class_id, ObisCode(draw.randbytes(6)), draw.choice([1, 2, 5, 19, 127]))


def some_method(draw: Draw) -> apdu.MethodDescriptor:
    return apdu.MethodDescriptor(draw.choice([15, 64, 70, 111, 115]), ObisCode(draw.randbytes(6)), draw.randrange(1, 9))


def some_selection(draw: Draw) -> apdu.Selection:
    return draw.choice([None, None, None, (draw.randrange(1, 5), common_data(draw, 1))])


def some_block(draw: Draw) -> apdu.DataBlock:
    return apdu.DataBlock(some_number(draw, 32), some_octets(draw), draw.random() < 0.3)


def some_list(draw: Draw, make: Callable[[Draw], Any]) -> tuple[Any, ...]:
    return tuple(make(draw) for _ in range(draw.choice([0, 1, 2, 3, 10])))


def some_pairs(
    draw: Draw, first: Callable[[Draw], Any], second: Callable[[Draw], Any]
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Two lists of the same length."""
    count = draw.choice([0, 1, 2, 3, 10])
    return tuple(first(draw) for _ in range(count)), tuple(second(draw) for _ in range(count))


def some_selected(draw: Draw) -> tuple[apdu.AttributeDescriptor, apdu.Selection]:
    return some_attribute(draw), some_selection(draw)


ACTION_RESULTS = [int(result) for result in apdu.ActionResult]
ACCESS_RESULTS = [int(result) for result in apdu.DataAccessResult]


def some_result(draw: Draw) -> apdu.Result:
    results: list[apdu.Result] = [common_data(draw), common_data(draw), draw.choice(ACCESS_RESULTS[1:])]
    return draw.choice(results)


def some_block_result(draw: Draw) -> bytes | int:
    results: list[bytes | int] = [some_octets(draw), some_octets(draw), draw.choice(ACCESS_RESULTS[1:])]
    return draw.choice(results)


def some_outcome(draw: Draw) -> apdu.Outcome:
    return draw.choice(ACTION_RESULTS), draw.choice([None, some_result(draw)])


def some_conformance(draw: Draw) -> apdu.Conformance:
    short_name_only = {"READ", "WRITE", "UNCONFIRMED_WRITE", "INFORMATION_REPORT", "PARAMETERIZED_ACCESS"}
    known = [bit for bit in apdu.Conformance if bit.name not in short_name_only]
    chosen = apdu.Conformance(0)
    for bit in draw.sample(known, draw.randrange(len(known))):
        chosen |= bit
    return chosen


def some_initiate_request(draw: Draw) -> apdu.InitiateRequest:
    key = draw.choice([None, draw.randbytes(16)])
    quality = draw.choice([None, None, None, draw.randrange(1, 256)])
    return apdu.InitiateRequest(some_conformance(draw), some_number(draw, 16), key, draw.random() < 0.8, quality)


def some_initiate_response(draw: Draw) -> apdu.InitiateResponse:
    quality = draw.choice([None, None, None, draw.randrange(1, 256)])
    return apdu.InitiateResponse(some_conformance(draw), some_number(draw, 16), quality)


def some_aarq(draw: Draw) -> acse.Aarq:
    mechanism = draw.choice([0, 1, 5, 6])
    size = draw.randrange(8, 17) if mechanism == 1 else draw.randrange(8, 65)
    value = None if mechanism == 0 else draw.choice([draw.randbytes(size), bytes(draw.choices(range(48, 58), k=size))])
    title = CLIENT_TITLE if mechanism > 1 else draw.choice([None, CLIENT_TITLE])
    information = apdu.InitiateRequest(some_conformance(draw), some_number(draw, 16))
    return acse.Aarq(1 if title is None else draw.choice([1, 3]), information.encode(), title, mechanism, value)


def some_aare(draw: Draw) -> acse.Aare:
    mechanism = draw.choice([None, 5, 6])
    response = apdu.InitiateResponse(some_conformance(draw), some_number(draw, 16)).encode()
    information = draw.choice([None, response, response, apdu.ConfirmedServiceError(1, 6, draw.randrange(5)).encode()])
    provider = draw.random() < 0.2
    diagnostic = draw.choice([0, 1, 2] if provider else [0, 1, 2, 3, 11, 12, 13, 14])
    title, value = (METER_TITLE, draw.randbytes(draw.randrange(8, 65))) if mechanism else (None, None)
    return acse.Aare(draw.choice([1, 3]), draw.randrange(3), diagnostic, information, provider, title, mechanism, value)


def some_exception(draw: Draw) -> apdu.ExceptionResponse:
    service = draw.randrange(1, 7)
    counter = some_number(draw, 32) if service == apdu.ServiceError.INVOCATION_COUNTER_ERROR else None
    return apdu.ExceptionResponse(draw.choice([1, 2]), service, counter)


def some_time(draw: Draw) -> bytes:
    return bytes.fromhex("07E60B150601020300FFC400")[:11] + bytes((draw.choice([0, 0x80]),))


def some_general_block(draw: Draw) -> apdu.GeneralBlockTransfer:
    return apdu.GeneralBlockTransfer(
        some_number(draw, 16),
        some_number(draw, 16),
        some_octets(draw),
        draw.random() < 0.5,
        draw.random() < 0.5,
        draw.randrange(64),
    )


SERVICES: dict[str, Callable[[Draw], Any]] = {
    "get-request-normal": lambda draw: apdu.GetRequest(some_attribute(draw), some_selection(draw), some_invoke(draw)),
    "get-request-next": lambda draw: apdu.GetRequestNext(some_number(draw, 32), some_invoke(draw)),
    "get-request-with-list": lambda draw: apdu.GetRequestWithList(some_list(draw, some_selected), some_invoke(draw)),
    "get-response-normal": lambda draw: apdu.GetResponse(some_result(draw), some_invoke(draw)),
    "get-response-with-datablock": lambda draw: apdu.GetResponseWithDataBlock(
        some_number(draw, 32),
        some_block_result(draw),
        draw.random() < 0.5,
        some_invoke(draw),
    ),
    "get-response-with-list": lambda draw: apdu.GetResponseWithList(some_list(draw, some_result), some_invoke(draw)),
    "set-request-normal": lambda draw: apdu.SetRequest(
        some_attribute(draw), common_data(draw), some_selection(draw), some_invoke(draw)
    ),
    "set-request-with-first-datablock": lambda draw: apdu.SetRequestWithFirstDataBlock(
        some_attribute(draw), some_block(draw), some_selection(draw), some_invoke(draw)
    ),
    "set-request-with-datablock": lambda draw: apdu.SetRequestWithDataBlock(some_block(draw), some_invoke(draw)),
    "set-request-with-list": lambda draw: apdu.SetRequestWithList(
        *some_pairs(draw, some_selected, common_data), some_invoke(draw)
    ),
    "set-request-with-list-and-first-datablock": lambda draw: apdu.SetRequestWithListAndFirstDataBlock(
        some_list(draw, some_selected), some_block(draw), some_invoke(draw)
    ),
    "set-response-normal": lambda draw: apdu.SetResponse(draw.choice(ACCESS_RESULTS), some_invoke(draw)),
    "set-response-datablock": lambda draw: apdu.SetResponseDataBlock(some_number(draw, 32), some_invoke(draw)),
    "set-response-last-datablock": lambda draw: apdu.SetResponseLastDataBlock(
        draw.choice(ACCESS_RESULTS), some_number(draw, 32), some_invoke(draw)
    ),
    "set-response-last-datablock-with-list": lambda draw: apdu.SetResponseLastDataBlockWithList(
        some_list(draw, lambda draw: draw.choice(ACCESS_RESULTS)), some_number(draw, 32), some_invoke(draw)
    ),
    "set-response-with-list": lambda draw: apdu.SetResponseWithList(
        some_list(draw, lambda draw: draw.choice(ACCESS_RESULTS)), some_invoke(draw)
    ),
    "action-request-normal": lambda draw: apdu.ActionRequest(
        some_method(draw), draw.choice([None, common_data(draw)]), some_invoke(draw)
    ),
    "action-request-next-pblock": lambda draw: apdu.ActionRequestNextPblock(some_number(draw, 32), some_invoke(draw)),
    "action-request-with-list": lambda draw: apdu.ActionRequestWithList(
        *some_pairs(draw, some_method, common_data), some_invoke(draw)
    ),
    "action-request-with-first-pblock": lambda draw: apdu.ActionRequestWithFirstPblock(
        some_method(draw), some_block(draw), some_invoke(draw)
    ),
    "action-request-with-list-and-first-pblock": lambda draw: apdu.ActionRequestWithListAndFirstPblock(
        some_list(draw, some_method), some_block(draw), some_invoke(draw)
    ),
    "action-request-with-pblock": lambda draw: apdu.ActionRequestWithPblock(some_block(draw), some_invoke(draw)),
    "action-response-normal": lambda draw: apdu.ActionResponse(*some_outcome(draw), some_invoke(draw)),
    "action-response-with-pblock": lambda draw: apdu.ActionResponseWithPblock(some_block(draw), some_invoke(draw)),
    "action-response-with-list": lambda draw: apdu.ActionResponseWithList(
        some_list(draw, some_outcome), some_invoke(draw)
    ),
    "action-response-next-pblock": lambda draw: apdu.ActionResponseNextPblock(some_number(draw, 32), some_invoke(draw)),
}
OTHERS: dict[str, Callable[[Draw], Any]] = {
    "data": some_data,
    "data-notification": lambda draw: apdu.DataNotification(
        some_number(draw, 24) | draw.choice([0, 0x40, 0x80, 0xC0]) << 24,
        draw.choice([b"", some_time(draw)]),
        common_data(draw),
    ),
    "event-notification-request": lambda draw: apdu.EventNotification(
        some_attribute(draw), common_data(draw), draw.choice([None, some_time(draw)])
    ),
    "exception-response": some_exception,
    "confirmed-service-error": lambda draw: apdu.ConfirmedServiceError(
        draw.choice([1, 5, 6]), draw.choice([3, 5, 6]), draw.randrange(3)
    ),
    "initiate-request": some_initiate_request,
    "initiate-response": some_initiate_response,
    "general-block-transfer": some_general_block,
    "gateway-request": lambda draw: apdu.PrefixedRequest(
        draw.randrange(256), some_octets(draw)[:20], SERVICES["get-request-normal"](draw).encode()
    ),
    "gateway-response": lambda draw: apdu.PrefixedResponse(
        draw.randrange(256), some_octets(draw)[:20], SERVICES["set-response-normal"](draw).encode()
    ),
    "aarq": some_aarq,
    "aare": some_aare,
    "rlrq": lambda draw: acse.Rlrq(draw.choice([0, 1, 30]), draw.choice([None, some_initiate_request(draw).encode()])),
    "rlre": lambda draw: acse.Rlre(draw.choice([0, 1, 30]), draw.choice([None, some_initiate_response(draw).encode()])),
}
KINDS = {**SERVICES, **OTHERS}


def corpus(kind: str, count: int) -> list[Any]:
    """``count`` values of that kind, the same ones every time."""
    draw = random.Random(f"corpus {kind}")
    return [KINDS[kind](draw) for _ in range(count)]
