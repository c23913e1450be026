"""docs/serial.md names the options that an endpoint has, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from transports.endpoint import BAUDS, MODES, PARITIES, Endpoint, EndpointError

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "serial.md").read_text(encoding="utf-8")


def options() -> dict[str, str]:
    """Of the table: each option with its values."""
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE, re.MULTILINE))


def test_the_options_are_those_of_a_line() -> None:
    known = options()
    assert set(known) == {"baud", "mode", "parity", "address"}
    assert known["baud"] == ", ".join(map(str, BAUDS))
    assert known["mode"] == ", ".join(f"`{mode}`" for mode in MODES)
    assert known["parity"] == ", ".join(f"`{parity}`" for parity in PARITIES)
    with pytest.raises(EndpointError, match=f"it knows {' and '.join(known)}"):
        Endpoint.parse("serial:///dev/x?other=1")


def test_every_url_of_the_page_is_an_endpoint() -> None:
    urls = re.findall(r"(?<![\w`])\"?((?:serial|pty):///[\w/?=&]+[\w])\"?", PAGE)
    assert len(urls) >= 6
    for url in urls:
        assert str(Endpoint.parse(url)) == url
