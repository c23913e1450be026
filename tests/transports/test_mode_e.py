"""Mode E: messages as IEC 62056-21 and meters write them, whatever else is on the line."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.channel import ChannelGarbled
from transports.serial.mode_e import (
    BAUD_CODES,
    LINE_OCTETS_MAX,
    Identification,
    ModeEClient,
    ModeEMeter,
    Reply,
    acknowledgement,
    request,
)

METER = Identification("SIM", 9600, "SIMULATED")

# The first three are of real meters, as people who read them publish what they got: Landis+Gyr ZMD, Iskraemeco ME382
# (its P1 port begins with the same line), EMH LZQJ, which adds a second character after a backslash. The others follow
# the syntax of IEC 62056-21, 6.3.2; item 24 there is the enhanced identification character, "2" for HDLC.
ANSWERS = [
    (b"/LGZ5\\2ZMD3104407.B24\r\n", Identification("LGZ", 9600, "ZMD3104407.B24")),
    (b"/ISk5\\2ME382-1003\r\n", Identification("ISk", 9600, "ME382-1003")),
    (b"/EMH5\\@\\201LZQJL0013F\r\n", Identification("EMH", 9600, "01LZQJL0013F")),
    (b"/ABC6\\2ident\r\n", Identification("ABC", 19_200, "ident")),
    (b"/ABC0\\2\r\n", Identification("ABC", 300, "")),
    (b"/ABC4\\2x\n", Identification("ABC", 4800, "x")),
]


def with_even_parity(octets: bytes) -> bytes:
    """As 7E1 looks to somebody who listens with 8N1."""
    return bytes(octet | (octet.bit_count() % 2) << 7 for octet in octets)


@pytest.mark.parametrize(("octets", "identification"), ANSWERS)
def test_a_meter_says_who_it_is_and_how_fast(octets: bytes, identification: Identification) -> None:
    assert ModeEClient().receive(octets) == [identification]


@pytest.mark.parametrize(("octets", "identification"), ANSWERS)
def test_parity_bits_left_in_the_octets_change_nothing(octets: bytes, identification: Identification) -> None:
    assert ModeEClient().receive(with_even_parity(octets)) == [identification]


@pytest.mark.parametrize(
    "noise",
    [
        b"\x00\xff\x7f",
        b"\x00" * 1000,
        b"/?!\r\n",  # our own request, given back by the line
        b"/",
        b"/ABC5",
        b"/ABC5\\",
        b"garbage\r\n\r\n",
        b"/ABC5\\2name/",
    ],
)
def test_what_stands_before_an_identification_is_passed_over(noise: bytes) -> None:
    assert ModeEClient().receive(noise + ANSWERS[0][0]) == [ANSWERS[0][1]]


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"/LGZ5ZMD\r\n", r"the meter \(LGZ\) offers mode C only, not mode E"),
        (b"/LGZ5\\@ZMD\r\n", "mode C only"),
        (b"/LGZEZMD\r\n", "mode B only"),
        (b"/LGZ ZMD\r\n", "mode A only"),
        (b"/LGZ7\\2ZMD\r\n", "unknown speed"),
    ],
)
def test_a_meter_without_mode_e_is_told_so(octets: bytes, words: str) -> None:
    with pytest.raises(ChannelGarbled, match=words):
        ModeEClient().receive(octets)


def test_the_messages_of_a_client_are_those_of_the_standard() -> None:
    assert request() == b"/?!\r\n"
    assert request("1EMH001") == b"/?1EMH001!\r\n"
    assert acknowledgement(9600) == bytes.fromhex("06 32 35 32 0D 0A")
    assert acknowledgement(300) == bytes.fromhex("06 32 30 32 0D 0A")


def test_an_acknowledgement_that_comes_back_is_known() -> None:
    for baud in BAUD_CODES:
        assert ModeEClient().receive(with_even_parity(acknowledgement(baud))) == [baud]


def test_a_meter_is_asked_answers_and_agrees() -> None:
    meter = ModeEMeter(METER)
    assert meter.receive(b"\xff\x00" + with_even_parity(request())) == [Reply(b"/SIM5\\2SIMULATED\r\n")]
    assert meter.receive(acknowledgement(2400)) == [Reply(acknowledgement(2400), 2400)]


@pytest.mark.parametrize(
    "said",
    [
        b"\x0622\r\n",  # one character too few
        b"\x06050\r\n",  # mode C, a readout
        b"\x06256\r\n",  # HDLC, but not binary
        b"\x062 2\r\n",
        acknowledgement(19_200),  # faster than the meter said
        bytes.fromhex("7EA00802232193E5CE7E"),
    ],
)
def test_a_meter_is_silent_to_what_it_did_not_offer_and_waits_for_a_new_request(said: bytes) -> None:
    meter = ModeEMeter(METER)
    meter.receive(request())
    assert meter.receive(said) == []
    assert meter.receive(b"\n" + request()) == [Reply(METER.encode())]
    assert meter.receive(acknowledgement(9600)) == [Reply(acknowledgement(9600), 9600)]


def test_an_acknowledgement_out_of_the_blue_is_not_answered() -> None:
    assert ModeEMeter(METER).receive(acknowledgement(9600)) == []


@pytest.mark.parametrize(
    ("own", "asked", "answers"),
    [
        ("", "", True),
        ("", "123", True),
        ("123", "", True),
        ("123", "123", True),
        ("123", "00123", True),
        ("00123", "123", True),
        ("123", "124", False),
        ("123", "1230", False),
    ],
)
def test_a_meter_answers_when_it_is_meant(own: str, asked: str, answers: bool) -> None:
    assert bool(ModeEMeter(METER, own).receive(request(asked))) is answers


def test_who_asked_for_another_meter_cannot_agree_with_this_one() -> None:
    meter = ModeEMeter(METER, "123")
    assert meter.receive(request("123")) != []
    assert meter.receive(request("124") + acknowledgement(9600)) == []


@given(st.sampled_from(sorted(BAUD_CODES)), st.sampled_from(sorted(BAUD_CODES)))
def test_client_and_meter_understand_each_other(fastest: int, chosen: int) -> None:
    identification = Identification("SIM", fastest, "S")
    client, meter = ModeEClient(), ModeEMeter(identification)
    (answer,) = meter.receive(request())
    assert client.receive(answer.octets) == [identification]
    agreed = meter.receive(acknowledgement(chosen))
    assert agreed == ([Reply(acknowledgement(chosen), chosen)] if chosen <= fastest else [])


def heard(pieces: list[bytes]) -> tuple[list[Identification | int], str]:
    """What a client takes from the line, up to the first thing that it cannot bear."""
    client = ModeEClient()
    found: list[Identification | int] = []
    for piece in pieces:
        try:
            found += client.receive(piece)
        except ChannelGarbled as error:
            return [], str(error)
    return found, ""


PARTS = st.one_of(st.binary(max_size=8), st.sampled_from([octets for octets, _ in ANSWERS] + [acknowledgement(9600)]))
STREAMS = st.lists(PARTS, max_size=6).map(b"".join)


@given(STREAMS, st.lists(st.integers(0, 200), max_size=5))
def test_cutting_the_stream_anywhere_changes_nothing_for_a_client(stream: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[start:end] for start, end in pairwise(places)]
    whole, error = heard([stream])
    assert heard(pieces) == (whole, error)


@given(st.lists(st.one_of(st.binary(max_size=8), st.sampled_from([request(), request("1"), acknowledgement(300)]))))
def test_a_meter_bears_anything_and_keeps_little(pieces: list[bytes]) -> None:
    meter = ModeEMeter(METER, "1")
    for piece in pieces:
        for reply in meter.receive(piece):
            assert reply in (Reply(METER.encode()), Reply(acknowledgement(300), 300))
        assert len(meter._lines._line) <= LINE_OCTETS_MAX
