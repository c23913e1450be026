"""Class 116, IEC 62055-41 attributes: the key that the meter works under, without the key."""

from __future__ import annotations

from cosem_objects import axdr, payment
from cosem_objects.payment import StsAttribute
from sim_meters.asked import Asked, InterfaceClass, constant
from sim_meters.sts.machine.token_machine import CARRIERS
from sim_meters.sts.tokens.key_change import MeterKey

_TOKEN_CARRIERS = axdr.array(*map(axdr.unsigned, CARRIERS))


def _key(asked: Asked) -> MeterKey:
    return asked.meter.state.machine.key


STS = InterfaceClass(
    payment.STS_CLASS_ID,
    0,
    readers={
        StsAttribute.METER_PAN: lambda asked: payment.meter_pan_to_data(asked.meter.config.pan.digits),
        StsAttribute.COMMODITY: lambda asked: axdr.visible_string(asked.meter.config.unit.commodity.value.upper()),
        StsAttribute.TOKEN_CARRIER_TYPES: constant(_TOKEN_CARRIERS),
        StsAttribute.ENCRYPTION_ALGORITHM: lambda asked: axdr.unsigned(_key(asked).decoder_key.ea),
        StsAttribute.SUPPLY_GROUP_CODE: lambda asked: axdr.double_long_unsigned(_key(asked).sgc),
        StsAttribute.TARIFF_INDEX: lambda asked: axdr.unsigned(_key(asked).ti),
        StsAttribute.KEY_REVISION_NUMBER: lambda asked: axdr.unsigned(_key(asked).krn),
        StsAttribute.KEY_TYPE: lambda asked: axdr.unsigned(_key(asked).kt),
        StsAttribute.KEY_EXPIRY_NUMBER: lambda asked: axdr.unsigned(_key(asked).ken),
        StsAttribute.NO_OF_KCT_SUPPORTED: lambda asked: axdr.unsigned(asked.meter.state.machine.sections_supported),
        StsAttribute.STS_CERTIFICATE_NO: constant(axdr.visible_string("")),  # not certified, and never will be
    },
    methods={},
)
