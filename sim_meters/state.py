"""The meter's state, and the one function by which it changes: state and record in, next state out.

The same function runs when a token is booked and when a ledger is read at the start, so a meter that was restarted
cannot differ from one that was not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cosem_objects.disconnect_control import ControlState
from sim_meters.meter_config import CONTROL_MODES, MeterConfig
from sim_meters.records import Switched, TokenEntry
from sim_meters.sts.machine import TokenMachine


@dataclass(frozen=True, slots=True)
class Switch:
    """The load switch. A new meter's is open: it has no credit yet, and the first token closes it."""

    state: ControlState = ControlState.DISCONNECTED
    is_held: bool = False
    """Opened by a client's order: then credit alone does not close it."""


@dataclass(frozen=True, slots=True)
class MeterState:
    """All that the ledger's records add up to."""

    machine: TokenMachine
    switch: Switch
    balance_units: int = 0
    collected_units: int = 0
    """What was kept of all tokens to pay the debt back."""
    last_collection: TokenEntry | None = None
    """The last token of which a part was kept."""
    last: TokenEntry | None = None
    """The last token entered."""
    shown: TokenEntry | None = None
    """The one that the Token gateway shows; another one only after a scripted fault."""


def new_state(config: MeterConfig) -> MeterState:
    """As the meter leaves the factory: no credit, switch open (unless its mode knows no opening)."""
    switch = Switch(ControlState.CONNECTED) if config.control_mode == 0 else Switch()
    return MeterState(config.new_machine(), switch)


def after(state: MeterState, record: TokenEntry | Switched, control_mode: int) -> MeterState:
    """The state after a record."""
    if isinstance(record, Switched):
        return replace(state, switch=_switch_ordered(state, record, control_mode))
    seen = replace(state, last=record, shown=record if record.shown else state.shown)
    if not record.is_accepted:
        return seen
    assert record.tid is not None
    assert record.units is not None
    balance_units = state.balance_units + record.units - record.collected
    return replace(
        seen,
        machine=replace(state.machine, tids=state.machine.tids.with_tid(record.tid)),
        balance_units=balance_units,
        collected_units=state.collected_units + record.collected,
        last_collection=record if record.collected else state.last_collection,
        switch=_switch_on_balance(state.switch, balance_units, control_mode),
    )


def _switch_ordered(state: MeterState, order: Switched, control_mode: int) -> Switch:
    if control_mode == 0:
        return state.switch
    if not order.connect:
        return Switch(ControlState.DISCONNECTED, is_held=True)
    if state.switch.state is ControlState.CONNECTED:
        return state.switch
    # Allowed again; whether it closes is for the credit to say.
    return _switch_on_balance(Switch(ControlState.READY_FOR_RECONNECTION), state.balance_units, control_mode)


def _switch_on_balance(switch: Switch, balance_units: int, control_mode: int) -> Switch:
    if control_mode == 0 or switch.is_held:
        return switch
    if balance_units > 0:
        is_closed = switch.state is ControlState.CONNECTED
        return switch if is_closed else Switch(CONTROL_MODES[control_mode])
    if switch.state is ControlState.CONNECTED:
        # The meter's own opening leads here, so that credit, and not a new order, closes it (class 70, transition g).
        return Switch(ControlState.READY_FOR_RECONNECTION)
    return switch
