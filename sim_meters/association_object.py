"""Class 15, Association LN: how the meter describes the association through which it is asked."""

from __future__ import annotations

from cosem_objects import association_ln, axdr, profile_generic, security_setup
from cosem_objects.association_ln import AssociationStatus
from cosem_objects.axdr import Data
from cosem_objects.dlms.acse import CONTEXT_OID, MECHANISM_OID
from cosem_objects.dlms.apdu import DLMS_VERSION
from cosem_objects.obis import ObisCode
from sim_meters.asked import Asked, InterfaceClass, constant, no_access, not_allowed

_NO_REFERENCE = bytes(6)

_NO_ACCESS, _READ_ONLY, _METHOD_ACCESS = 0, 1, 1  # access modes of versions 0 to 2


def _object_list(asked: Asked) -> Data:
    objects = asked.association.objects.items()
    return axdr.array(*(_described(obis, row) for obis, row in objects if obis in asked.association.visible))


def _described(obis: ObisCode, row: InterfaceClass) -> Data:
    attributes = {1: _READ_ONLY} | {
        number: _NO_ACCESS if reader is no_access else _READ_ONLY for number, reader in row.readers.items()
    }
    methods = {
        number: _NO_ACCESS if method is not_allowed else _METHOD_ACCESS for number, method in row.methods.items()
    }
    return axdr.structure(
        axdr.long_unsigned(row.class_id),
        axdr.unsigned(row.version),
        axdr.octet_string(obis.octets),
        axdr.structure(
            axdr.array(
                *(
                    axdr.structure(axdr.integer(number), axdr.enum(mode), _selectors(row, number))
                    for number, mode in attributes.items()
                )
            ),
            axdr.array(*(axdr.structure(axdr.integer(number), axdr.enum(mode)) for number, mode in methods.items())),
        ),
    )


def _selectors(row: InterfaceClass, attribute: int) -> Data:
    """How an attribute may be read in part: by range (1) and by entry (2), or not at all."""
    if attribute not in row.selective_readers:
        return axdr.NULL
    return axdr.array(axdr.integer(profile_generic.Selector.RANGE), axdr.integer(profile_generic.Selector.ENTRY))


def _partners(asked: Asked) -> Data:
    config = asked.meter.config
    return axdr.structure(axdr.integer(asked.association.client_sap), axdr.long_unsigned(config.server_sap))


def _context_name(asked: Asked) -> Data:
    return axdr.octet_string(CONTEXT_OID + bytes((asked.association.security.application_context,)))


def _context_info(asked: Asked) -> Data:
    server = asked.association.server
    return axdr.structure(
        axdr.bit_string(f"{server.conformance:024b}"),
        axdr.long_unsigned(asked.meter.config.profile.pdu_size_max),  # what we take
        axdr.long_unsigned(server.client_pdu_size_max),  # what the client takes
        axdr.unsigned(DLMS_VERSION),
        axdr.integer(0),  # quality of service: not used
        axdr.octet_string(b""),  # ciphering info: the dedicated key, which nobody needs to read
    )


def _mechanism_name(asked: Asked) -> Data:
    return axdr.octet_string(MECHANISM_OID + bytes((asked.association.security.mechanism,)))


def _security_setup_reference(asked: Asked) -> Data:
    is_ours = security_setup.DEFAULT_OBIS in asked.association.visible
    return axdr.octet_string(security_setup.DEFAULT_OBIS.octets if is_ours else _NO_REFERENCE)


ASSOCIATION = InterfaceClass(
    association_ln.CLASS_ID,
    1,
    readers={
        association_ln.Attribute.OBJECT_LIST: _object_list,
        association_ln.Attribute.ASSOCIATED_PARTNERS_ID: _partners,
        association_ln.Attribute.APPLICATION_CONTEXT_NAME: _context_name,
        association_ln.Attribute.XDLMS_CONTEXT_INFO: _context_info,
        association_ln.Attribute.AUTHENTICATION_MECHANISM_NAME: _mechanism_name,
        association_ln.Attribute.SECRET: no_access,
        association_ln.Attribute.ASSOCIATION_STATUS: constant(axdr.enum(AssociationStatus.ASSOCIATED)),
        association_ln.Attribute.SECURITY_SETUP_REFERENCE: _security_setup_reference,
    },
    # Pass 3 of HLS is the association's own business, and over by now; secrets and object lists stay as they are.
    methods=dict.fromkeys((1, 2, 3, 4), not_allowed),
)
