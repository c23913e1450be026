"""A serial line with echo and noise, whose plug is pulled: the seed is in the test's name."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from random import Random

import pytest

from tests.wires.breakage import break_at, until_broken
from tests.wires.point import ALL_POINTS
from tests.wires.serial_wires import SERIAL_STRIKES, serial_stand
from transports.serial.simulated_line import SimulatedLine


@pytest.mark.parametrize("seed", range(50))
async def test_noise_and_a_pulled_plug_cost_no_money_and_no_truth(seed: int, tmp_path: Path) -> None:
    assert await struck_on_a_noisy_line(seed, tmp_path) == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(50, 550))
async def test_noise_and_a_pulled_plug_cost_no_money_and_no_truth_on_more_seeds(seed: int, tmp_path: Path) -> None:
    assert await struck_on_a_noisy_line(seed, tmp_path) == []


async def struck_on_a_noisy_line(seed: int, folder: Path) -> list[str]:
    chance = Random(seed)
    line = SimulatedLine(
        echo=chance.random() < 0.5, noise=chance.random(), noise_octets_max=chance.randint(1, 40), seed=seed
    )
    wire, strike, point = partial(serial_stand, line), chance.choice(SERIAL_STRIKES), chance.choice(ALL_POINTS)
    return await until_broken(lambda own: break_at(wire, strike, point, own), folder / "case")
