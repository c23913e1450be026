"""What ``simmeters run`` says once its meters listen: lines for people and for programs that wait for them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from sim_meters.fleet.fleet import Fleet
from sim_meters.fleet.group import MeterGroup
from sim_meters.fleet.plan import Member
from sim_meters.notices import LAB

_LAB_KEY = "The STS key is made of the vending key of the published test vectors, which everybody has."


def announce_meters(fleet: Fleet, *, has_lab_key: bool) -> None:
    """Each meter; and where it listens, after the last one there."""
    print(f"{LAB}. {_LAB_KEY}" if has_lab_key else LAB)
    for group in fleet.plan.groups:
        for number in range(group.count):
            print(_meter_line(fleet, group, number))
            is_last = number + 1 == group.count or (number + 1) % group.share == 0
            if is_last:
                print(_place_line(fleet, group, group.place_of(number)))
    sys.stdout.flush()


def announce_fleet(fleet: Fleet, seconds: float) -> None:
    """Each group with its places, and how much that was."""
    print(LAB)
    for group in fleet.plan.groups:
        print(_group_line(group))
        for place in range(group.places):
            print(_place_line(fleet, group, place))
    memory = memory_octets() / 1e6
    plan = fleet.plan
    print(
        f"fleet of {plan.count} meters on {plan.places} wires, seed {plan.seed}: up in {seconds:.2f} s, {memory:.0f} MB"
    )
    sys.stdout.flush()


def announce_as_json(fleet: Fleet, seconds: float) -> None:
    """The same as JSON lines: one for each place, and one when all is ready."""
    plan = fleet.plan
    for group in plan.groups:
        for place in range(group.places):
            first = place * group.share
            line = {
                "event": "calling" if group.calls_in else "listening",
                "url": fleet.url_at(group, place),
                "group": group.name,
                "first": group.name_of(first),
                "meters": min(group.share, group.count - first),
            }
            print(json.dumps(line))
    ready = {
        "event": "ready",
        "meters": plan.count,
        "wires": plan.places,
        "seed": plan.seed,
        "seconds": round(seconds, 3),
        "memory_octets": memory_octets(),
    }
    print(json.dumps(ready), flush=True)


def memory_octets() -> int:
    """Of this process, resident; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _meter_line(fleet: Fleet, group: MeterGroup, number: int) -> str:
    """With its present key, which a ledger may have changed since the factory."""
    meter = fleet.meters.meter(Member(group, number))
    config, key = meter.config, meter.state.machine.key
    title = config.security.meter_system_title.hex().upper()
    behind = "" if config.behind is None else f", behind {config.behind}"
    on_the_line = f", physical {config.physical}" if group.share > 1 else ""
    identity = f"PAN {config.pan.digits}, SGC {key.sgc:06d}, KRN {key.krn}, system title {title}"
    return f"meter {config.device_name}: {identity}{behind}{on_the_line}"


def _place_line(fleet: Fleet, group: MeterGroup, place: int) -> str:
    return f"{'calling' if group.calls_in else 'listening'} {fleet.url_at(group, place)}"


def _group_line(group: MeterGroup) -> str:
    last = group.count - 1
    names, pans = group.name_of(0), group.pan_of(0).digits
    if last:
        names, pans = f"{names} to {group.name_of(last)}", f"{pans} to {group.pan_of(last).digits}"
    apart = ""
    if group.share > 1:
        first, final = (group.config(number) for number in (0, min(group.share, group.count) - 1))
        what = "physical" if group.speaks_hdlc else "server SAP"
        low, high = (one.physical if group.speaks_hdlc else one.server_sap for one in (first, final))
        apart = f", {what} {low} to {high} at each place"
    return f"group {group.name}: {group.count} meters, {names}, PAN {pans}{apart}"
