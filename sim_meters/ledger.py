"""The meter's ledger: an append-only list of what happened to its money, its keys and its counters. The rest is
derived.

How to think about it: every change of a meter is one record, and every record is one line. A line is on the disk
before the meter answers, so what a client was told survives a power cut; and a line is either there or not, so a
token is either booked - with its amount, its TID and what the Token gateway shows - or never came.

A line is JSON. Its last member, ``sum``, covers the line *and the sum of the line before*, so a line that was
changed, removed or moved is found when the meter starts. Only the end may be torn: a process killed, or a machine
without power, in the middle of its last write leaves a line without its end. Nobody was answered for such a line,
and it is dropped.

The file holds whole tokens, because the Token gateway shows the last one after a restart, and in clear the DLMS keys
that were transferred and the key-change sections that were taken in: it is the memory of a simulated meter, and
readable for its owner only. None of them is ever shown.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cosem_objects.errors import SettingError
from cosem_objects.security_setup import KeyId
from cosem_objects.sts_token import Token
from sim_meters.records import (
    CountersKept,
    EmergencyTaken,
    KeysTransferred,
    Record,
    StateRecord,
    Switched,
    Tampered,
    TokenEntry,
    from_fields,
    to_fields,
    token_digest,
)

_log = logging.getLogger(__name__)
_FORMAT = 1
_SUM_MARK = b',"sum":"'
_SUM_DIGITS = 16


class LedgerError(Exception):
    """The ledger cannot be read, or could not be written: then nothing more may be answered."""


_NEVER_USED = CountersKept(received=-1, sent_limit=1)


class Ledger:
    """A ledger in memory; its content outlives the meter object, but not the process."""

    def __init__(self) -> None:
        self.records: list[StateRecord] = []
        """All but keys and counters, of which only the last count."""
        self.keys: Mapping[KeyId, bytes] = {}
        """Those that were transferred, as they are now."""
        self.counters = _NEVER_USED
        """The last ones written down."""
        self._counters: dict[str, CountersKept] = {}

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
        """How often this token was accepted. One with a TID never more than once, if the meter is right; tests and
        key-change sections carry none, and may be."""
        digest = token_digest(token)
        return sum(entry.is_accepted and entry.digest == digest for entry in self.entries)

    @property
    def units_credited(self) -> int:
        """The sum of all bookings, in token units, less what was kept of them, and all emergency credit: the
        balance."""
        taken = sum(record.units for record in self.records if isinstance(record, EmergencyTaken))
        return taken + sum(entry.balance_change for entry in self.entries)

    def counters_of(self, key_digest: str) -> CountersKept:
        """The counters of a key. One that was never used starts anew; one that comes back, where it was: no nonce is
        ever used twice."""
        return self._counters.get(key_digest) or self._counters.get("", _NEVER_USED)

    def _remember(self, record: Record) -> None:
        match record:
            case CountersKept():
                self.counters = self._counters[record.key_digest] = record
            case KeysTransferred():
                self.keys = {**self.keys, **record.keys}
                if KeyId.GLOBAL_UNICAST_ENCRYPTION_KEY in record.keys:
                    self._counters.pop("", None)  # they were of the key that is now replaced
            case TokenEntry() | Switched() | EmergencyTaken() | Tampered():
                self.records.append(record)


class FileLedger(Ledger):
    """A ledger in one file. ``identity`` says whose it is; the file of another meter is refused (``SettingError``).

    ``stays_open``: for this process alone, until it is closed. Otherwise the file is only open while it is read or
    written, as thousands of meters have more ledgers than a process may have files.
    """

    def __init__(self, path: Path, identity: Mapping[str, str], *, stays_open: bool = True) -> None:
        super().__init__()
        self._path = path
        self._failure = ""
        self._sum = ""
        self._size = 0
        self._stays_open = stays_open
        self._file = _open_alone(path)
        try:
            self._load({"kind": "meter", "format": _FORMAT, **identity})
        except BaseException:
            self.close()
            raise
        if not stays_open:
            self.close()

    def append(self, record: Record) -> None:
        self._write(to_fields(record))
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
        self._size = size
        if not lines:
            self._write_line(header)
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
        if self._stays_open:
            self._write_line(fields)
            return
        self._file = _open_alone(self._path)
        try:
            if os.fstat(self._file).st_size != self._size:
                self._failure = f"ledger {self._path}: somebody else changed it"
                raise LedgerError(self._failure)
            self._write_line(fields)
        finally:
            self.close()

    def _write_line(self, fields: Mapping[str, Any]) -> None:
        line, line_sum = _make_line(fields, self._sum)
        try:
            if os.write(self._file, line) == len(line):
                os.fsync(self._file)
                self._sum = line_sum
                self._size += len(line)
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


def lock_directory(directory: Path) -> int:
    """Let no other fleet use the ledgers there, until the descriptor is closed. Raises ``LedgerError``."""
    return _open_alone(directory / "fleet.lock")


def _open_alone(path: Path) -> int:
    """Open for this process alone. The lock goes with the process, even if that is killed. Raises ``LedgerError``."""
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
                records.append(from_fields(fields))
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
