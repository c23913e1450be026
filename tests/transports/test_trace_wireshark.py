"""Wireshark opens what a real delivery has written: a simulated meter in a process of its own, on a real socket."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import TokenEncoding
from gateway.cli.lab import LAB_PASSWORD, Lab, LabMeter, key_options
from gateway.cli.meter_options import add_meter_options, meter_from
from gateway.cli.trace_option import add_trace_options, trace_from
from gateway.delivery import Delivery
from gateway.events import Event
from gateway.meters import Meter
from gateway.verdict import Outcome
from transports.channel import Link
from transports.registry import open_link

PAN = "600727000000000181"
TSHARK_OPTIONS = ("-n", "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE")
FIELDS = ("frame.comment", "udp.payload", "udp.port", "_ws.malformed", "_ws.expert.severity", "frame.p2p_dir")
COMMENT_SEVERITY = str(0x100000)
"""Wireshark counts a packet's comment among its remarks."""


@pytest.fixture(scope="session")
def tshark() -> str:
    found = shutil.which("tshark")
    if found is None:
        pytest.fail("tshark, Wireshark's own reader, is not installed: apt-get install tshark", pytrace=False)
    return found


async def deliver(directory: Path, meter: LabMeter, *targets: Path) -> Token:
    """Deliver one token, with a trace."""
    async with Lab(directory, head_end="") as lab:
        (url,) = await lab.start([meter])
        token = Token.parse(await lab.token(key_options(PAN), "kWh", "25.6"))
        parser = argparse.ArgumentParser()
        add_meter_options(parser)
        add_trace_options(parser)
        secrets = [f"--{name}={secret}" for name, secret in meter.secrets.items()]
        options = ["--endpoint", url, "--profile", "sim", *meter.security, *secrets]
        args = parser.parse_args([*options, *(f"--trace={target}" for target in targets)])
        known = meter_from(args)
        trace = trace_from(args, known.security)

        async def connect(whom: Meter) -> Link:
            return await open_link(whom.endpoint, hdlc=replace(whom.hdlc, info_max=32), trace=trace)

        async def record(_event: Event) -> None: ...

        (judged,) = await Delivery(known, record, connect=connect).run([token])
        assert judged.verdict.outcome is Outcome.ACCEPTED
        assert trace is not None
        trace.close()
    return token


def packets(tshark: str, file: Path) -> list[dict[str, list[str]]]:
    """The chosen fields of all packets."""
    chosen = [option for field in FIELDS for option in ("-e", field)]
    done = subprocess.run(
        [tshark, *TSHARK_OPTIONS, "-r", str(file), "-T", "json", *chosen],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "cut short" not in done.stderr
    return [packet["_source"]["layers"] for packet in json.loads(done.stdout)]


def details(tshark: str, file: Path) -> str:
    """All that Wireshark can say about these packets, with their bytes."""
    command = [tshark, *TSHARK_OPTIONS, "-r", str(file), "-V", "-x"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.parametrize(
    ("scheme", "security"), [("tcp", "none"), ("tcp", "lls"), ("hdlc+tcp", "lls"), ("hdlc+tcp", "hls-gmac")]
)
async def test_wireshark_opens_the_trace_of_a_delivery(tmp_path: Path, tshark: str, scheme: str, security: str) -> None:
    meter = LabMeter(
        id="meter",
        name="meter",
        where=("--listen", f"{scheme}://127.0.0.1:0"),
        security=("--security", security),
        pan=PAN,
        system_title="53494D0000000001",
    )
    file, lines = tmp_path / "a.pcapng", tmp_path / "a.jsonl"
    token = await deliver(tmp_path, meter, file, lines)
    told: list[dict[str, Any]] = [json.loads(line) for line in lines.read_text().splitlines()]
    frames = [event for event in told if event["layer"] == "frame"]
    seen = packets(tshark, file)
    assert [packet["udp.payload"] for packet in seen] == [[frame["hex"].lower()] for frame in frames]
    for packet, frame in zip(seen, frames, strict=True):
        assert "_ws.malformed" not in packet
        assert packet["_ws.expert.severity"] == [COMMENT_SEVERITY]
        assert "4059" in packet["udp.port"]
        assert packet["frame.p2p_dir"] == ["0" if frame["direction"] == "sent" else "1"]
        assert frame.get("apdu", "") in packet["frame.comment"][0]
        assert frame.get("kind", "wrapper") in packet["frame.comment"][0]
    names = [frame["apdu"] for frame in frames if "apdu" in frame]
    said = "\n".join(packet["frame.comment"][0] for packet in seen)
    assert names[:2] == ["aarq", "aare"]
    assert ("glo-action-request" if security == "hls-gmac" else "action-request") in names
    assert "execution-ok (3)" in said
    shown = details(tshark, file) + lines.read_text() + said
    secrets = [token.digits, LAB_PASSWORD, *(form.to_octets(token).hex().upper() for form in TokenEncoding)]
    for secret in secrets:
        assert secret not in shown
