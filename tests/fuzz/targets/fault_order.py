"""Orders of faults: the text of the command line, and the mapping of fleet files, scenarios and HTTP."""

from __future__ import annotations

import json

from cosem_objects.errors import SettingError
from sim_meters.fault_order import FaultOrder
from tests.fuzz.properties import assert_harmless

SIZE_MAX = 300


def seeds() -> list[bytes]:
    written = (
        "mute",
        "stale-status:3",
        "delay=2.5:10%@readback",
        "clock-step=-3600:1@read",
        '{"fault": "mute", "count": 3, "phase": "read", "skip": 1}',
        '{"fault": "delay", "value": 1.5, "percent": 0.5, "meter": "SIM*9", "group": "kiosk", "numbers": "1-20"}',
        '{"fault": "hang-up", "begin": "2026-11-21T12:00:00Z", "end": "2026-11-21T13:00:00+01:00"}',
        '{"fault": "mute", "numbers": 7, "often": null}',
    )
    return [text.encode() for text in written]


def one_input(octets: bytes) -> None:
    text = octets.decode("utf-8", "surrogateescape")
    try:
        order = _read(text)
    except SettingError as error:
        assert_harmless(error)
        return
    if order is not None:
        assert FaultOrder.parse_mapping(order.to_mapping()) == order


def _read(text: str) -> FaultOrder | None:
    """``None``: JSON, but no object, or none at all."""
    if not text.startswith("{"):
        return FaultOrder.parse(text)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return FaultOrder.parse_mapping(value) if isinstance(value, dict) else None
