"""Class 71, Limiter: what a meter does when a value stays above or below a threshold. Here: the maximum power."""

from __future__ import annotations

from enum import IntEnum

from cosem_objects.obis import ObisCode

CLASS_ID = 71
DEFAULT_OBIS = ObisCode.parse("0-0:17.0.0.255")


class Attribute(IntEnum):
    LOGICAL_NAME = 1
    MONITORED_VALUE = 2
    THRESHOLD_ACTIVE = 3
    THRESHOLD_NORMAL = 4
    THRESHOLD_EMERGENCY = 5
    MIN_OVER_THRESHOLD_DURATION = 6
    MIN_UNDER_THRESHOLD_DURATION = 7
    EMERGENCY_PROFILE = 8
    EMERGENCY_PROFILE_GROUP_ID_LIST = 9
    EMERGENCY_PROFILE_ACTIVE = 10
    ACTIONS = 11
