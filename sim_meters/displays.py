"""What a meter shows when a class 1 token asks it to: one line for each test or value, as its display would.

The lines become the token's description, so a client can read them as attribute 4 of the Token gateway.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from sim_meters.meter_config import MeterConfig
from sim_meters.state import MeterState
from sim_meters.sts.tokens.clear_token import ClearToken
from sim_meters.sts.tokens.coding import FLAG_INDEX, ControlIndex, Flags
from sim_meters.sts.tokens.token_table import EXTENDED_READ

_Line = Callable[[MeterConfig, MeterState], str]


def _watts(limit: int | None) -> str:
    return "none" if limit is None else f"{limit} W"


# By the names of ``token_table.TESTS``. These meters measure nothing, so they say so.
_LINES: dict[str, _Line] = {
    "load-switch": lambda _config, state: f"load switch {state.switch.state.name.lower().replace('_', ' ')}",
    "display": lambda _config, _state: "display good",
    "cumulative-total": lambda _config, _state: "cumulative total not measured",
    "krn": lambda _config, state: f"KRN {state.machine.key.krn} KT {state.machine.key.kt:d}",
    "ti": lambda _config, state: f"TI {state.machine.key.ti:02d}",
    "token-reader": lambda _config, _state: "token reader good",
    "power-limit": lambda _config, state: f"power limit {_watts(state.power_limit_watts)}",
    "tamper": lambda _config, state: f"tamper {'yes' if state.is_tampered else 'no'}",
    "power": lambda _config, _state: "power not measured",
    "version": lambda _config, _state: f"simmeters {version('stsgate')}",
    "phase-unbalance-limit": lambda _config, state: f"phase unbalance limit {_watts(state.unbalance_limit_watts)}",
    "ea": lambda _config, state: f"EA {state.machine.key.decoder_key.ea:02d}",
    "kct": lambda _config, state: f"KCT {state.machine.sections_supported}",
    "sgc": lambda _config, state: f"SGC {state.machine.key.sgc:06d}",
    "ken": lambda _config, state: f"KEN {state.machine.key.ken}",
    "drn": lambda config, _state: f"DRN {config.pan.drn}",
}


def display(token: ClearToken, config: MeterConfig, state: MeterState) -> str:
    """The lines that an accepted class 1 token makes the meter show, joined by semicolons."""
    if token.kind is EXTENDED_READ:
        return _control_values(ControlIndex.index(token["control"]), state)
    coding = token.kind.value.coding
    assert isinstance(coding, Flags), "class 1 tokens carry tests"
    chosen = coding.chosen(token["control"])
    return "; ".join(_LINES[name](config, state) for name in chosen if name in _LINES)


def _control_values(index: int, state: MeterState) -> str:
    values = state.control_values
    if index != FLAG_INDEX:
        return f"index {index} = {values.get(index, 'not set')}"
    flags = [f"flag {place - FLAG_INDEX - 1} = {value}" for place, value in sorted(values.items()) if place > index]
    return "; ".join(flags) or "no flag set"
