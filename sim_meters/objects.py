"""Which objects the meter has, how it answers for them, and the small classes: Data, Clock, Disconnect control.

A new class is an ``InterfaceClass`` with its readers and methods, and its place in ``objects_of``.
"""

from __future__ import annotations

from collections.abc import Mapping

from cosem_objects import association_ln, axdr, charge, disconnect_control, limiter, payment, push_setup, security_setup
from cosem_objects.axdr import Data, DataType
from cosem_objects.clock import CosemDateTime
from cosem_objects.disconnect_control import ControlState
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionRequestWithList,
    ActionResponse,
    ActionResponseWithList,
    ActionResult,
    AttributeDescriptor,
    DataAccessResult,
    GetRequest,
    GetRequestWithList,
    GetResponse,
    GetResponseWithList,
    Request,
    Response,
    SetRequest,
    SetRequestWithList,
    SetResponse,
    SetResponseWithList,
)
from cosem_objects.errors import SettingError
from cosem_objects.obis import ObisCode
from cosem_objects.profile import MeterProfile
from sim_meters.account_object import ACCOUNT
from sim_meters.asked import Asked, Association, InterfaceClass, constant, date_time
from sim_meters.association_object import ASSOCIATION
from sim_meters.charge_object import CHARGE
from sim_meters.credit_objects import CREDIT, EMERGENCY_CREDIT, EMERGENCY_CREDIT_OBIS
from sim_meters.limiter_object import LIMITER
from sim_meters.prepayment import PrepaymentMeter
from sim_meters.push_object import PUSH_SETUP
from sim_meters.security_object import SECURITY_SETUP
from sim_meters.sts_object import STS
from sim_meters.token_gateway_object import TOKEN_GATEWAY
from sim_meters.token_log import TOKEN_LOG

CLOCK_OBIS = ObisCode.parse("0-0:1.0.0.255")

_DEVICE_NAME = InterfaceClass(1, 0, {2: lambda asked: axdr.octet_string(asked.meter.config.device_name.encode())}, {})

# The last counter received under the unicast key; a client goes on with the next one.
_COUNTER = InterfaceClass(
    1, 0, {2: lambda asked: axdr.double_long_unsigned(max(asked.meter.counters.last_received, 0))}, {}
)


def _time_zone(asked: Asked) -> Data:
    deviation = CosemDateTime.from_datetime(asked.meter.now()).deviation or 0
    return axdr.long(deviation * asked.meter.config.profile.deviation_sign)


_CRYSTAL = 1
_CLOCK = InterfaceClass(
    8,
    0,
    {
        2: lambda asked: date_time(asked, asked.meter.now()),
        3: _time_zone,
        4: constant(axdr.unsigned(0)),  # status: all well
        5: lambda asked: date_time(asked, None),  # daylight saving begins ...
        6: lambda asked: date_time(asked, None),  # ... and ends: never
        7: constant(axdr.integer(0)),
        8: constant(axdr.boolean(False)),
        9: constant(axdr.enum(_CRYSTAL)),
    },
    {},
)


def _output_state(asked: Asked) -> Data:
    return axdr.boolean(asked.meter.state.switch.state is ControlState.CONNECTED)


def _order_switch(asked: Asked, parameters: Data | None, *, connect: bool) -> ActionResult:
    if parameters is None or parameters.type is not DataType.INTEGER:
        return ActionResult.TYPE_UNMATCHED
    if asked.meter.config.control_mode == 0:
        return ActionResult.READ_WRITE_DENIED
    asked.meter.order_switch(connect=connect)
    return ActionResult.SUCCESS


_DISCONNECT_CONTROL = InterfaceClass(
    disconnect_control.CLASS_ID,
    0,
    {
        disconnect_control.Attribute.OUTPUT_STATE: _output_state,
        disconnect_control.Attribute.CONTROL_STATE: lambda asked: axdr.enum(asked.meter.state.switch.state),
        disconnect_control.Attribute.CONTROL_MODE: lambda asked: axdr.enum(asked.meter.config.control_mode),
    },
    {
        disconnect_control.METHOD_REMOTE_DISCONNECT: lambda asked, data: _order_switch(asked, data, connect=False),
        disconnect_control.METHOD_REMOTE_RECONNECT: lambda asked, data: _order_switch(asked, data, connect=True),
    },
)


def objects_of(
    profile: MeterProfile, *, has_debt: bool = False, has_emergency: bool = False, has_limiter: bool = False
) -> dict[ObisCode, InterfaceClass]:
    """Every object of a meter of this model. Raises ``SettingError`` if two would stand in one place."""
    places: list[tuple[ObisCode | None, InterfaceClass]] = [
        (profile.device_name_obis, _DEVICE_NAME),
        (profile.counter_obis, _COUNTER),
        (CLOCK_OBIS, _CLOCK),
        (association_ln.CURRENT_OBIS, ASSOCIATION),
        (profile.disconnect_control_obis, _DISCONNECT_CONTROL),
        (limiter.DEFAULT_OBIS if has_limiter else None, LIMITER),
        (profile.account_obis, ACCOUNT),
        (payment.DEFAULT_CREDIT_OBIS if profile.account_obis is not None else None, CREDIT),
        (EMERGENCY_CREDIT_OBIS if has_emergency else None, EMERGENCY_CREDIT),
        (charge.DEFAULT_OBIS if has_debt else None, CHARGE),
        (profile.gateway_obis, TOKEN_GATEWAY),
        (profile.sts_obis, STS),
        (security_setup.DEFAULT_OBIS, SECURITY_SETUP),
        (push_setup.DEFAULT_OBIS, PUSH_SETUP),
        (profile.token_log_obis, TOKEN_LOG),
    ]
    if profile.association_obis != association_ln.CURRENT_OBIS:
        places.append((profile.association_obis, ASSOCIATION))
    objects: dict[ObisCode, InterfaceClass] = {}
    for obis, row in places:
        if obis is None:
            continue
        if obis in objects:
            raise SettingError(f"profile {profile.name}: two objects at {obis}")
        objects[obis] = row
    return objects


def public_objects(objects: Mapping[ObisCode, InterfaceClass]) -> frozenset[ObisCode]:
    """What anybody may read: name, counter, and the association itself."""
    return frozenset(obis for obis, row in objects.items() if row in (_DEVICE_NAME, _COUNTER, ASSOCIATION))


def answer(meter: PrepaymentMeter, association: Association, request: Request) -> Response:
    """What the objects say to a request. Raises ``LedgerError`` when a change could not be written down."""
    match request:
        case GetRequest():
            return GetResponse(_get(meter, association, request))
        case GetRequestWithList():
            each = (GetRequest(attribute, selection) for attribute, selection in request.attributes)
            return GetResponseWithList(tuple(_get(meter, association, one) for one in each))
        case SetRequest():
            return SetResponse(_set(association, request.attribute))
        case SetRequestWithList():
            return SetResponseWithList(tuple(_set(association, attribute) for attribute, _ in request.attributes))
        case ActionRequest():
            return ActionResponse(_act(meter, association, request))
        case ActionRequestWithList():
            # Where a method takes no parameters, a list has null-data.
            values = [None if value == axdr.NULL else value for value in request.values]
            orders = map(ActionRequest, request.methods, values)
            return ActionResponseWithList(tuple((_act(meter, association, one), None) for one in orders))


def _get(meter: PrepaymentMeter, association: Association, request: GetRequest) -> Data | DataAccessResult:
    row = _find(association, request.attribute.class_id, request.attribute.obis)
    if isinstance(row, DataAccessResult):
        return row
    if request.selection is not None:
        return _get_part(Asked(meter, association, request.attribute.obis), row, request.attribute, *request.selection)
    if request.attribute.attribute == 0:
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED  # not all attributes at once
    if request.attribute.attribute == 1:
        return axdr.octet_string(request.attribute.obis.octets)
    reader = row.readers.get(request.attribute.attribute)
    if reader is None:
        return DataAccessResult.OBJECT_UNDEFINED
    return reader(Asked(meter, association, request.attribute.obis))


def _get_part(
    asked: Asked, row: InterfaceClass, attribute: AttributeDescriptor, selector: int, parameters: Data
) -> Data | DataAccessResult:
    reader = row.selective_readers.get(attribute.attribute)
    return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED if reader is None else reader(asked, selector, parameters)


def _set(association: Association, attribute: AttributeDescriptor) -> DataAccessResult:
    """Nothing in this meter is set: money comes in tokens, and the rest is as it was made."""
    row = _find(association, attribute.class_id, attribute.obis)
    if isinstance(row, DataAccessResult):
        return row
    if attribute.attribute == 0:
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    is_known = attribute.attribute in {1, *row.readers}
    return DataAccessResult.READ_WRITE_DENIED if is_known else DataAccessResult.OBJECT_UNDEFINED


def _act(meter: PrepaymentMeter, association: Association, request: ActionRequest) -> ActionResult:
    row = _find(association, request.method.class_id, request.method.obis)
    if isinstance(row, DataAccessResult):
        return ActionResult(row.value)  # both lists share these numbers
    method = row.methods.get(request.method.method)
    if method is None:
        return ActionResult.OBJECT_UNDEFINED
    return method(Asked(meter, association, request.method.obis), request.data)


def _find(association: Association, class_id: int, obis: ObisCode) -> InterfaceClass | DataAccessResult:
    row = association.objects.get(obis)
    if row is None:
        return DataAccessResult.OBJECT_UNDEFINED
    if obis not in association.visible:
        return DataAccessResult.READ_WRITE_DENIED
    return row if row.class_id == class_id else DataAccessResult.OBJECT_CLASS_INCONSISTENT
