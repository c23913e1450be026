"""``--trace`` of both commands: the same names, the same refusals, the same secrets."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import SettingError
from gateway.cli import trace_option as of_deliver
from sim_meters import trace_option as of_run
from tests.cosem_objects.secret_conversations import remains
from transports.trace.trace import Direction, Trace
from transports.trace.wrapper import WrapperObserver
from transports.wrapper import wrap

ENTER = bytes.fromhex("C301C100730000132800FF0101090A48643202781314010686")
Read = Callable[..., Trace | None]


@pytest.fixture(params=[of_deliver, of_run], ids=["deliver", "run"])
def read(request: pytest.FixtureRequest) -> Read:
    parser = argparse.ArgumentParser()
    request.param.add_trace_options(parser)
    return lambda *options: request.param.trace_from(parser.parse_args(options), SecuritySettings())


def test_without_the_option_there_is_no_trace(read: Read) -> None:
    assert read() is None


@pytest.mark.parametrize("options", [["--trace=a.txt"], ["--trace=nowhere/a.jsonl"], ["--trace-secrets"]], ids=str)
def test_what_cannot_be_is_refused_in_one_line(read: Read, options: list[str]) -> None:
    with pytest.raises(SettingError, match="trace") as caught:
        read(*options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("secrets", [[], ["--trace-secrets"]], ids=["masked", "shown"])
def test_secrets_are_shown_on_demand_only(read: Read, tmp_path: Path, secrets: list[str]) -> None:
    files = [tmp_path / "a.jsonl", tmp_path / "a.pcapng"]
    trace = read(*(f"--trace={file}" for file in files), *secrets)
    assert trace is not None
    link = trace.link("meter", is_meter=False)
    WrapperObserver(link, trace).hear(Direction.SENT, wrap(1, 1, ENTER), datetime.now(UTC))
    trace.close()
    for file in files:
        assert bool(remains(file.read_bytes())) is bool(secrets)
    layers = [json.loads(line)["layer"] for line in files[0].read_text().splitlines()]
    assert layers == ["bytes", "frame", "apdu", "value"]
