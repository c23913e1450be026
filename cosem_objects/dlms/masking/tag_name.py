"""What kind of APDU it is, by its tag: for one line of a trace."""

from __future__ import annotations

from cosem_objects.dlms import acse
from cosem_objects.dlms.apdu import TAG_NAMES
from cosem_objects.dlms.ciphered import CipheredApdu
from cosem_objects.dlms.settings import Ciphering
from cosem_objects.errors import RemoteProtocolError

_ACSE_NAMES = {
    acse.Aarq.TAG: "aarq",
    acse.Aare.TAG: "aare",
    acse.Rlrq.TAG: "rlrq",
    acse.Rlre.TAG: "rlre",
}
_FORMS = {
    Ciphering.SERVICE_GLO: "glo",
    Ciphering.SERVICE_DED: "ded",
    Ciphering.GENERAL_GLO: "general-glo-ciphering",
    Ciphering.GENERAL_DED: "general-ded-ciphering",
}


def apdu_name(apdu: bytes) -> str:
    """``get-request``, ``glo-get-request``, ``general-glo-ciphering``; of others the tag, ``tag 99``. Never raises."""
    if not apdu:
        return "empty"
    name = TAG_NAMES.get(apdu[0]) or _ACSE_NAMES.get(apdu[0])
    if name is not None:
        return name
    try:
        ciphered = CipheredApdu.parse(apdu)
    except RemoteProtocolError:
        return f"tag {apdu[0]:02X}"
    form = _FORMS[ciphered.form]
    return form if ciphered.plain_tag is None else f"{form}-{TAG_NAMES[ciphered.plain_tag]}"
