"""How meters, their ledgers and their faults are shown. Tokens only with their last four digits, keys never."""

from __future__ import annotations

from collections.abc import Sequence

from cosem_objects.token_gateway import TokenStatus
from sim_meters.behaviour import Behaviour
from sim_meters.clock import Clock, VirtualClock
from sim_meters.fleet.fleet import Fleet
from sim_meters.fleet.plan import Member
from sim_meters.meter import SimMeter
from sim_meters.notices import LAB
from sim_meters.records import EmergencyTaken, StateRecord, Switched, Tampered, TokenEntry


def fleet_view(fleet: Fleet) -> dict[str, object]:
    """All meters in a few lines."""
    return {
        "lab": LAB,
        "seed": fleet.plan.seed,
        "meters": {
            "total": fleet.plan.count,
            "made": len(fleet.meters.made),
            "groups": [{"name": group.name, "count": group.count} for group in fleet.plan.groups],
        },
        "clock": clock_view(fleet.meters.clock),
    }


def clock_view(clock: Clock) -> dict[str, object]:
    return {"is_virtual": isinstance(clock, VirtualClock), "now": clock.now().isoformat()}


def member_view(fleet: Fleet, member: Member) -> dict[str, object]:
    """What is known of a meter before it is made."""
    _, device_name, pan = member.group.names_of(member.number)
    return {
        "name": member.name,
        "device_name": device_name,
        "pan": pan,
        "group": member.group.name,
        "url": fleet.url_of(member),
    }


def meter_view(meter: SimMeter) -> dict[str, object]:
    """How a meter is."""
    config, state, counters = meter.config, meter.state, meter.counters
    shown = meter.shown
    locked_until = meter.locked_until
    return {
        "system_title": config.security.meter_system_title.hex().upper(),
        "client_sap": config.client_sap,
        "server_sap": config.server_sap,
        "physical": config.physical,
        "online": meter.is_online,
        "clock": meter.now().isoformat(),
        "balance": config.unit.words(state.balance_units),
        "emergency_owed": config.unit.words(state.emergency_owed_units),
        "switch": state.switch.state.name.lower().replace("_", " "),
        "tampered": state.is_tampered,
        "limits": {"power_watts": state.power_limit_watts, "phase_unbalance_watts": state.unbalance_limit_watts},
        "control_values": {str(index): value for index, value in sorted(state.control_values.items())},
        "sts": _machine_view(meter),
        "pending": meter.pending is not None,
        "locked_until": None if locked_until is None else locked_until.isoformat(),
        "shown": None if shown is None else _token_view(shown),
        "tokens": len(meter.ledger.entries),
        "associations": meter.associations,
        "counters": {"next_own": counters.next_own, "last_received": max(counters.last_received, 0)},
        **behaviour_view(meter.behaviour),
    }


def behaviour_view(behaviour: Behaviour) -> dict[str, object]:
    return {
        "faults": [{**order.to_mapping(), "left": left} for order, left in behaviour.active()],
        "strikes": {str(fault): times for fault, times in behaviour.strikes.items()},
    }


def ledger_view(records: Sequence[StateRecord], first: int, limit: int) -> dict[str, object]:
    """Records from number ``first`` on, counted from 1."""
    page = records[first - 1 : first - 1 + limit]
    after = first - 1 + len(page)
    return {
        "records": [{"number": number, **_record_view(record)} for number, record in enumerate(page, first)],
        "next": after + 1 if after < len(records) else None,
    }


def status_view(status: TokenStatus) -> dict[str, object]:
    return {"code": status.code, "words": status.words, "data_value": status.data_value}


def _machine_view(meter: SimMeter) -> dict[str, object]:
    """The token machine; of its key all but the key."""
    machine, now = meter.state.machine, meter.now()
    key, tids, lock_out = machine.key, machine.tids.tids, machine.lock_out
    until = None if lock_out.until is None or now >= lock_out.until else lock_out.until.isoformat()
    return {
        "sgc": f"{key.sgc:06d}",
        "krn": key.krn,
        "kt": int(key.kt),
        "ti": f"{key.ti:02d}",
        "ken": key.ken,
        "ea": f"{key.decoder_key.ea:02d}",
        "tids": {"count": len(tids), "lowest": min(tids, default=None)},
        "sections_held": list(machine.sections_held(now)),
        "lock_out": {"wrong_entries": lock_out.failures, "until": until},
    }


def _record_view(record: StateRecord) -> dict[str, object]:
    match record:
        case Switched():
            return {"kind": "switch", "connect": record.connect}
        case EmergencyTaken():
            return {"kind": "emergency-credit", "units": record.units}
        case Tampered():
            return {"kind": "tamper"}
        case TokenEntry():
            return {"kind": "token", **_token_view(record)}


def _token_view(entry: TokenEntry) -> dict[str, object]:
    return {
        "token": entry.masked or None,
        "time": entry.time.isoformat(),
        "delivery": entry.delivery.name.lower(),
        "status": status_view(entry.status),
        "result": None if entry.result is None else entry.result.name,
        "description": entry.description,
        "tid": entry.tid,
        "units": entry.units,
        "collected": entry.collected,
        "repaid": entry.repaid,
        "shown": entry.shown,
    }
