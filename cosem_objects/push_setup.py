"""Class 40, Push setup: which values a meter sends by itself, where to, and when (IEC 62056-6-2, version 0).

What arrives is a DataNotification whose body holds the values in the order of ``push_object_list``: the values only,
so whoever receives it must know that list.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.obis import ObisCode

CLASS_ID = 40
DEFAULT_OBIS = ObisCode.parse("0-0:25.9.0.255")

METHOD_PUSH = 1


class Attribute(IntEnum):
    """Versions 0 and 1 end with attribute 7."""

    LOGICAL_NAME = 1
    PUSH_OBJECT_LIST = 2
    SEND_DESTINATION_AND_METHOD = 3
    COMMUNICATION_WINDOW = 4
    RANDOMISATION_START_INTERVAL = 5
    NUMBER_OF_RETRIES = 6
    REPETITION_DELAY = 7
    PORT_REFERENCE = 8
    PUSH_CLIENT_SAP = 9
    PUSH_PROTECTION_PARAMETERS = 10
    PUSH_OPERATION_METHOD = 11
    CONFIRMATION_PARAMETERS = 12
    LAST_CONFIRMATION_DATE_TIME = 13


class TransportService(IntEnum):
    """How the message travels; 200 and above are the manufacturer's own."""

    TCP = 0
    UDP = 1
    FTP = 2
    SMTP = 3
    SMS = 4
    HDLC = 5
    M_BUS = 6
    ZIGBEE = 7


class Message(IntEnum):
    """How the message is coded; 128 and above are the manufacturer's own."""

    A_XDR_ENCODED_XDLMS_APDU = 0
    XML_ENCODED_XDLMS_APDU = 1


@dataclass(frozen=True, slots=True)
class PushObject:
    """One value to be sent: an attribute, or with ``data_index`` a part of it (0 = all of it)."""

    class_id: int
    logical_name: ObisCode
    attribute_index: int
    data_index: int = 0

    @classmethod
    def from_data(cls, data: Data) -> PushObject:
        """Raises ``RemoteProtocolError``."""
        class_id, logical_name, attribute_index, data_index = data.structure(4)
        name = ObisCode.from_octets(logical_name.octets)
        return cls(class_id.integer, name, attribute_index.integer, data_index.integer)

    def to_data(self) -> Data:
        return axdr.structure(
            axdr.long_unsigned(self.class_id),
            axdr.octet_string(self.logical_name.octets),
            axdr.integer(self.attribute_index),
            axdr.long_unsigned(self.data_index),
        )


def push_object_list_from_data(data: Data) -> tuple[PushObject, ...]:
    """Attribute 2. Raises ``RemoteProtocolError``."""
    return tuple(PushObject.from_data(element) for element in data.elements)


def push_object_list_to_data(objects: tuple[PushObject, ...]) -> Data:
    return axdr.array(*(pushed.to_data() for pushed in objects))


@dataclass(frozen=True, slots=True)
class SendDestinationAndMethod:
    """Attribute 3. ``destination`` is text for most services, such as an address with its port."""

    transport_service: int
    destination: bytes = field(repr=False)
    message: int = Message.A_XDR_ENCODED_XDLMS_APDU

    @classmethod
    def from_data(cls, data: Data) -> SendDestinationAndMethod:
        """Raises ``RemoteProtocolError``."""
        transport_service, destination, message = data.structure(3)
        return cls(transport_service.integer, destination.octets, message.integer)

    def to_data(self) -> Data:
        return axdr.structure(
            axdr.enum(self.transport_service), axdr.octet_string(self.destination), axdr.enum(self.message)
        )
