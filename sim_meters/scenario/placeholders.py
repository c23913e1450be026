"""Placeholders in commands: ``{endpoint}``, ``{token:NAME}`` and the like, filled for one case."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sim_meters.scenario.bench import BenchMeter
from sim_meters.scenario.rules import METER_OPTIONS, PLACEHOLDER
from sim_meters.scenario.tokens import MadeToken


class Filler:
    """Knows the meters and tokens of a case."""

    def __init__(
        self, meters: Mapping[str, BenchMeter], meter: str, tokens: Mapping[str, MadeToken], folder: Path
    ) -> None:
        self._meters = meters
        self._meter = meter
        self._tokens = tokens
        self._folder = folder

    def arguments(self, command: Sequence[str]) -> list[str]:
        """``{meter}`` alone is several arguments; everything else stays as many as there were."""
        filled: list[str] = []
        for argument in command:
            match = PLACEHOLDER.fullmatch(argument)
            if match is not None and match[1] == METER_OPTIONS:
                meter = self._meters[match[2] or self._meter]
                filled += meter.plan.options(meter.endpoint)
            else:
                filled.append(self.text(argument))
        return filled

    def text(self, text: str) -> str:
        return PLACEHOLDER.sub(self._filled, text)

    def _filled(self, match: re.Match[str]) -> str:
        kind, name = match[1], match[2]
        if kind == "token":
            return self._tokens[name].token.digits
        if kind == "folder":
            return str(self._folder)
        meter = self._meters[name or self._meter]
        config = meter.plan.config
        return {"endpoint": str(meter.endpoint), "pan": config.pan.digits, "serial": config.device_name}[kind]
