"""What the attributes of Account and Charge say (classes 111 and 113), for ``report_sections``. Pure."""

from __future__ import annotations

from decimal import Decimal

from cosem_objects import charge
from cosem_objects.axdr import Data
from cosem_objects.charge import UnitCharge
from cosem_objects.dlms.describe import Place
from cosem_objects.dlms.describe.node import Json
from cosem_objects.interface_classes import enum_words
from cosem_objects.obis import ObisCode
from cosem_objects.payment import Currency
from gateway.reading.report_values import Said, Surroundings, flag_names, said_flags, said_name


def mode_and_status(data: Data, _around: Surroundings) -> Said:
    said = [
        said_name(enum_words(111, 2, (place,), element.integer) or str(element.integer))
        for place, element in enumerate(data.structure(2))
    ]
    names: dict[str, Json] = {"payment_mode": said[0].json, "account_status": said[1].json}
    return Said(", ".join(one.words for one in said), names)


def currency(data: Data, _around: Surroundings) -> Said:
    meant = Currency.from_data(data)
    unit = meant.unit.name.lower()
    words = f"{meant.name or '(no name)'}, {unit}, in steps of {Decimal(1).scaleb(meant.scale):f}"
    return Said(words, {"name": meant.name, "scale": meant.scale, "unit": unit})


def charges_paid(data: Data, _around: Surroundings) -> Said:
    rows: list[Json] = []
    words = []
    for element in data.elements:
        credit, charged, when = element.structure(3)
        names = [str(ObisCode.from_octets(one.octets)) for one in (credit, charged)]
        flags = said_flags(flag_names(when.bits, Place(111, 11, path=(0, 2)).bit_names()))
        words.append(f"{names[1]} is paid from {names[0]} ({flags.words})")
        row: dict[str, Json] = {"credit_reference": names[0], "charge_reference": names[1]}
        rows.append({**row, "collection_configuration": flags.json})
    return Said("; ".join(words), rows)


def token_shares(data: Data, _around: Surroundings) -> Said:
    rows: list[Json] = []
    words = []
    for element in data.elements:
        credit, proportion = element.structure(2)
        name = str(ObisCode.from_octets(credit.octets))
        rows.append({"credit_reference": name, "token_proportion": proportion.integer})
        words.append(f"{proportion.integer} % to {name}")
    return Said(", ".join(words) or "none", rows)


def unit_charge(data: Data, around: Surroundings) -> Said:
    meant = UnitCharge.from_data(data)
    name = "" if around.currency is None else f" {around.currency.name}"
    prices = [
        f"{Decimal(one.charge_per_unit).scaleb(meant.price_scale):f}{name} (index {one.index.hex().upper() or 'empty'})"
        for one in meant.table
    ]
    commodity = f"class {meant.commodity_class_id} {meant.commodity_obis} attribute {meant.commodity_attribute}"
    table: list[Json] = [
        {"index": one.index.hex().upper(), "charge_per_unit": one.charge_per_unit} for one in meant.table
    ]
    json: dict[str, Json] = {
        "commodity_scale": meant.commodity_scale,
        "price_scale": meant.price_scale,
        "commodity": {
            "class_id": meant.commodity_class_id,
            "obis": str(meant.commodity_obis),
            "attribute": meant.commodity_attribute,
        },
        "charge_table": table,
    }
    per = f" for 10^{meant.commodity_scale} of {commodity}" if prices else ""
    return Said(", ".join(prices) + per or "no prices", json)


def proportion(data: Data, _around: Surroundings) -> Said:
    parts = charge.proportion_from_data(data)
    per_cent = Decimal(100 * parts) / charge.PROPORTION_WHOLE
    return Said(f"{per_cent.normalize():f} % of each payment", parts)
