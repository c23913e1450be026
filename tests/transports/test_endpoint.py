from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.endpoint import Endpoint, EndpointError

URLS = [
    ("tcp://192.0.2.7:4059", Endpoint("tcp", "192.0.2.7", 4059)),
    ("tcp://meter-17.example.net:4059", Endpoint("tcp", "meter-17.example.net", 4059)),
    ("tcp://localhost:0", Endpoint("tcp", "localhost", 0)),
    ("tcp://[2001:db8::1]:4059", Endpoint("tcp", "2001:db8::1", 4059)),
    ("tcps://head.example:4060", Endpoint("tcps", "head.example", 4060)),
    ("hdlc+tcp://10.0.0.1:8000", Endpoint("hdlc+tcp", "10.0.0.1", 8000)),
    ("serial:///dev/ttyUSB0", Endpoint("serial", path="/dev/ttyUSB0")),
    ("serial:///dev/ttyUSB0?baud=9600&mode=e", Endpoint("serial", path="/dev/ttyUSB0", baud=9600, mode="e")),
    ("serial:///dev/ttyUSB0?mode=hdlc", Endpoint("serial", path="/dev/ttyUSB0", mode="hdlc")),
    ("serial:///dev/ttyS0?baud=300&parity=even", Endpoint("serial", path="/dev/ttyS0", baud=300, parity="even")),
    ("serial:///d?mode=e&address=1%2B%262%23", Endpoint("serial", path="/d", mode="e", device_address="1+&2#")),
    ("pty:///tmp/meter%201", Endpoint("pty", path="/tmp/meter 1")),  # noqa: S108
    ("pty:///l?baud=9600&mode=e&parity=none", Endpoint("pty", path="/l", baud=9600, mode="e", parity="none")),
    ("mqtt://broker:1883/lab/m1", Endpoint("mqtt", "broker", 1883, "lab/m1")),
    ("mqtts://[::1]:8883/site%20a/m1", Endpoint("mqtts", "::1", 8883, "site a/m1")),
    ("inbound:4D4D4D0000BC614E", Endpoint("inbound", system_title=bytes.fromhex("4D4D4D0000BC614E"))),
]


@pytest.mark.parametrize(("url", "endpoint"), URLS)
def test_a_url_becomes_an_endpoint_and_comes_back(url: str, endpoint: Endpoint) -> None:
    assert Endpoint.parse(url) == endpoint
    assert str(endpoint) == url


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("TCP://Meter.Example:4059", "tcp://meter.example:4059"),
        ("inbound:4d4d4d0000bc614e", "inbound:4D4D4D0000BC614E"),
        ("inbound://4D4D4D0000BC614E", "inbound:4D4D4D0000BC614E"),
        ("serial:///dev/ttyS0?mode=e&baud=300", "serial:///dev/ttyS0?baud=300&mode=e"),
    ],
)
def test_other_spellings_are_the_same_endpoint(written: str, meant: str) -> None:
    assert str(Endpoint.parse(written)) == meant


REFUSED = [
    ("", "an endpoint is a URL"),
    ("10.0.0.1:4059", "an endpoint is"),
    ("localhost", "an endpoint is a URL"),
    ("http://h:80", "unknown scheme 'http'"),
    ("tcp://h", "the port is missing: tcp://host:port"),
    ("tcp://h:", "the port is missing"),
    ("tcp://:4059", "the host is missing"),
    ("tcp://", "the host is missing"),
    ("tcp://h:65536", "0 to 65535"),
    ("tcp://h:-1", "0 to 65535"),
    ("tcp://h:40x", "0 to 65535"),
    ("tcp://h:٤٠٥٩", "0 to 65535"),
    ("tcp://h:4059/", "no path"),
    ("tcp://h:4059/x", "no path"),
    ("tcp://h:4059?x=1", "unknown parameter 'x' for tcp; it takes none"),
    ("tcp://h:4059#x", "no '#' part"),
    ("tcp://h h:4059", "no blanks"),
    ("tcp://h\n:4059", "no blanks"),
    ("tcp://::1:4059", r"IPv6 address stands in \[\]"),
    ("tcp://[::1]", "the port is missing"),
    ("tcp://[::1]4059", "the port is missing"),
    ("tcp://[meter]:4059", "IPv6"),
    ("tcp://[::1:4059", "IPv6"),
    ("tcp://a..b:4059", "not a host name"),
    ("tcp://-a:4059", "not a host name"),
    ("tcp://" + "a" * 64 + ":4059", "not a host name"),
    ("serial://dev/ttyUSB0", "three slashes"),
    ("serial:ttyUSB0", "whole path"),
    ("serial:///", "whole path"),
    ("serial:///dev/ttyUSB0?baud=9601", "baud is one of"),
    ("serial:///dev/ttyUSB0?baud=", "baud is one of"),
    ("serial:///dev/ttyUSB0?mode=x", "mode is one of hdlc, e"),
    ("serial:///dev/ttyUSB0?baud=300&baud=300", "twice"),
    ("serial:///dev/ttyUSB0?bits=7", "unknown parameter 'bits' for serial; it knows baud and mode"),
    ("serial:///dev/ttyUSB0?parity=mark", "parity is one of none, even, odd"),
    ("serial:///dev/ttyUSB0?address=1", "address goes with mode=e"),
    ("serial:///dev/ttyUSB0?mode=hdlc&address=1", "address goes with mode=e"),
    ("serial:///dev/ttyUSB0?mode=e&address=", "up to 32 printable characters"),
    ("serial:///dev/ttyUSB0?mode=e&address=a%21b", "up to 32 printable characters"),
    ("serial:///dev/ttyUSB0?mode=e&address=%C3%A9", "up to 32 printable characters"),
    ("serial:///dev/ttyUSB0?mode=e&address=" + "1" * 33, "up to 32 printable characters"),
    ("pty:///tmp/x?speed=9600", "unknown parameter 'speed' for pty; it knows baud and mode"),
    ("pty:///a%00b", "whole path"),
    ("mqtt://broker:1883", "one meter of one site"),
    ("mqtt://broker:1883/site", "one meter of one site"),
    ("mqtt://broker:1883/a/b/c", "one meter of one site"),
    ("mqtt://broker:1883/+/m", "one meter of one site"),
    ("mqtt://broker:1883/a/%23", "one meter of one site"),
    ("mqtt://broker:1883/a/b%2Fc", "one meter of one site"),
    ("mqtt://broker/site/meter", "the port is missing"),
    ("inbound:4D4D", "16 hexadecimal digits"),
    ("inbound:4D4D4D0000BC614G", "16 hexadecimal digits"),
    ("inbound:", "16 hexadecimal digits"),
]


@pytest.mark.parametrize(("url", "words"), REFUSED)
def test_what_is_no_endpoint_is_refused_with_one_sentence(url: str, words: str) -> None:
    with pytest.raises(EndpointError, match=words) as refusal:
        Endpoint.parse(url)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "tcp://user:geheim@h:4059",
        "mqtt://user:geheim@h:1883/a/b",
        "mqtt://geheim@h:1883/a/b",
        "serial://user:geheim@host/dev/x",
        "tcp://user:geheim@",
        "inbound:user:geheim@4D4D",
        "tcp://user:geheim@[::1",
    ],
)
def test_passwords_in_urls_are_refused_and_never_repeated(url: str) -> None:
    with pytest.raises(EndpointError) as refusal:
        Endpoint.parse(url)
    assert "geheim" not in str(refusal.value)
    if "[" not in url:
        assert "no passwords in URLs" in str(refusal.value)


def test_the_value_of_an_unknown_parameter_is_not_repeated() -> None:
    with pytest.raises(EndpointError) as refusal:
        Endpoint.parse("tcp://h:1?password=geheim")
    assert "'password'" in str(refusal.value)
    assert "geheim" not in str(refusal.value)


@given(
    st.one_of(
        st.text(),
        st.builds(
            "{}{}{}".format,
            st.sampled_from(["tcp://", "tcp:", "serial://", "pty:///", "mqtt://h:1/", "inbound:", "hdlc+tcp://["]),
            st.text(alphabet=st.sampled_from("ab1:/[]?&=#@%+.\0é \n")),
            st.sampled_from(["", ":4059", "/a/b", "?baud=9600"]),
        ),
    )
)
def test_any_text_is_an_endpoint_or_an_endpoint_error(text: str) -> None:
    try:
        endpoint = Endpoint.parse(text)
    except EndpointError:
        return
    assert Endpoint.parse(str(endpoint)) == endpoint
