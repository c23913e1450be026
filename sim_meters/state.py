"""The meter's state, and the one function by which it changes: state and record in, next state out.

The same function runs when a token is booked and when a ledger is read at the start, so a meter that was restarted
cannot differ from one that was not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cosem_objects.disconnect_control import ControlState
from cosem_objects.token_gateway import DeliveryMethod
from sim_meters.meter_config import CONTROL_MODES, MeterConfig
from sim_meters.records import EmergencyTaken, StateRecord, Switched, Tampered, TokenEntry
from sim_meters.sts.machine.token_machine import TokenMachine
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tokens.clear_token import ClearToken
from sim_meters.sts.tokens.coding import ControlValue
from sim_meters.sts.tokens.key_change import NUMBER_OF_SECTION
from sim_meters.sts.tokens.token_table import CLEAR_TAMPER, EXTENDED_SET, MAXIMUM_POWER_LIMIT, PHASE_UNBALANCE_LIMIT


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
    emergency_owed_units: int = 0
    """Emergency credit that was taken and is not paid back."""
    power_limit_watts: int | None = None
    """The maximum power limit; ``None``: never set."""
    unbalance_limit_watts: int | None = None
    """The maximum phase power unbalance limit."""
    control_values: Mapping[int, int] = field(default_factory=dict)
    """What extended token sets stored, by index; with index 63, by 64 and the flag's index."""
    is_tampered: bool = False
    last_collection: TokenEntry | None = None
    """The last token of which a part was kept."""
    last: TokenEntry | None = None
    """The last token entered."""
    shown: TokenEntry | None = None
    """The one that the Token gateway shows; another one only after a scripted fault."""

    @property
    def credit_register(self) -> int:
        """What a ClearCredit takes away: the balance without emergency credit."""
        return self.balance_units - self.emergency_owed_units


def new_state(config: MeterConfig) -> MeterState:
    """As the meter leaves the factory: no credit, switch open (unless its mode knows no opening)."""
    switch = Switch(ControlState.CONNECTED) if config.control_mode == 0 else Switch()
    return MeterState(config.new_machine(), switch)


def after(state: MeterState, record: StateRecord, control_mode: int) -> MeterState:
    """The state after a record."""
    match record:
        case Switched():
            return replace(state, switch=_switch_ordered(state, record, control_mode))
        case Tampered():
            opened = state.switch if control_mode == 0 else replace(state.switch, state=ControlState.DISCONNECTED)
            return replace(state, is_tampered=True, switch=opened)
        case EmergencyTaken():
            taken = replace(
                state,
                balance_units=state.balance_units + record.units,
                emergency_owed_units=state.emergency_owed_units + record.units,
            )
            return _with_switch(taken, control_mode)
        case TokenEntry():
            entered = replace(_entered(state, record), last=record, shown=record if record.shown else state.shown)
            return _with_switch(entered, control_mode) if record.is_accepted else entered


def _entered(state: MeterState, entry: TokenEntry) -> MeterState:
    """What a token changed in the machine and in the registers."""
    machine, section = state.machine, entry.management
    if section is not None and section.kind in NUMBER_OF_SECTION:
        assert entry.result is not None, "a section is a token"
        machine = machine.with_section(section, entry.time, entry.result, entry.sections)
    if entry.is_accepted and entry.tid is not None:
        machine = machine.with_tid(entry.tid)
    result = TokenResult.FORMAT_ERROR if entry.result is None else entry.result
    is_keypad = entry.delivery is DeliveryMethod.MANUAL
    machine = machine.with_entry(result, entry.token_class, entry.time, is_keypad=is_keypad)
    if not entry.is_accepted:
        return replace(state, machine=machine)
    booked = replace(
        state,
        machine=machine,
        balance_units=state.balance_units + entry.balance_change,
        collected_units=state.collected_units + entry.collected,
        emergency_owed_units=state.emergency_owed_units - entry.repaid,
        last_collection=entry if entry.collected else state.last_collection,
    )
    return booked if entry.management is None else _managed(booked, entry.management)


def _managed(state: MeterState, token: ClearToken) -> MeterState:
    """What a class 2 token set. (What a ClearCredit took away is in the booking.)"""
    if token.kind is MAXIMUM_POWER_LIMIT:
        return replace(state, power_limit_watts=token.meaning(token.kind.value))
    if token.kind is PHASE_UNBALANCE_LIMIT:
        return replace(state, unbalance_limit_watts=token.meaning(token.kind.value))
    if token.kind is CLEAR_TAMPER:
        return replace(state, is_tampered=False)
    if token.kind is EXTENDED_SET:
        index, value = ControlValue.place_and_value(token["extended_value"])
        return replace(state, control_values={**state.control_values, index: value})
    return state


def _with_switch(state: MeterState, control_mode: int) -> MeterState:
    """As the balance has it; a meter that was tampered with stays open."""
    if state.is_tampered:
        return state
    return replace(state, switch=_switch_on_balance(state.switch, state.balance_units, control_mode))


def _switch_ordered(state: MeterState, order: Switched, control_mode: int) -> Switch:
    if control_mode == 0:
        return state.switch
    if not order.connect:
        return Switch(ControlState.DISCONNECTED, is_held=True)
    if state.switch.state is ControlState.CONNECTED:
        return state.switch
    if state.is_tampered:
        return Switch(ControlState.DISCONNECTED)
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
