"""What the attributes of Association LN, Security setup and Push setup say (classes 15, 64 and 40), for
``report_sections``. Pure."""

from __future__ import annotations

from cosem_objects.axdr import Data
from cosem_objects.dlms.acse import CONTEXT_OID, MECHANISM_OID, ApplicationContext, Mechanism
from cosem_objects.dlms.apdu import Conformance
from cosem_objects.dlms.describe.node import Json
from cosem_objects.interface_classes import describe_attribute, enum_words
from cosem_objects.names import spell
from cosem_objects.push_setup import SendDestinationAndMethod, push_object_list_from_data
from cosem_objects.security_setup import POLICY_FLAGS
from gateway.reading.report_values import Said, Surroundings, said_flags, said_name

_CONFORMANCE_SIZE = 24


def partners(data: Data, _around: Surroundings) -> Said:
    client, server = (element.integer for element in data.structure(2))
    return Said(f"client {client}, server {server}", {"client_sap": client, "server_sap": server})


def application_context(data: Data, _around: Surroundings) -> Said:
    return said_name(spell(ApplicationContext, _last_arc(data, CONTEXT_OID)))


def mechanism(data: Data, _around: Surroundings) -> Said:
    """As the option ``--security`` spells it."""
    name = said_name(spell(Mechanism, _last_arc(data, MECHANISM_OID))).json
    return Said(str(name), name)


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
    return Said(f"{service.words}, to {destination or 'nobody'}, as {message.json}", json)
