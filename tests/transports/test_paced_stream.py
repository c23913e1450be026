"""The simulated line: how long octets are on it, and what it does to them; in virtual time."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random

import pytest

from tests.transports.wires import in_virtual_time
from transports.channel import ChannelError, NotSentError
from transports.memory_stream import stream_pair
from transports.serial.format import SerialFormat
from transports.serial.paced_stream import PacedStream
from transports.serial.simulated_line import PERFECT_LINE, SimulatedLine
from transports.stream import ByteStream

LINE = SerialFormat(9600)


class Ear:
    """What arrives at one end, and when."""

    def __init__(self, stream: ByteStream) -> None:
        self.heard: list[tuple[float, bytes]] = []
        self.ended: list[ChannelError] = []
        self._loop = asyncio.get_running_loop()
        stream.start(self._on_bytes, self.ended.append)

    def _on_bytes(self, data: bytes) -> None:
        self.heard.append((self._loop.time(), data))

    @property
    def octets(self) -> bytes:
        return b"".join(data for _, data in self.heard)

    @property
    def last_at(self) -> float:
        return self.heard[-1][0]


class Line:
    """Client and meter, with a simulated line between them."""

    def __init__(self, simulated: SimulatedLine = PERFECT_LINE, *, paced: bool = True, seed: int = 1) -> None:
        self.client, inner = stream_pair()
        self.meter = PacedStream(inner, LINE, simulated, Random(seed), paced=paced)
        self.at_client, self.at_meter = Ear(self.client), Ear(self.meter)

    @staticmethod
    async def rest() -> None:
        await asyncio.sleep(60)


def test_an_octet_has_ten_bits_and_with_parity_eleven() -> None:
    assert SerialFormat(9600).octet_seconds == pytest.approx(10 / 9600)
    assert SerialFormat(9600, "even").octet_seconds == pytest.approx(11 / 9600)
    assert SerialFormat(300, "even", 7).octet_seconds == pytest.approx(10 / 300)
    assert str(SerialFormat(300, "even", 7)) == "300 baud 7E1"


def test_what_the_client_says_is_heard_when_its_time_on_the_line_is_over() -> None:
    async def story() -> None:
        line = Line()
        line.client.write(bytes(96))
        await line.rest()
        assert line.at_meter.octets == bytes(96)
        assert line.at_meter.last_at == pytest.approx(0.1, abs=1e-3)

    in_virtual_time(story)


def test_what_the_meter_says_comes_in_groups_and_ends_in_time() -> None:
    async def story() -> None:
        line = Line()
        line.meter.write(bytes(range(96)))
        await line.rest()
        assert line.at_client.octets == bytes(range(96))
        assert line.at_client.last_at == pytest.approx(0.1, abs=1e-3)
        times = [time for time, _ in line.at_client.heard]
        assert len(times) > 10
        gaps = [after - before for before, after in pairwise(times)]
        assert max(gaps) < 0.006

    in_virtual_time(story)


def test_one_octet_at_a_time_is_on_the_line_whoever_sends_it() -> None:
    async def story() -> None:
        line = Line()
        line.meter.write(bytes(48))
        line.client.write(bytes(48))
        await line.rest()
        assert line.at_client.last_at == pytest.approx(0.05, abs=1e-3)
        assert line.at_meter.last_at == pytest.approx(0.1, abs=1e-3)

    in_virtual_time(story)


def test_at_another_speed_what_comes_next_takes_another_time() -> None:
    async def story() -> None:
        line = Line()
        line.meter.write(bytes(48))
        await line.meter.switch(SerialFormat(2400))
        line.meter.write(bytes(48))
        await line.rest()
        assert line.at_client.last_at == pytest.approx(0.25, abs=1e-3)

    in_virtual_time(story)


def test_without_a_pace_everything_comes_at_once_and_whole() -> None:
    async def story() -> None:
        line = Line(paced=False)
        line.meter.write(bytes(5000))
        await line.rest()
        assert line.at_client.heard == [(0.0, bytes(5000))]

    in_virtual_time(story)


def test_a_line_with_echo_gives_the_client_its_own_words_in_their_time_before_the_answer() -> None:
    async def story() -> None:
        line = Line(SimulatedLine(echo=True))
        line.client.write(b"question")
        await asyncio.sleep(8 * LINE.octet_seconds)
        line.meter.write(b"answer")
        await line.rest()
        assert line.at_client.octets == b"questionanswer"
        assert line.at_meter.octets == b"question"
        assert line.at_client.last_at == pytest.approx(14 * LINE.octet_seconds, abs=2e-3)

    in_virtual_time(story)


def test_noise_stands_before_what_a_meter_says_and_never_inside() -> None:
    async def story() -> bytes:
        line = Line(SimulatedLine(noise=1.0, noise_octets_max=5))
        for _ in range(10):
            line.meter.write(b"answer")
            await line.rest()
        said = line.at_client.octets
        assert said.count(b"answer") == 10
        assert 70 <= len(said) <= 110
        assert said.endswith(b"answer")
        return said

    assert in_virtual_time(story) == in_virtual_time(story)


def test_gaps_inside_a_frame_make_it_longer() -> None:
    async def story() -> None:
        line = Line(SimulatedLine(gap_seconds=0.02))
        line.meter.write(bytes(8))  # two groups of four
        await line.rest()
        assert [len(data) for _, data in line.at_client.heard] == [4, 4]
        first, second = (time for time, _ in line.at_client.heard)
        assert second - first == pytest.approx(0.02 + 4 * LINE.octet_seconds, abs=1e-3)

    in_virtual_time(story)


def test_closing_lets_what_was_said_go_out_for_a_second_at_most() -> None:
    async def story() -> None:
        for size, arrives in ((48, True), (9600, False)):
            line = Line()
            line.meter.write(bytes(size))
            began = asyncio.get_running_loop().time()
            await line.meter.close()
            assert asyncio.get_running_loop().time() - began <= 1.001
            await line.rest()
            assert (len(line.at_client.octets) == size) is arrives
            with pytest.raises(NotSentError):
                line.meter.write(b"more")

    in_virtual_time(story)


def test_a_plug_that_is_pulled_loses_what_was_on_the_line() -> None:
    async def story() -> None:
        line = Line()
        line.client.write(bytes(960))
        await asyncio.sleep(0.1)
        line.meter.hang_up()
        await line.rest()
        assert line.at_meter.heard == []
        assert len(line.at_client.ended) == 1

    in_virtual_time(story)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"noise": 1.5}, "from 0 to 1, not 1.5"),
        ({"noise_octets_max": 0}, "1 octet or more"),
        ({"gap_seconds": -1.0}, "0 s or longer"),
    ],
)
def test_a_line_that_cannot_be_is_refused(settings: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SimulatedLine(**settings)  # type: ignore[arg-type]
