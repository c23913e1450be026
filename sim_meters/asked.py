"""What a class is told when it is asked: which meter, which object, and through whose association."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.clock import CosemDateTime
from cosem_objects.dlms.apdu import ActionResult, DataAccessResult
from cosem_objects.dlms.server import ServerAssociation
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.obis import ObisCode
from sim_meters.prepayment import PrepaymentMeter


@dataclass(frozen=True, slots=True)
class Association:
    """One client's view of the meter."""

    client_sap: int
    security: SecuritySettings
    objects: Mapping[ObisCode, InterfaceClass]
    visible: frozenset[ObisCode]
    """Those that this client may use; the others are denied."""
    server: ServerAssociation
    """Knows what was agreed with the client."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The context of one question."""

    meter: PrepaymentMeter
    association: Association
    obis: ObisCode


Reader: TypeAlias = Callable[[Asked], "Data | DataAccessResult"]
SelectiveReader: TypeAlias = "Callable[[Asked, int, Data], Data | DataAccessResult]"
"""Reads a part of an attribute: that which selector and parameters ask for."""
Method: TypeAlias = "Callable[[Asked, Data | None], ActionResult]"


@dataclass(frozen=True, slots=True)
class InterfaceClass:
    """One row: what an object of this class has, beside its logical name (attribute 1)."""

    class_id: int
    version: int
    readers: Mapping[int, Reader]
    methods: Mapping[int, Method]
    selective_readers: Mapping[int, SelectiveReader] = field(default_factory=dict)
    """Of the attributes that can be read in part."""


def no_access(_asked: Asked) -> DataAccessResult:
    """The reader of an attribute that nobody may read."""
    return DataAccessResult.READ_WRITE_DENIED


def not_allowed(_asked: Asked, _parameters: Data | None) -> ActionResult:
    """A method of the class that nobody may invoke on this meter."""
    return ActionResult.READ_WRITE_DENIED


def constant(data: Data) -> Reader:
    """The reader of an attribute that never changes."""
    return lambda _asked: data


def date_time(asked: Asked, moment: datetime | None) -> Data:
    """A moment as 12 octets, with the deviation's sign as this meter model has it; ``None`` = not specified."""
    if moment is None:
        return axdr.octet_string(CosemDateTime().to_octets())
    shown = CosemDateTime.from_datetime(moment)
    if shown.deviation is not None:
        shown = replace(shown, deviation=shown.deviation * asked.meter.config.profile.deviation_sign)
    return axdr.octet_string(shown.to_octets())
