"""A DataNotification made by Gurux' notify classes (gurux-dlms 1.0.203, GPL-2, in this process only).

    gurux_notify.py '{"framing": "wrapper", "ek": "…", "ak": "…", "counter": 2000}'

Prints one JSON line, `made`, with the octets for the wire in hex. Its body is a structure of what `values` says:
hexadecimal octet-strings; by default the system title alone, as attribute 5 of Security setup pushed first.
With `ek` it is ciphered, which Gurux does as general-glo.
"""

import datetime

from gurux_dlms.enums import DataType, InterfaceType
from gurux_dlms.GXByteBuffer import GXByteBuffer
from gurux_dlms.internal._GXCommon import _GXCommon
from gurux_dlms.secure.GXDLMSSecureNotify import GXDLMSSecureNotify
from gurux_fixes import PROTECTION
from peer_wire import emit, read_options, run

DEFAULTS = {
    "framing": "wrapper",  # or hdlc
    "client_sap": 1,
    "server_sap": 1,
    "system_title": "4758580000000001",
    "ek": None,
    "ak": None,
    "protection": "both",
    "counter": 2000,
    "time": None,  # ISO 8601
    "values": None,
}


def main():
    options = read_options(DEFAULTS)
    interface = InterfaceType.HDLC if options.framing == "hdlc" else InterfaceType.WRAPPER
    notify = GXDLMSSecureNotify(True, options.client_sap, options.server_sap, interface)
    if options.ciphered:
        notify.ciphering.security = PROTECTION[options.protection]
        notify.ciphering.systemTitle = bytearray(options.octets("system_title"))
        notify.ciphering.blockCipherKey = bytearray(options.octets("ek"))
        notify.ciphering.authenticationKey = bytearray(options.octets("ak"))
        notify.ciphering.invocationCounter = options.counter
    values = [options.system_title] if options.values is None else options.values
    body = GXByteBuffer()
    body.setUInt8(DataType.STRUCTURE)
    body.setUInt8(len(values))
    for value in values:
        _GXCommon.setData(notify.settings, body, DataType.OCTET_STRING, bytes.fromhex(value))
    moment = datetime.datetime.fromisoformat(options.time) if options.time else None
    [octets] = notify.generateDataNotificationMessages(moment, body)
    emit("made", octets=bytes(octets))


run(main)
