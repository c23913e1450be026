"""Logs: a line for each thing, the ids of what it is about, and never a secret."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.serving.logs import FIELDS, configure_logs, set_level

ROOT = Path(__file__).parents[2]
SECRETS = (
    "12345678901234567890",
    "1234 5678 9012 3456 7890",
    "1234-5678-9012-3456-7890",
    "000102030405060708090A0B0C0D0E0F",
    "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f",
)
UUID = "550e8400-e29b-41d4-a716-446655440000"


class Log:
    """What was written, in one of the two forms."""

    def __init__(self, form: str) -> None:
        self.form = form
        self.stream = io.StringIO()
        self.logger = logging.getLogger("gateway.test")
        configure_logs("debug", form, self.stream)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture(autouse=True)
def root_logger_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture(params=["text", "json"])
def log(request: pytest.FixtureRequest) -> Log:
    return Log(request.param)


def _in_message(logger: logging.Logger, secret: str) -> None:
    logger.warning(f"got {secret}, it said")  # noqa: G004 - what a careless line would do


def _in_arguments(logger: logging.Logger, secret: str) -> None:
    logger.warning("got %s and %r", secret, {"token": secret})


def _in_exception(logger: logging.Logger, secret: str) -> None:
    try:
        try:
            raise ValueError(f"bad {secret}")
        except ValueError as error:
            raise RuntimeError(f"then {secret}") from error
    except RuntimeError:
        logger.exception("failed")


def _in_an_exception_as_argument(logger: logging.Logger, secret: str) -> None:
    logger.error("failed: %s", ValueError(f"bad {secret}"))


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("write", [_in_message, _in_arguments, _in_exception, _in_an_exception_as_argument])
def test_no_token_and_no_key_is_in_any_line(
    log: Log, write: Callable[[logging.Logger, str], None], secret: str
) -> None:
    write(log.logger, secret)
    assert log.text
    assert not re.search(r"[0-9A-Fa-f](?:[ -]?[0-9A-Fa-f]){14,}", log.text.partition("gateway.test")[2])
    assert f"…{secret[-4:]}" in log.text


def test_a_whole_token_is_not_even_shown_as_a_field(log: Log) -> None:
    log.logger.info("done", extra={"order": SECRETS[0], "meter": SECRETS[1]})
    assert "7890" in log.text
    assert SECRETS[0] not in log.text
    assert SECRETS[1] not in log.text


def test_ids_are_shown_as_they_are(log: Log) -> None:
    log.logger.info("done", extra={"order": UUID, "meter": "600727000000000009", "link": "tcp://10.0.0.1:4059"})
    for value in (UUID, "600727000000000009", "tcp://10.0.0.1:4059"):
        assert value in log.text


def test_a_line_for_people_has_time_level_place_message_and_fields() -> None:
    log = Log("text")
    log.logger.warning("away: %s", "no answer", extra={"meter": "m1", "order": "o1"})
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(rf"{stamp} WARNING gateway\.test: away: no answer \(order=o1, meter=m1\)\n", log.text)


def test_a_line_for_programs_is_one_object() -> None:
    log = Log("json")
    log.logger.info("two\nlines", extra={name: name for name in FIELDS})
    (shown,) = log.objects
    assert datetime.fromisoformat(shown.pop("time")).tzinfo == UTC
    fields = {name: name for name in FIELDS}
    assert shown == {"level": "info", "logger": "gateway.test", "message": "two?lines", **fields}


def test_an_exception_comes_with_its_traceback() -> None:
    for form in ("text", "json"):
        log = Log(form)
        _in_exception(log.logger, "nothing")
        shown = log.text if log.form == "text" else log.objects[0]["exception"]
        assert "Traceback (most recent call last)" in shown
        assert "ValueError: bad nothing" in shown
        assert "RuntimeError: then nothing" in shown


def test_nobody_can_write_a_line_that_looks_like_ours() -> None:
    log = Log("text")
    forged = "2026-11-21T12:00:00.000Z INFO gateway: forged"
    log.logger.warning("it said %s", f"x\n{forged}")
    try:
        raise ValueError(f"x\n{forged}")
    except ValueError:
        log.logger.exception("failed")
    lines = log.text.splitlines()
    assert sum("forged" in line for line in lines) >= 2
    assert not any(line.startswith("2026-11-21T12:00:00.000Z") for line in lines)


def test_the_level_can_be_changed_while_it_runs(log: Log) -> None:
    set_level("warning")
    log.logger.info("quiet")
    set_level("info")
    log.logger.info("loud")
    assert "quiet" not in log.text
    assert "loud" in log.text


def test_configuring_again_does_not_write_everything_twice() -> None:
    configure_logs("info", "text", io.StringIO())
    log = Log("text")
    log.logger.info("once")
    assert log.text.count("once") == 1
    assert logging.getLogger().level == logging.DEBUG


def test_a_log_that_nobody_reads_stops_nothing() -> None:
    """Its reader is gone, as when the terminal is closed."""
    program = "import logging\nfrom gateway.serving.logs import configure_logs\nconfigure_logs('info', 'text')\n"
    program += "for number in range(10): logging.getLogger('x').error('%d', number)\nprint('went on')"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=writer, text=True, check=False
    )
    os.close(writer)
    assert done.stdout == "went on\n"
