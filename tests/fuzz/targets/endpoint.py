"""Endpoint URLs."""

from __future__ import annotations

from tests.fuzz.properties import assert_harmless
from transports.endpoint import SCHEMES, Endpoint, EndpointError

SIZE_MAX = 400


def seeds() -> list[bytes]:
    written = (
        "tcp://127.0.0.1:4059",
        "tcps://meter-7.example.org:4059",
        "hdlc+tcp://[::1]:4059",
        "serial:///dev/ttyUSB0?baud=9600&mode=e",
        "serial:///dev/x?mode=e&parity=even&address=12%2B34",
        "pty:///tmp/a%20meter",
        "mqtt://broker:1883/site/meter%C3%A9",
        "mqtts://broker.:8883/a/b",
        "inbound:4D4D4D0000BC614E",
        "inbound://4D4D4D0000BC614E",
        "tcp://user:secret@host:1",
        "tcp://0x7f.1:1",
        "tcp://[fe80::1%25eth0]:1",
        "serial:///dev/x?baud=1",
        "ftp://x",
    )
    return [text.encode() for text in written]


def one_input(octets: bytes) -> None:
    url = octets.decode("utf-8", "surrogateescape")
    try:
        endpoint = Endpoint.parse(url)
    except EndpointError as error:
        assert_harmless(error)
        return
    assert endpoint.scheme in SCHEMES
    assert 0 <= endpoint.port <= 0xFFFF
    assert endpoint.authority
    written = str(endpoint)
    assert Endpoint.parse(written) == endpoint
    assert str(Endpoint.parse(written)) == written
