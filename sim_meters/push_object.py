"""Class 40, Push setup: what this meter sends unasked, and the message that it makes of it.

A client that invokes ``push`` gets the message on the connection that it has open, after the answer. By itself a
meter sends it only if its configuration says so (``PushTo``), whenever a token was executed or rejected.
"""

from __future__ import annotations

from collections.abc import Mapping

from cosem_objects import axdr, payment, push_setup, token_gateway
from cosem_objects.axdr import Data, DataType
from cosem_objects.dlms.apdu import (
    ActionRequest,
    ActionResponse,
    ActionResult,
    DataNotification,
    Request,
    Response,
)
from cosem_objects.dlms.security import Cipher, SecurityLayer
from cosem_objects.dlms.settings import Ciphering
from cosem_objects.obis import ObisCode
from cosem_objects.profile import MeterProfile
from cosem_objects.push_setup import (
    METHOD_PUSH,
    Attribute,
    PushObject,
    SendDestinationAndMethod,
    TransportService,
    push_object_list_to_data,
)
from sim_meters.asked import Asked, Association, InterfaceClass, constant, date_time
from sim_meters.prepayment import PrepaymentMeter


def pushed_objects(profile: MeterProfile) -> tuple[PushObject, ...]:
    """The last token with its time and status, and the balance, as far as a meter of this model has them."""
    gateway = [
        PushObject(token_gateway.CLASS_ID, profile.gateway_obis, attribute)
        for attribute in (
            token_gateway.Attribute.TOKEN,
            token_gateway.Attribute.TOKEN_TIME,
            token_gateway.Attribute.TOKEN_STATUS,
        )
    ]
    if profile.account_obis is None:
        return tuple(gateway)
    balance = payment.AccountAttribute.AVAILABLE_CREDIT
    return (*gateway, PushObject(payment.ACCOUNT_CLASS_ID, profile.account_obis, balance))


def push_body(meter: PrepaymentMeter, association: Association, pushed: tuple[PushObject, ...]) -> Data:
    """The values of ``pushed`` in their order, and nothing else: as meters send them. Null-data for what this client
    may not read."""
    return axdr.structure(*(_value(meter, association, one) for one in pushed))


def is_pushed(request: Request, response: Response) -> bool:
    """Whether a client has just invoked ``push``, and was told yes."""
    return (
        isinstance(request, ActionRequest)
        and (request.method.class_id, request.method.method) == (push_setup.CLASS_ID, METHOD_PUSH)
        and isinstance(response, ActionResponse)
        and response.result == ActionResult.SUCCESS
    )


def push_notification(meter: PrepaymentMeter, association: Association, long_invoke: int) -> DataNotification:
    """The message that ``push`` sends."""
    body = push_body(meter, association, pushed_objects(meter.config.profile))
    time = date_time(Asked(meter, association, push_setup.DEFAULT_OBIS), meter.now()).octets
    return DataNotification(long_invoke, time, body)


def push_message(meter: PrepaymentMeter, association: Association, long_invoke: int) -> bytes:
    """The same message outside of any association: in clear, or general-glo with the meter's system title, under its
    present key. Raises ``LocalProtocolError`` if no counter is left."""
    plain, security = push_notification(meter, association, long_invoke).encode(), association.security
    if security.ciphering is Ciphering.NONE:
        return plain
    title = security.meter_system_title
    return SecurityLayer(security, Cipher(security.ek, security.ak), meter.counters, title, b"").protect(plain)


def _value(meter: PrepaymentMeter, association: Association, one: PushObject) -> Data:
    objects: Mapping[ObisCode, InterfaceClass] = association.objects
    row = objects.get(one.logical_name)
    if row is None or one.logical_name not in association.visible:
        return axdr.NULL
    reader = row.readers.get(one.attribute_index)
    value = None if reader is None else reader(Asked(meter, association, one.logical_name))
    return value if isinstance(value, Data) else axdr.NULL


def _push(_asked: Asked, parameters: Data | None) -> ActionResult:
    """The conversation sends the message once this is answered."""
    is_zero = parameters is not None and parameters.type is DataType.INTEGER
    return ActionResult.SUCCESS if is_zero else ActionResult.TYPE_UNMATCHED


def _object_list(asked: Asked) -> Data:
    return push_object_list_to_data(pushed_objects(asked.meter.config.profile))


# Nobody is called: the destination is empty.
_DESTINATION = SendDestinationAndMethod(TransportService.TCP, b"")

PUSH_SETUP = InterfaceClass(
    push_setup.CLASS_ID,
    0,
    readers={
        Attribute.PUSH_OBJECT_LIST: _object_list,
        Attribute.SEND_DESTINATION_AND_METHOD: constant(_DESTINATION.to_data()),
        Attribute.COMMUNICATION_WINDOW: constant(axdr.array()),  # at any time
        Attribute.RANDOMISATION_START_INTERVAL: constant(axdr.long_unsigned(0)),
        Attribute.NUMBER_OF_RETRIES: constant(axdr.unsigned(0)),
        Attribute.REPETITION_DELAY: constant(axdr.long_unsigned(0)),
    },
    methods={METHOD_PUSH: _push},
)
