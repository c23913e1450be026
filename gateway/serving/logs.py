"""Logs: one line on standard error for each thing that happened, for people or as JSON, and no secret in any of them.

Code that logs gives the ids of what it speaks of as fields, ``extra={"order": ..., "meter": ...}``, and not in the
message: from messages, arguments and exceptions every long run of digits is cut out, because it may be a token or a
key, and an order's id may look like one. A field is shown as it is, unless a whole token stands in it.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import IO

from gateway.shown import printable, without_secrets

FIELDS = ("order", "meter", "link", "webhook", "key")
"""What a line may be about: ids, never contents."""


def configure_logs(level: str, form: str, stream: IO[str] | None = None) -> None:
    """All logs of this process, also those of libraries, go to ``stream`` (standard error). ``form``: text or json."""
    handler = _QuietHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _QuietHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    set_level(level)
    logging.captureWarnings(capture=True)


def set_level(level: str) -> None:
    """From now on; libraries tell their details at ``debug`` only when it is really wanted."""
    logging.getLogger().setLevel(level.upper())


class _QuietHandler(logging.StreamHandler[IO[str]]):
    """Where nobody can read the log any more (closed pipe, full disk), the service goes on without."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        del record


class _MaskingFormatter(logging.Formatter):
    """What both forms share: the parts of a line, without secrets."""

    def message(self, record: logging.LogRecord) -> str:
        return printable(without_secrets(record.getMessage()))

    def fields(self, record: logging.LogRecord) -> dict[str, str]:
        values = {name: getattr(record, name, None) for name in FIELDS}
        return {name: printable(str(value)) for name, value in values.items() if value is not None}

    def exception(self, record: logging.LogRecord) -> str:
        """The traceback, and what ``stack_info`` asked for; empty = none."""
        parts = [self.formatException(record.exc_info)] if record.exc_info else []
        if record.stack_info:
            parts.append(record.stack_info)
        return "\n".join(printable(without_secrets(line)) for part in parts for line in part.splitlines())

    def moment(self, record: logging.LogRecord) -> str:
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(_MaskingFormatter):
    """``2026-11-21T12:00:00.123Z WARNING gateway.lane: away: no answer (meter=m1)``; a traceback follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        fields = ", ".join(f"{name}={value}" for name, value in self.fields(record).items())
        line = f"{self.moment(record)} {record.levelname} {record.name}: {self.message(record)}"
        exception = self.exception(record)
        return line + (f" ({fields})" if fields else "") + "".join(f"\n    {part}" for part in exception.splitlines())


class JsonFormatter(_MaskingFormatter):
    """One object: ``time``, ``level``, ``logger``, ``message``, the fields, and ``exception`` if there was one."""

    def format(self, record: logging.LogRecord) -> str:
        shown = {
            "time": self.moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.message(record),
            **self.fields(record),
        }
        if exception := self.exception(record):
            shown["exception"] = exception
        return json.dumps(shown, ensure_ascii=False)
