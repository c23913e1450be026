"""What stands where: names of objects, attributes and the parts inside them, and which of them are secrets.

The names of classes, attributes and methods are those of ``interface_classes``; here are the names inside the values
of payment meters, and what a few OBIS codes usually are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from cosem_objects import association_ln
from cosem_objects.interface_classes import INTERFACE_CLASSES, describe_class, enum_words
from cosem_objects.names import spell
from cosem_objects.obis import ObisCode
from cosem_objects.security_setup import KeyId


@dataclass(frozen=True, slots=True)
class Place:
    """An attribute or method, or a part inside its value; all None and empty where nothing is known."""

    class_id: int | None = None
    member: int | None = None
    is_method: bool = False
    obis: ObisCode | None = None
    path: tuple[int, ...] = ()
    """Which element of each array or structure on the way; elements of an array all count as 0."""

    def inside(self, index: int, *, of_array: bool) -> Place:
        if self.member == 0 and not self.path and not self.is_method:  # attribute 0: all of them, from the first on
            return replace(self, member=index + 1)
        return self if self.member is None else replace(self, path=(*self.path, 0 if of_array else index))

    @property
    def is_known(self) -> bool:
        return self.class_id is not None

    @property
    def is_hls_reply(self) -> bool:
        """The method by which both sides answer each other's challenge; it is given and gives back the same form."""
        return self.is_method and (self.class_id, self.member) == (
            association_ln.CLASS_ID,
            association_ln.METHOD_REPLY_TO_HLS_AUTHENTICATION,
        )

    @property
    def name(self) -> str:
        """``token_status``; empty where nothing is known."""
        if self.class_id is None or self.member is None:
            return ""
        if self.member == 0 and not self.is_method:
            return "all attributes"
        names = INTERFACE_CLASSES.get(self.class_id)
        known = {} if names is None else names.methods if self.is_method else names.attributes
        return known.get(self.member, f"{'method' if self.is_method else 'attribute'} {self.member}")

    def element_name(self, index: int, *, of_array: bool) -> str:
        """What the element is called, or its number."""
        if self.member == 0 and not self.path and not self.is_method:
            return replace(self, member=index + 1).name
        members = _METHOD_MEMBERS if self.is_method else _MEMBERS
        names = () if of_array else members.get((self.class_id, self.member, self.path), ())
        return names[index] if index < len(names) else f"[{index}]"

    @property
    def _own_name(self) -> str:
        """What this element of a structure is called."""
        return replace(self, path=self.path[:-1]).element_name(self.path[-1], of_array=False) if self.path else ""

    def number_words(self, value: int) -> str:
        """``execution-ok (3)``, or just the number."""
        if self.class_id is None or self.member is None:
            return str(value)
        if self._own_name == "class_id":
            return f"{value} ({describe_class(value)})"
        if self._own_name in _NUMBERS:
            return spell(_NUMBERS[self._own_name], value)
        return (not self.is_method and enum_words(self.class_id, self.member, self.path, value)) or str(value)

    def bit_names(self) -> tuple[str, ...]:
        return () if self.is_method else _BITS.get((self.class_id, self.member, self.path), ())

    @property
    def hides(self) -> str:
        """What kind of secret stands here: ``token``, ``secret``, or empty."""
        kinds = _SECRET_METHODS if self.is_method else _SECRET_ATTRIBUTES
        return kinds.get((self.class_id, self.member), "")


def place_words(place: Place) -> str:
    """``Token gateway 0-0:19.40.0.255, token_status (attribute 6)``"""
    assert place.class_id is not None and place.obis is not None  # noqa: PT018
    kind = "method" if place.is_method else "attribute"
    known = "" if place.name.startswith(f"{kind} ") else f"{place.name} "
    number = f"({kind} {place.member})" if known else f"{kind} {place.member}"
    name, obis = describe_class(place.class_id), obis_words(place.obis)
    return f"{name} {obis.removesuffix(f' ({name.lower()})')}, {known}{number}"


def obis_words(obis: ObisCode) -> str:
    """``0-0:43.1.0.255 (invocation counter)``: what an object of that name usually is."""
    meaning = _meaning(obis)
    return f"{obis} ({meaning})" if meaning else str(obis)


def _meaning(obis: ObisCode) -> str:
    a, _, c, d, e, f = obis.octets
    if a != 0 or f != 255:
        return ""
    if c == 19:
        return _payment_meaning(d, e)
    return _USUAL.get((c, d, e), "") or _USUAL.get((c, d, None), "")


def _payment_meaning(d: int, e: int) -> str:
    """0-b:19.d.e: the ten objects of each kind, the last digit of D being the number of the account."""
    if d // 10 == 5:
        return {1: "max credit limit", 2: "max vend limit"}.get(e, "")
    kind = {0: "account", 1: "credit", 2: "charge", 4: "token gateway", 6: "STS attributes"}.get(d // 10, "")
    return f"{kind} {d % 10}" if kind and d % 10 else kind


_USUAL: dict[tuple[int, int, int | None], str] = {
    (1, 0, 0): "clock",
    (17, 0, 0): "limiter",
    (22, 0, 0): "HDLC setup",
    (25, 9, None): "push setup",
    (40, 0, 0): "current association",
    (40, 0, None): "association",
    (42, 0, 0): "logical device name",
    (43, 0, None): "security setup",
    (43, 1, None): "invocation counter",
    (96, 1, 0): "serial number",
    (96, 3, 10): "disconnector",
    (96, 3, 20): "arbitrator",
}

_Inside = tuple[int | None, int | None, tuple[int, ...]]
_OBJECT = ("class_id", "logical_name", "attribute_index")
_UNIT_CHARGE = ("charge_per_unit_scaling", "commodity_reference", "charge_table")
_MEMBERS: dict[_Inside, tuple[str, ...]] = {
    (3, 3, ()): ("scaler", "unit"),
    (4, 3, ()): ("scaler", "unit"),
    (5, 4, ()): ("scaler", "unit"),
    (7, 3, (0,)): (*_OBJECT, "data_index"),
    (15, 2, (0,)): ("class_id", "version", "logical_name", "access_rights"),
    (15, 2, (0, 3)): ("attribute_access", "method_access"),
    (15, 3, ()): ("client_SAP", "server_SAP"),
    (15, 2, (0, 3, 0, 0)): ("attribute_id", "access_mode", "access_selectors"),
    (15, 2, (0, 3, 1, 0)): ("method_id", "method_access_mode"),
    (40, 2, (0,)): (*_OBJECT, "data_index"),
    (40, 3, ()): ("transport_service", "destination", "message"),
    (111, 2, ()): ("payment_mode", "account_status"),
    (111, 11, (0,)): ("credit_reference", "charge_reference", "collection_configuration"),
    (111, 12, (0,)): ("credit_reference", "token_proportion"),
    (111, 15, ()): ("name", "scale", "unit"),
    (113, 5, ()): _UNIT_CHARGE,
    (113, 6, ()): _UNIT_CHARGE,
    (113, 5, (0,)): ("commodity_scale", "price_scale"),
    (113, 6, (0,)): ("commodity_scale", "price_scale"),
    (113, 5, (1,)): _OBJECT,
    (113, 6, (1,)): _OBJECT,
    (113, 5, (2, 0)): ("index", "charge_per_unit"),
    (113, 6, (2, 0)): ("index", "charge_per_unit"),
    (115, 6, ()): ("status_code", "data_value"),
}
"""(class_id, attribute, path) -> what the elements of the structure there are called."""

_METHOD_MEMBERS: dict[_Inside, tuple[str, ...]] = {
    (64, 2, (0,)): ("key_id", "key_wrapped"),
}


class _AccessMode(IntEnum):
    """What a client may do with an attribute (class 15, version 1, object_list)."""

    NO_ACCESS = 0
    READ_ONLY = 1
    WRITE_ONLY = 2
    READ_AND_WRITE = 3
    AUTHENTICATED_READ_ONLY = 4
    AUTHENTICATED_WRITE_ONLY = 5
    AUTHENTICATED_READ_AND_WRITE = 6


_NUMBERS: dict[str, type[IntEnum]] = {"access_mode": _AccessMode, "key_id": KeyId}
"""What a number is one of, by the name of its place."""

_CREDIT_STATUS = (
    *("in_credit", "low_credit", "next_credit_enabled", "next_credit_selectable", "next_credit_selected"),
    *("selectable_credit_in_use", "out_of_credit", "reserved"),
)
_BITS: dict[_Inside, tuple[str, ...]] = {
    (111, 4, ()): _CREDIT_STATUS,
    (111, 11, (0, 2)): ("collect_when_disconnected", "collect_when_load_limited", "collect_in_friendly_credit"),
    (112, 7, ()): (
        *("visual_indication", "confirmation", "to_be_paid_back", "resettable"),
        "may_receive_token_amounts",
    ),
    (113, 9, ()): ("percentage_based", "continuous"),
}
"""What the bits there are called, the first on the wire first."""

_SECRET_ATTRIBUTES: dict[tuple[int | None, int | None], str] = {
    (15, 7): "secret",
    (19, 7): "secret",
    (19, 8): "secret",
    (19, 9): "secret",
    (44, 5): "secret",
    (45, 3): "secret",
    (46, 4): "secret",
    (115, 2): "token",
}
_SECRET_METHODS: dict[tuple[int | None, int | None], str] = {
    (15, 2): "secret",
    (64, 2): "secret",
    (72, 7): "secret",
    (72, 8): "secret",
    (115, 1): "token",
}
