"""`stsgate readback` against a meter made of Gurux' server classes: whatever it lacks is said.

Gurux' Association LN falls over its own associated_partners_id (its server never learns the client's SAP), so the
meter hangs up there: the other sections have to come from a new association.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.peers.conftest import HERE, free_port, run_own, serving
from tests.peers.test_peers import OWN, PEER, endpoint

NOTHING = "object-undefined (4)"


@contextmanager
def gurux_meter(python: str, **options: Any) -> Iterator[int]:
    """Without the check that it met no error of its own: it does."""
    port = free_port()
    with serving([python, str(HERE / "gurux_meter.py"), json.dumps({"port": port, **options})]) as meter:
        meter.wait_for_line("listening ")
        yield port


def readback(
    python: str, *arguments: str, framing: str = "wrapper", security: str = "none", **meter: Any
) -> subprocess.CompletedProcess[str]:
    with gurux_meter(python, framing=framing, **PEER[security], **meter) as port:
        return run_own("gateway", "readback", "--endpoint", endpoint(framing, port), *OWN[security], *arguments)


@pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
@pytest.mark.parametrize("security", list(PEER))
def test_a_foreign_meter_is_read_and_what_it_lacks_is_said(peers_python: str, framing: str, security: str) -> None:
    done = readback(peers_python, "--json", framing=framing, security=security, available_credit=256)
    shown = json.loads(done.stdout)
    assert shown["identity"]["meter_pan"] == "600727000000000009"
    assert shown["sts"]["supply_group_code"] == "123456"
    assert shown["account"]["available_credit"] == "25.6"
    assert shown["account"]["account_mode_and_status"] == {"payment_mode": "prepayment", "account_status": "active"}
    assert [credit["credit_type"] for credit in shown["credits"]] == ["token-credit"]
    assert (shown["clock"]["time"], shown["token_gateway"]["has_token"]) == (None, False)
    skipped = {one["what"]: one["reason"] for one in shown["skipped"]}
    assert "closed the connection" in skipped.pop("association")
    assert skipped == {
        "disconnect_control": NOTHING,
        "security_setup": NOTHING,
        "push_setup": NOTHING,
    }
    assert shown["error"]["reason"] == "hung-up"
    assert done.returncode == 3


def test_a_foreign_meter_without_account_and_class_116(peers_python: str) -> None:
    done = readback(peers_python, account=False, class_116=False)
    for line in ("sts ", "account ", "credits ", "charges ", "identity: meter pan "):
        assert any(said.startswith(f"  {line}") and NOTHING in said for said in done.stdout.splitlines()), line
    assert "Token gateway 0-0:19.40.0.255" in done.stdout


@pytest.mark.parametrize("pdu_size_max", [65535, 128])
def test_the_objects_and_attributes_of_a_foreign_meter(peers_python: str, tmp_path: Path, pdu_size_max: int) -> None:
    """In blocks where we can take only 128 octets at once."""
    profile = tmp_path / "sized.toml"
    profile.write_text(f"pdu_size_max = {pdu_size_max}")
    arguments = ["--list", "--attribute", "111:0-0:19.0.0.255:15", "--profile", str(profile)]
    done = readback(peers_python, *arguments, security="hls-gmac")
    assert done.returncode == 0, done.stderr
    assert "  115        0  0-0:19.40.0.255  Token gateway" in done.stdout
    assert 'name:  utf8-string "kWh"' in done.stdout


def test_a_foreign_meter_without_a_log_refuses_one(peers_python: str) -> None:
    done = readback(peers_python, "--log", "1-0:99.1.0.255")
    assert done.returncode == 3
    assert (
        f"refused: the log 1-0:99.1.0.255 cannot be read: its capture_objects are answered with {NOTHING}"
        in done.stderr
    )
