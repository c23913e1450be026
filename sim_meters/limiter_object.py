"""Class 71, Limiter: the maximum power limit, which a SetMaximumPowerLimit token sets. Only electricity meters have it.

These meters measure no power, so the Limiter never acts; it shows which limit is in force.
"""

from __future__ import annotations

from cosem_objects import axdr, limiter
from cosem_objects.axdr import Data
from cosem_objects.clock import CosemDateTime
from cosem_objects.limiter import Attribute
from cosem_objects.obis import ObisCode
from sim_meters.asked import Asked, InterfaceClass, constant

NO_LIMIT = 0xFFFFFFFF
"""guess: what the threshold shows before a limit is set; the class knows no way to say that there is none."""
_REGISTER_CLASS, _VALUE = 3, 2
_ACTIVE_POWER = ObisCode.parse("1-0:1.7.0.255")
"""Active power, import, in watts. These meters do not have the register."""
_NO_DURATION = constant(axdr.double_long_unsigned(0))
_NO_SCRIPT = axdr.structure(axdr.octet_string(bytes(6)), axdr.long_unsigned(0))


def _limit(asked: Asked) -> Data:
    watts = asked.meter.state.power_limit_watts
    return axdr.double_long_unsigned(NO_LIMIT if watts is None else watts)


LIMITER = InterfaceClass(
    limiter.CLASS_ID,
    0,
    readers={
        Attribute.MONITORED_VALUE: constant(
            axdr.structure(
                axdr.long_unsigned(_REGISTER_CLASS), axdr.octet_string(_ACTIVE_POWER.octets), axdr.integer(_VALUE)
            )
        ),
        Attribute.THRESHOLD_ACTIVE: _limit,
        Attribute.THRESHOLD_NORMAL: _limit,
        Attribute.THRESHOLD_EMERGENCY: constant(axdr.double_long_unsigned(NO_LIMIT)),
        Attribute.MIN_OVER_THRESHOLD_DURATION: _NO_DURATION,
        Attribute.MIN_UNDER_THRESHOLD_DURATION: _NO_DURATION,
        Attribute.EMERGENCY_PROFILE: constant(
            axdr.structure(
                axdr.long_unsigned(0), axdr.octet_string(CosemDateTime().to_octets()), axdr.double_long_unsigned(0)
            )
        ),
        Attribute.EMERGENCY_PROFILE_GROUP_ID_LIST: constant(axdr.array()),
        Attribute.EMERGENCY_PROFILE_ACTIVE: constant(axdr.boolean(False)),
        Attribute.ACTIONS: constant(axdr.structure(_NO_SCRIPT, _NO_SCRIPT)),
    },
    methods={},
)
