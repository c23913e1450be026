"""Why a token cannot be sent, or its meter not read: errors on the way, in the closed list of reasons."""

from __future__ import annotations

from cosem_objects.dlms.refusals import AssociationRefused, ServiceRefused
from cosem_objects.dlms.security import WrongSystemTitleError
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from cosem_objects.payment import Currency, CurrencyUnit
from cosem_objects.profile import MeterProfile
from gateway.readback import GatewayUnreadable
from gateway.session import CounterReset, CounterUnreadable, ExchangeStopped, WrongKeys
from gateway.verdict import COUNTER_RESET, WRONG_METER, Obstacle
from transports.channel import ChannelClosed, ChannelGarbled, ChannelTimeout, NotSentError
from transports.endpoint import Endpoint, EndpointError


class WrongMeter(RemoteProtocolError):
    """Serial or MeterPAN are not those of the registry."""


def obstacle_of(error: Exception, endpoint: Endpoint) -> Obstacle:
    """What an error on the way to this endpoint means, in the closed list of reasons."""
    for kind, reason, is_configuration in _OBSTACLES:
        if isinstance(error, kind):
            return Obstacle(reason, str(error) + _ADVICE.get((reason, endpoint.scheme), ""), is_configuration)
    if isinstance(error, AssociationRefused):
        return Obstacle("busy" if error.transient else "config", str(error), not error.transient)
    if isinstance(error, GatewayUnreadable):
        return Obstacle("busy" if error.is_temporary else "config", str(error), not error.is_temporary)
    return Obstacle("protocol", str(error))


_NO_ANSWER, _HUNG_UP = "; if it never answers, check", "; if it always does so at once, check"
_ADVICE = {
    ("no-answer", "tcp"): f"{_NO_ANSWER} server SAP, and the wire (tcp or hdlc+tcp)",
    ("no-answer", "tcps"): f"{_NO_ANSWER} the server SAP",
    ("no-answer", "hdlc+tcp"): f"{_NO_ANSWER} server SAP, physical address, and the wire (tcp or hdlc+tcp)",
    ("no-answer", "serial"): f"{_NO_ANSWER} baud, mode, physical address and server SAP",
    ("no-answer", "pty"): f"{_NO_ANSWER} baud, mode, physical address and server SAP",
    ("no-answer", "mqtt"): f"{_NO_ANSWER} server SAP, version of MQTT (5 or 3.1.1) and payload (wrapper or hdlc)",
    ("no-answer", "mqtts"): f"{_NO_ANSWER} server SAP, version of MQTT (5 or 3.1.1) and payload (wrapper or hdlc)",
    ("no-answer", "inbound"): f"{_NO_ANSWER} server SAP, and what is on its connection (wrapper or HDLC)",
    ("hung-up", "tcp"): f"{_HUNG_UP} the wire (tcp, tcps or hdlc+tcp)",
    ("hung-up", "hdlc+tcp"): f"{_HUNG_UP} the wire (tcp or hdlc+tcp)",
}
"""By reason and scheme."""
_OBSTACLES: tuple[tuple[type[Exception], str, bool], ...] = (
    (NotSentError, "offline", False),
    (ExchangeStopped, "config", True),
    (ChannelTimeout, "no-answer", False),
    (ChannelClosed, "hung-up", False),
    (ChannelGarbled, "garbled", False),
    (WrongSystemTitleError, WRONG_METER, False),
    (WrongMeter, WRONG_METER, False),
    (CounterReset, COUNTER_RESET, True),
    (WrongKeys, "config", True),
    (CounterUnreadable, "config", True),
    (LocalProtocolError, "config", True),
    (EndpointError, "config", True),
    (ServiceRefused, "refused", False),
)


def unit_misfit(unit: str, currency: Currency, profile: MeterProfile) -> Obstacle | None:
    """Why an amount in ``unit`` cannot be meant for this account, if so."""
    kind = _UNIT_KINDS.get(unit.casefold(), CurrencyUnit.MONETARY)
    shown = profile.unit_aliases.get(currency.name, currency.name)
    if kind is currency.unit and (not shown or shown.casefold() == unit.casefold()):
        return None
    name = currency.name or _KIND_WORDS[currency.unit]
    return Obstacle("currency", f"the amount is in {unit}, the meter's account in {name}", is_configuration=True)


_UNIT_KINDS = {"kwh": CurrencyUnit.CONSUMPTION, "m3": CurrencyUnit.CONSUMPTION, "min": CurrencyUnit.TIME}
_KIND_WORDS = {
    CurrencyUnit.TIME: "time",
    CurrencyUnit.CONSUMPTION: "consumption",
    CurrencyUnit.MONETARY: "money",
}
