"""Enter a token with dlms-cosem (25.1.0, in this process only) as its own documentation does, nothing worked around.

    dlms_cosem_plain.py '{"device": "/tmp/line", "physical": 17, "tokens": ["48643202781314010686"]}'

DlmsClient over HdlcTransport with SerialIO or BlockingTcpIO, or over TcpTransport. Options are those of
dlms_cosem_client.py. Only what is the same in every run is read, because HdlcTransport waits for ever for the rest of a
frame that has 7E inside. Prints `done` with the token of the Token gateway before and after.
"""

import logging

import structlog
from dlms_cosem import cosem
from dlms_cosem.client import DlmsClient
from dlms_cosem.dlms_data import OctetStringData
from dlms_cosem.io import BlockingTcpIO, HdlcTransport, SerialIO, TcpTransport
from dlms_cosem.security import LowLevelSecurityAuthentication, NoSecurityAuthentication
from peer_wire import (
    GATEWAY,
    client_defaults,
    decode_data,
    emit,
    encode_token,
    limit_lifetime,
    read_options,
    run,
)


def open_transport(options):
    if options.device:
        io = SerialIO(options.device, options.baud, timeout=options.timeout_seconds)
    else:
        io = BlockingTcpIO(options.host, options.port, timeout=options.timeout_seconds)
    if options.framing == "wrapper":
        return TcpTransport(options.client_sap, options.server_sap, io)
    return HdlcTransport(options.client_sap, options.server_sap, io, server_physical_address=options.physical)


def main():
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    options = read_options(client_defaults())
    limit_lifetime(options.lifetime_seconds)
    if options.security == "lls":
        authentication = LowLevelSecurityAuthentication(options.password.encode())
    else:
        authentication = NoSecurityAuthentication()
    class_id, name = GATEWAY[0], cosem.Obis(*(int(part) for part in GATEWAY[1].split(".")))
    client = DlmsClient(open_transport(options), authentication)
    seen = []
    with client.session():
        for digits in [None, *options.tokens]:
            if digits is not None:
                octets = OctetStringData(encode_token(digits, options.token_encoding)).to_bytes()
                client.action(cosem.CosemMethod(class_id, name, 1), octets)
            seen.append(decode_data(client.get(cosem.CosemAttribute(class_id, name, 2))))
    emit("done", tokens=seen)


run(main)
