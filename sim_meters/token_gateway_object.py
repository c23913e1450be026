"""Class 115, Token gateway: the last token, and how one is entered."""

from __future__ import annotations

from cosem_objects import axdr, token_gateway
from cosem_objects.axdr import Data, DataType
from cosem_objects.dlms.apdu import ActionResult
from cosem_objects.errors import TokenFormatError
from cosem_objects.profile import TokenReadback
from cosem_objects.token_gateway import DeliveryMethod, StatusCode, TokenEncoding, TokenStatus
from sim_meters.asked import Asked, InterfaceClass, date_time


def _token(asked: Asked) -> Data:
    shown, profile = asked.meter.shown, asked.meter.config.profile
    if shown is None or profile.token_readback is TokenReadback.HIDDEN:
        return axdr.octet_string(b"")
    if profile.token_readback is TokenReadback.SAME:
        return axdr.octet_string(shown.octets)
    try:
        token = profile.token_encoding.from_octets(shown.octets)
    except TokenFormatError:
        return axdr.octet_string(shown.octets)
    return axdr.octet_string(TokenEncoding(profile.token_readback.value).to_octets(token))


def _token_time(asked: Asked) -> Data:
    shown = asked.meter.shown
    return date_time(asked, None if shown is None else shown.time)


def _token_description(asked: Asked) -> Data:
    shown = asked.meter.shown
    if shown is None or not shown.description:
        return axdr.array()
    return axdr.array(axdr.octet_string(shown.description.encode()))


def _token_delivery_method(asked: Asked) -> Data:
    shown = asked.meter.shown
    return axdr.enum(DeliveryMethod.REMOTE if shown is None else shown.delivery)


def _token_status(asked: Asked) -> Data:
    shown = asked.meter.shown
    if shown is None:
        return TokenStatus(StatusCode.FORMAT_OK).to_data()  # 0 is also what a meter shows that never saw a token
    own_codes = {standard: own for own, standard in asked.meter.config.profile.status_map.items()}
    return TokenStatus(own_codes.get(shown.status.code, shown.status.code), shown.status.data_value).to_data()


def _enter(asked: Asked, parameters: Data | None) -> ActionResult:
    if parameters is None or parameters.type is not DataType.OCTET_STRING:
        return ActionResult.TYPE_UNMATCHED  # as a real meter answered (Gurux forum, thread 18934)
    return asked.meter.enter(parameters.octets)


TOKEN_GATEWAY = InterfaceClass(
    token_gateway.CLASS_ID,
    0,
    readers={
        token_gateway.Attribute.TOKEN: _token,
        token_gateway.Attribute.TOKEN_TIME: _token_time,
        token_gateway.Attribute.TOKEN_DESCRIPTION: _token_description,
        token_gateway.Attribute.TOKEN_DELIVERY_METHOD: _token_delivery_method,
        token_gateway.Attribute.TOKEN_STATUS: _token_status,
    },
    methods={token_gateway.METHOD_ENTER: _enter},
)
