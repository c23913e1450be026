"""What the attributes of a meter say, to people in words and to programs in JSON. Pure.

A *meaning* takes a value as it came and the account's currency with it, and says it twice. It raises
``RemoteProtocolError`` for a value of another form. Names of enums, bits and the parts of structures are those of the
standard, in JSON as it spells them (``in-use``, ``in_credit``), in words without their hyphens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from cosem_objects import charge
from cosem_objects.axdr import Data
from cosem_objects.charge import UnitCharge
from cosem_objects.clock import CosemDateTime
from cosem_objects.dlms.acse import CONTEXT_OID, MECHANISM_OID, ApplicationContext, Mechanism
from cosem_objects.dlms.apdu import Conformance
from cosem_objects.dlms.describe import Place
from cosem_objects.dlms.describe.node import Json
from cosem_objects.interface_classes import describe_attribute, enum_words
from cosem_objects.names import spell
from cosem_objects.obis import ObisCode
from cosem_objects.payment import Currency
from cosem_objects.profile import MeterProfile
from cosem_objects.push_setup import SendDestinationAndMethod, push_object_list_from_data
from cosem_objects.security_setup import POLICY_FLAGS

_CONFORMANCE_SIZE = 24


@dataclass(frozen=True, slots=True)
class Said:
    """One value, for people and for programs."""

    words: str
    json: Json


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a value's meaning depends on."""

    profile: MeterProfile
    currency: Currency | None = None
    """The account's; ``None`` while it is not known."""


Meaning: TypeAlias = Callable[[Data, Surroundings], Said]


def number(data: Data, _around: Surroundings) -> Said:
    return Said(str(data.integer), data.integer)


def numbers(data: Data, _around: Surroundings) -> Said:
    found = [element.integer for element in data.elements]
    return Said(", ".join(map(str, found)) or "none", found)


def digits(count: int) -> Meaning:
    """A number that people write with zeros in front, such as a supply group code."""

    def say(data: Data, _around: Surroundings) -> Said:
        return Said(f"{data.integer:0{count}d}", data.integer)

    return say


def seconds(data: Data, _around: Surroundings) -> Said:
    return Said(f"{data.integer} s", data.integer)


def connected(data: Data, _around: Surroundings) -> Said:
    return Said("connected" if data.boolean else "disconnected", data.boolean)


def text(data: Data, _around: Surroundings) -> Said:
    shown = data.text
    return Said(shown or "(empty)", shown)


def title(data: Data, _around: Surroundings) -> Said:
    """A system title."""
    shown = data.octets.hex().upper()
    return Said(shown or "(empty)", shown)


def amount(data: Data, around: Surroundings) -> Said:
    """A number of the account: ``25.6 kWh``; as it is where the currency is not known."""
    if around.currency is None:
        return Said(f"{data.integer} (raw, the currency is not known)", str(data.integer))
    value = around.currency.amount(data.integer)
    return Said(f"{value:f} {around.currency.name}".rstrip(), f"{value:f}")


def enum(class_id: int, attribute: int) -> Meaning:
    """One of a list of the standard."""

    def say(data: Data, _around: Surroundings) -> Said:
        return said_name(enum_words(class_id, attribute, (), data.integer) or str(data.integer))

    return say


def bits(class_id: int, attribute: int) -> Meaning:
    """The names of the bits that are set."""

    def say(data: Data, _around: Surroundings) -> Said:
        return said_flags(flag_names(data.bits, Place(class_id, attribute).bit_names()))

    return say


def date_time(data: Data, around: Surroundings) -> Said:
    return said_moment(data.octets, around.profile.deviation_sign)


def references(data: Data, _around: Surroundings) -> Said:
    """A list of objects by their logical names."""
    names = [str(ObisCode.from_octets(element.octets)) for element in data.elements]
    return Said(", ".join(names) or "none", names)


def reference(data: Data, _around: Surroundings) -> Said:
    name = ObisCode.from_octets(data.octets)
    return Said(str(name), str(name)) if any(name.octets) else Said("none", None)


def said_name(spelt: str) -> Said:
    """``in-use (3)`` -> ``in use``; what has no name stays ``unknown (9)``."""
    name = spelt if spelt.startswith("unknown") else spelt.partition(" (")[0]
    return Said(name.replace("-", " "), name)


def said_flags(names: Sequence[str]) -> Said:
    return Said(", ".join(name.replace("_", " ") for name in names) or "none", list(names))


def flag_names(shown: str, names: Sequence[str]) -> list[str]:
    """Of the bits that are set, the first on the wire first; ``bit 9`` for one without a name."""
    return [names[index] if index < len(names) else f"bit {index}" for index, bit in enumerate(shown) if bit == "1"]


def said_moment(octets: bytes, deviation_sign: int = 1) -> Said:
    """``2026-11-21 14:03:07 +01:00``; fields left open are stars. In JSON ISO 8601, null where all are open."""
    moment = CosemDateTime.from_octets(octets)
    fields = (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
    if set(fields) == {None}:
        return Said("not set", None)
    zone = ""
    if moment.deviation is not None:
        # By the standard local time + deviation = UTC; people count the other way.
        ahead = -moment.deviation * deviation_sign
        hours, minutes = divmod(abs(ahead), 60)
        zone = f"{'-' if ahead < 0 else '+'}{hours:02d}:{minutes:02d}"
    date, _, time = str(moment).partition(" ")
    return Said(f"{date} {time} {zone}".rstrip(), f"{date}T{time}{zone}")


# Account and its neighbours.


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
    words = f"{meant.name or '(no name)'}, {unit}, numbers x {Decimal(1).scaleb(meant.scale):f}"
    return Said(words, {"name": meant.name, "scale": meant.scale, "unit": unit})


def credit_charge_configuration(data: Data, _around: Surroundings) -> Said:
    rows: list[Json] = []
    words = []
    for element in data.elements:
        credit, charged, when = element.structure(3)
        names = [str(ObisCode.from_octets(one.octets)) for one in (credit, charged)]
        flags = said_flags(flag_names(when.bits, Place(111, 11, path=(0, 2)).bit_names()))
        words.append(f"{names[1]} is paid from {names[0]} ({flags.words})")
        row: dict[str, Json] = {"credit_reference": names[0], "charge_reference": names[1]}
        rows.append({**row, "collection_configuration": flags.json})
    return Said("; ".join(words) or "none", rows)


def token_gateway_configuration(data: Data, _around: Surroundings) -> Said:
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


# Association, security and push.


def partners(data: Data, _around: Surroundings) -> Said:
    client, server = (element.integer for element in data.structure(2))
    return Said(f"client {client}, server {server}", {"client_sap": client, "server_sap": server})


def application_context(data: Data, _around: Surroundings) -> Said:
    return said_name(spell(ApplicationContext, _last_arc(data, CONTEXT_OID)))


def mechanism(data: Data, _around: Surroundings) -> Said:
    return said_name(spell(Mechanism, _last_arc(data, MECHANISM_OID)))


def _last_arc(data: Data, prefix: bytes) -> int:
    """Of an object identifier, as its octets or as a structure of its arcs; -1 if it is not of the family."""
    if isinstance(data.value, tuple):
        return data.elements[-1].integer if data.elements else -1
    octets = data.octets
    return octets[-1] if octets[:-1] == prefix else -1


def context_info(data: Data, _around: Surroundings) -> Said:
    """Without its last element, which may hold a dedicated key."""
    conformance, receive, send, version = data.structure(4)
    services = Conformance(int(conformance.bits[:_CONFORMANCE_SIZE].ljust(_CONFORMANCE_SIZE, "0"), 2))
    names = [(bit.name or "").lower().replace("_", "-") for bit in Conformance if bit in services]
    words = f"PDU up to {receive.integer} octets in, {send.integer} out; {', '.join(names) or 'no services'}"
    json: dict[str, Json] = {
        "conformance": names,
        "max_receive_pdu_size": receive.integer,
        "max_send_pdu_size": send.integer,
        "dlms_version_number": version.integer,
    }
    return Said(words, json)


_POLICIES_0 = {1: ("authenticated",), 2: ("encrypted",), 3: ("authenticated", "encrypted")}
"""Numbers of version 0 of the class, which mean requests and responses; in version 1 these bits are reserved."""


def security_policy(data: Data, _around: Surroundings) -> Said:
    policy = data.integer
    if policy in _POLICIES_0:
        flags = [f"{how}_{what}" for what in ("request", "response") for how in _POLICIES_0[policy]]
    else:
        flags = [flag for bit, flag in enumerate(POLICY_FLAGS, 2) if policy >> bit & 1]
    return said_flags(flags)


def push_objects(data: Data, _around: Surroundings) -> Said:
    pushed = push_object_list_from_data(data)
    words = [
        f"{describe_attribute(one.class_id, one.attribute_index)}{f' [{one.data_index}]' if one.data_index else ''}"
        for one in pushed
    ]
    rows: list[Json] = [
        {
            "class_id": one.class_id,
            "obis": str(one.logical_name),
            "attribute": one.attribute_index,
            "data_index": one.data_index,
        }
        for one in pushed
    ]
    return Said("; ".join(words) or "nothing", rows)


def push_destination(data: Data, _around: Surroundings) -> Said:
    meant = SendDestinationAndMethod.from_data(data)
    service, message = (
        said_name(enum_words(40, 3, (place,), value) or str(value))
        for place, value in ((0, meant.transport_service), (2, meant.message))
    )
    destination = meant.destination.decode("utf-8", "replace")
    json: dict[str, Json] = {
        "transport_service": service.json,
        "destination": destination,
        "message": message.json,
    }
    return Said(f"{service.words}, to {destination or 'nobody'}, {message.words}", json)
