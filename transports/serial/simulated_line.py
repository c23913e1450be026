"""SimulatedLine: what a line without a wire does to octets, beyond its speed. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SimulatedLine:
    """How bad a pseudo-terminal is, on the meter's side. Raises ``ValueError`` for what cannot be."""

    echo: bool = False
    """The client hears what it says itself, as on two-wire RS-485 and under optical heads."""
    noise: float = 0.0
    """Probability, from 0 to 1, that some random octets stand before what a meter says."""
    noise_octets_max: int = 8
    gap_seconds: float = 0.0
    """Pause between groups of octets inside a frame; a group is what fits into 5 ms, at least one octet."""
    seed: int = 0
    """Of all chance on the line."""

    def __post_init__(self) -> None:
        if not 0 <= self.noise <= 1:
            raise ValueError(f"noise happens with a probability from 0 to 1, not {self.noise}")
        if self.noise_octets_max < 1:
            raise ValueError(f"noise has 1 octet or more, not {self.noise_octets_max}")
        if self.gap_seconds < 0:
            raise ValueError(f"the gap is 0 s or longer, not {self.gap_seconds}")


PERFECT_LINE = SimulatedLine()
