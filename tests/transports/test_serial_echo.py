"""An echo is taken away from what is heard, whatever the pieces in which it comes."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tests.transports.wires import in_virtual_time
from transports.memory_stream import stream_pair
from transports.serial.format import SerialFormat
from transports.serial.line_stream import WithoutEcho
from transports.serial.paced_stream import PacedStream
from transports.serial.simulated_line import PERFECT_LINE

QUESTION = b"\x7e\xa0\x07question\x7e"


def heard_when(pieces: list[bytes], said: bytes = QUESTION) -> bytes:
    """What comes out after ``said`` was written and these pieces came from the line."""
    heard = bytearray()

    async def story() -> None:
        line, end = stream_pair()
        stream = WithoutEcho(PacedStream(end, SerialFormat(), PERFECT_LINE, Random(1), paced=False))
        stream.start(heard.extend, lambda _error: None)
        stream.write(said)
        for piece in pieces:
            line.write(piece)
            await asyncio.sleep(1)
        await stream.close()

    in_virtual_time(story)
    return bytes(heard)


def cut(octets: bytes, places: list[int]) -> list[bytes]:
    at = sorted({0, len(octets), *(place for place in places if place < len(octets))})
    return [octets[start:end] for start, end in pairwise(at)]


@given(st.binary(max_size=20), st.lists(st.integers(1, 30), max_size=4))
def test_the_answer_behind_an_echo_comes_out_whole(answer: bytes, places: list[int]) -> None:
    assert heard_when(cut(QUESTION + answer, places)) == answer


@given(st.integers(0, len(QUESTION) - 1), st.integers(1, 255), st.lists(st.integers(1, 30), max_size=4))
def test_an_echo_that_collided_comes_out_as_it_is(place: int, difference: int, places: list[int]) -> None:
    broken = bytearray(QUESTION)
    broken[place] ^= difference
    collided = bytes(broken) + b"answer"
    assert heard_when(cut(collided, places)) == collided


@given(st.binary(max_size=20), st.lists(st.integers(1, 30), max_size=4))
def test_on_a_line_without_echo_the_answer_comes_out_whole(answer: bytes, places: list[int]) -> None:
    unlike = b"\x7e\xa0\x19" + answer
    assert heard_when(cut(unlike, places)) == unlike


def test_an_echo_that_is_still_to_come_is_not_forgotten_with_the_next_words() -> None:
    assert heard_when([QUESTION[:4], QUESTION[4:] + b"12", b"34"]) == b"1234"
    assert heard_when([QUESTION]) == b""
