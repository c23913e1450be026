"""The meter's ledger: an append-only list of what happened to its money and its counters. The rest is derived.

How to think about it: every change of a meter is one record, and every record is one line. A line is on the disk
before the meter answers, so what a client was told survives a power cut; and a line is either there or not, so a
token is either booked - with its amount, its TID and what the Token gateway shows - or never came.

A line is JSON. Its last member, ``sum``, covers the line *and the sum of the line before*, so a line that was
changed, removed or moved is found when the meter starts. Only the end may be torn: a process killed, or a machine
without power, in the middle of its last write leaves a line without its end. Nobody was answered for such a line,
and it is dropped.

The file holds whole tokens, because the Token gateway shows the last one after a restart. It is readable for its
owner only.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import DeliveryMethod, TokenStatus
from sim_meters.sts.results import TokenResult

_log = logging.getLogger(__name__)
_FORMAT = 1
_SUM_MARK = b',"sum":"'
_SUM_DIGITS = 16


class LedgerError(Exception):
    """The ledger cannot be read, or could not be written: then nothing more may be answered."""


@dataclass(frozen=True, slots=True, repr=False)
class TokenEntry:
    """One token that was entered, whatever came of it; if ``result`` is ACCEPT, it is also the booking."""

    time: datetime
    delivery: DeliveryMethod
    octets: bytes
    """As received: what attribute 2 of the Token gateway shows."""
    status: TokenStatus
    result: TokenResult | None = None
    """What the STS checks said; ``None`` if the octets were no token at all."""
    tid: int | None = None
    units: int | None = None
    """Token units that the balance rose by (or fell, with a negative currency token); only if accepted."""
    masked: str = ""
    digest: str = ""
    """SHA-256 of the 20 digits, so that a token can be looked for without comparing digits."""
    description: str = ""
    shown: bool = True
    """False if the Token gateway went on to show the token before (a scripted fault)."""

    @property
    def is_accepted(self) -> bool:
        return self.result is TokenResult.ACCEPT

    def __repr__(self) -> str:  # the octets are the token
        return f"<TokenEntry {self.masked or 'no token'} status {self.status.code}>"


@dataclass(frozen=True, slots=True)
class Switched:
    """The load switch was told to open or to close by a client."""

    connect: bool


@dataclass(frozen=True, slots=True)
class CountersKept:
    """Invocation counters of the unicast key, for the next start."""

    received: int
    """The highest one received: only higher ones will be accepted."""
    sent_limit: int
    """Ours below this may have been used: the next start begins here."""


Record: TypeAlias = TokenEntry | Switched | CountersKept


class Ledger:
    """A ledger in memory; its content outlives the meter object, but not the process."""

    def __init__(self) -> None:
        self.records: list[TokenEntry | Switched] = []
        """All but the counters, of which only the last count."""
        self.counters = CountersKept(received=-1, sent_limit=1)

    def append(self, record: Record) -> None:
        """Keep a record for ever. Raises ``LedgerError``; then it is not to be acted on."""
        self._remember(record)

    def close(self) -> None:
        """Let go of what is held open."""

    @property
    def entries(self) -> list[TokenEntry]:
        """All tokens ever entered, oldest first."""
        return [record for record in self.records if isinstance(record, TokenEntry)]

    def times_credited(self, token: Token) -> int:
        """How often this token was booked: never more than once, if the meter is right."""
        digest = token_digest(token)
        return sum(entry.is_accepted and entry.digest == digest for entry in self.entries)

    @property
    def units_credited(self) -> int:
        """The sum of all bookings, in token units: the balance."""
        return sum(entry.units or 0 for entry in self.entries if entry.is_accepted)

    def _remember(self, record: Record) -> None:
        if isinstance(record, CountersKept):
            self.counters = record
        else:
            self.records.append(record)


class FileLedger(Ledger):
    """A ledger in one file. ``identity`` says whose it is; the file of another meter is refused (``SettingError``)."""

    def __init__(self, path: Path, identity: Mapping[str, str]) -> None:
        super().__init__()
        self._path = path
        self._failure = ""
        self._sum = ""
        self._file = _open_alone(path)
        try:
            self._load({"kind": "meter", "format": _FORMAT, **identity})
        except BaseException:
            self.close()
            raise

    def append(self, record: Record) -> None:
        self._write(_to_fields(record))
        self._remember(record)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _load(self, header: Mapping[str, Any]) -> None:
        content = self._path.read_bytes()
        lines, size = _whole_lines(content)
        if size < len(content):
            _log.warning(
                "%s: %d bytes of a record that was never finished were dropped", self._path, len(content) - size
            )
            os.ftruncate(self._file, size)
            os.fsync(self._file)
        if not lines:
            self._write(header)
            _sync_directory(self._path.parent)
            return
        found, records, self._sum = _read_lines(self._path, lines)
        for name, expected in header.items():
            if found.get(name) != expected:
                raise SettingError(f"ledger {self._path}: its {name} is {found.get(name)!r}, expected {expected!r}")
        for record in records:
            self._remember(record)

    def _write(self, fields: Mapping[str, Any]) -> None:
        if self._failure:
            raise LedgerError(self._failure)
        line, line_sum = _make_line(fields, self._sum)
        try:
            if os.write(self._file, line) == len(line):
                os.fsync(self._file)
                self._sum = line_sum
                return
            reason = "no space left"
        except OSError as error:
            reason = error.strerror or str(error)
        # What reached the disk is unknown now; only a new start, which reads it, can tell.
        self._failure = f"ledger {self._path}: cannot be written: {reason}"
        raise LedgerError(self._failure)


def read_ledger(path: Path) -> Ledger:
    """What a ledger file says, as a copy in memory. The file stays as it is. Raises ``LedgerError``."""
    ledger = Ledger()
    lines, _ = _whole_lines(path.read_bytes())
    for record in _read_lines(path, lines)[1] if lines else ():
        ledger.append(record)
    return ledger


def token_digest(token: Token) -> str:
    """What stands for a token where its digits may not stand."""
    return hashlib.sha256(token.digits.encode()).hexdigest()


def _open_alone(path: Path) -> int:
    """Open for this process alone. The lock goes with the process, even if that is killed."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerError(f"ledger {path}: cannot be opened: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise LedgerError(f"ledger {path}: another process is using it") from None
    return file


def _sync_directory(directory: Path) -> None:
    """Make a new file's name as durable as its content."""
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _whole_lines(content: bytes) -> tuple[list[bytes], int]:
    """The lines that were finished, and how many bytes they are.

    A write that was cut off has no end of line; after a power cut there may be zeros in it, as the file's length can
    reach the disk before its content. (There are no zeros in JSON.)
    """
    lines = content.splitlines(keepends=True)
    if lines and (not lines[-1].endswith(b"\n") or b"\0" in lines[-1]):
        lines.pop()
    return lines, sum(map(len, lines))


def _read_lines(path: Path, lines: Sequence[bytes]) -> tuple[dict[str, Any], list[Record], str]:
    """The header, the records, and the last sum."""
    header: dict[str, Any] = {}
    records: list[Record] = []
    line_sum = ""
    for number, line in enumerate(lines, 1):
        try:
            fields, line_sum = _read_line(line, line_sum)
            if number == 1:
                header = fields
            else:
                records.append(_from_fields(fields))
        except (ValueError, LookupError, TypeError) as error:
            raise LedgerError(f"ledger {path}, line {number}: not what the meter wrote; it is damaged") from error
    return header, records, line_sum


def _make_line(fields: Mapping[str, Any], sum_before: str) -> tuple[bytes, str]:
    body = json.dumps(fields, separators=(",", ":")).encode()[:-1]
    line_sum = _sum_of(sum_before, body)
    return body + _SUM_MARK + line_sum.encode() + b'"}\n', line_sum


def _read_line(line: bytes, sum_before: str) -> tuple[dict[str, Any], str]:
    body, _, _ = line.rpartition(_SUM_MARK)
    expected, line_sum = _sum_of(sum_before, body), line[-_SUM_DIGITS - 3 : -3].decode("ascii")
    if line != body + _SUM_MARK + expected.encode() + b'"}\n':
        raise ValueError("the sum does not fit")
    fields: dict[str, Any] = json.loads(line)
    return fields, line_sum


def _sum_of(sum_before: str, body: bytes) -> str:
    return hashlib.sha256(sum_before.encode() + body).hexdigest()[:_SUM_DIGITS]


def _to_fields(record: Record) -> dict[str, Any]:
    match record:
        case CountersKept():
            return {"kind": "counters", "received": record.received, "sent_limit": record.sent_limit}
        case Switched():
            return {"kind": "switch", "connect": record.connect}
        case TokenEntry():
            return {
                "kind": "token",
                "time": record.time.isoformat(),
                "delivery": int(record.delivery),
                "octets": record.octets.hex(),
                "status": record.status.code,
                "data_value": record.status.data_value,
                "result": None if record.result is None else record.result.name,
                "tid": record.tid,
                "units": record.units,
                "masked": record.masked,
                "digest": record.digest,
                "description": record.description,
                "shown": record.shown,
            }


def _from_fields(fields: Mapping[str, Any]) -> Record:
    match fields["kind"]:
        case "counters":
            return CountersKept(fields["received"], fields["sent_limit"])
        case "switch":
            return Switched(fields["connect"])
        case "token":
            return TokenEntry(
                time=datetime.fromisoformat(fields["time"]),
                delivery=DeliveryMethod(fields["delivery"]),
                octets=bytes.fromhex(fields["octets"]),
                status=TokenStatus(fields["status"], fields["data_value"]),
                result=None if fields["result"] is None else TokenResult[fields["result"]],
                tid=fields["tid"],
                units=fields["units"],
                masked=fields["masked"],
                digest=fields["digest"],
                description=fields["description"],
                shown=fields["shown"],
            )
        case unknown:
            raise ValueError(f"a record of unknown kind {unknown!r}")
