"""Which objects a meter shows in the open association: attribute 2 of its Association LN (class 15)."""

from __future__ import annotations

from dataclasses import dataclass

from cosem_objects import association_ln
from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import DataAccessResult
from cosem_objects.dlms.describe.node import Json
from cosem_objects.errors import RemoteRefusal
from cosem_objects.interface_classes import describe_class
from cosem_objects.names import spell
from cosem_objects.obis import ObisCode
from gateway.session import Session


class ListUnreadable(RemoteRefusal):
    """The meter does not tell its objects."""


@dataclass(frozen=True, slots=True)
class ListedObject:
    class_id: int
    version: int
    obis: ObisCode

    @property
    def name(self) -> str:
        """Of its class."""
        return describe_class(self.class_id)

    def to_json(self) -> dict[str, Json]:
        return {"class_id": self.class_id, "version": self.version, "obis": str(self.obis), "name": self.name}


async def read_object_list(session: Session) -> list[ListedObject]:
    """In the meter's order. Raises ``ListUnreadable``; else as ``Session.get``."""
    obis = association_ln.CURRENT_OBIS
    result = await session.get(association_ln.CLASS_ID, obis, association_ln.Attribute.OBJECT_LIST)
    if not isinstance(result, Data):
        words = spell(DataAccessResult, result)
        raise ListUnreadable(f"the object list of {obis} cannot be read: it is answered with {words}")
    return [_listed(element) for element in result.elements]


def _listed(data: Data) -> ListedObject:
    class_id, version, logical_name = data.structure(3)
    return ListedObject(class_id.integer, version.integer, ObisCode.from_octets(logical_name.octets))
