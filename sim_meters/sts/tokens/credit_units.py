"""Units that people name when they buy, and which credit token they mean."""

from __future__ import annotations

from cosem_objects.errors import SettingError
from sim_meters.sts.tokens.token_kind import Commodity, TokenKind
from sim_meters.sts.tokens.token_table import credit_kind

MEASURED_BY = {
    "kWh": (Commodity.ELECTRICITY,),
    "m3": (Commodity.WATER, Commodity.GAS),
    "min": (Commodity.TIME,),
}
"""What each unit can mean, the usual first. Money can mean any commodity."""


def parse_unit(text: str) -> str:
    """A unit as it is spelt here, or an ISO 4217 currency code. Raises ``SettingError``."""
    for unit in MEASURED_BY:
        if text.lower() == unit.lower():
            return unit
    if len(text) == 3 and text.isascii() and text.isalpha() and text.isupper():
        return text
    raise SettingError(f"unit: expected kWh, m3, min or a currency code of three capitals; got {text!r}")


def kind_in(unit: str, commodity: str | None, usual: Commodity) -> TokenKind:
    """The credit token for a unit of ``parse_unit``. ``usual``: the commodity if none is said and the unit can mean
    it. Raises ``SettingError`` for a commodity that is not measured so."""
    possible = MEASURED_BY.get(unit, tuple(Commodity))
    default = usual if usual in possible else possible[0]
    chosen = default if commodity is None else Commodity(commodity)
    if chosen not in possible:
        raise SettingError(f"commodity: {unit} does not measure {chosen.value}")
    return credit_kind(chosen, currency=unit not in MEASURED_BY)
