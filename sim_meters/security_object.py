"""Class 64, Security setup: how the management association is secured, and how its keys are replaced."""

from __future__ import annotations

import logging

from cosem_objects import axdr, security_setup
from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import ActionResult
from cosem_objects.dlms.settings import AUTHENTICATED, ENCRYPTED, Ciphering
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.security_setup import (
    Attribute,
    KeyWrapError,
    Method,
    SecuritySuite,
    read_key_transfer,
    security_policy,
)
from sim_meters.asked import Asked, InterfaceClass, constant, not_allowed

_log = logging.getLogger(__name__)

_VERSION = 1


def _policy(asked: Asked) -> Data:
    """What is asked of requests is what responses get."""
    security = asked.association.security
    bits = 0 if security.ciphering is Ciphering.NONE else security.protection.bits
    flags = {f"authenticated_{side}" for side in ("request", "response") if bits & AUTHENTICATED}
    flags |= {f"encrypted_{side}" for side in ("request", "response") if bits & ENCRYPTED}
    return axdr.enum(security_policy(frozenset(flags)))


def _key_transfer(asked: Asked, parameters: Data | None) -> ActionResult:
    """All keys or none, on the disk before the answer is made. Raises ``LedgerError``."""
    if parameters is None:
        return ActionResult.TYPE_UNMATCHED
    if not asked.association.security.needs_keys:
        return ActionResult.READ_WRITE_DENIED  # nobody has shown a key, and there is none to be replaced
    try:
        keys = read_key_transfer(parameters, asked.meter.keys.master_key)
    except KeyWrapError as error:
        _log.warning("%s: keys refused: %s", asked.meter.config.device_name, error)
        return ActionResult.OTHER_REASON
    except RemoteProtocolError:
        return ActionResult.TYPE_UNMATCHED
    asked.meter.keys.transfer(keys)
    names = ", ".join(key_id.name.lower().replace("_", " ") for key_id in keys)
    _log.info("%s: transferred: %s", asked.meter.config.device_name, names)
    return ActionResult.SUCCESS


SECURITY_SETUP = InterfaceClass(
    security_setup.CLASS_ID,
    _VERSION,
    readers={
        Attribute.SECURITY_POLICY: _policy,
        Attribute.SECURITY_SUITE: constant(axdr.enum(SecuritySuite.AES_GCM_128)),
        Attribute.CLIENT_SYSTEM_TITLE: lambda asked: axdr.octet_string(asked.association.security.client_system_title),
        Attribute.SERVER_SYSTEM_TITLE: lambda asked: axdr.octet_string(asked.association.security.meter_system_title),
        Attribute.CERTIFICATES: constant(axdr.array()),
    },
    # The policy is set where the meter is made; without certificates there is no key to agree on or to generate.
    methods={**dict.fromkeys(Method, not_allowed), Method.KEY_TRANSFER: _key_transfer},
)
