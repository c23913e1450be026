"""Where the operator's key-encryption key comes from: the environment, or a file that nobody else may read."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.vault import KEY_OCTETS, KeyEncryptionKey, VaultError

VARIABLE = "STSGATE_KEY_ENCRYPTION_KEY"
FILE_VARIABLE = "STSGATE_SERVICE_KEY_FILE"
FILE_NAME = "key-encryption.key"
_EXPECTED = f"expected {KEY_OCTETS} octets as base64, or as {2 * KEY_OCTETS} hexadecimal digits"
_FILE_OCTETS_MAX = 1024


@dataclass(frozen=True, slots=True)
class KeySource:
    """One place where the key is, or will be made."""

    file: Path
    text: str | None = field(default=None, repr=False)
    """What the environment says; it goes before the file."""

    @classmethod
    def of(cls, data_dir: Path, environment: Mapping[str, str], key_file: Path | None = None) -> KeySource:
        """The variable with the key itself, else the file that was named, else the one in the data directory."""
        named = environment.get(FILE_VARIABLE)
        chosen = key_file or (Path(named) if named else data_dir / FILE_NAME)
        return cls(chosen, environment.get(VARIABLE) or None)

    @property
    def place(self) -> str:
        """As it is named in messages."""
        return f"the environment variable {VARIABLE}" if self.text is not None else str(self.file)

    def find(self) -> KeyEncryptionKey | None:
        """None if there is none yet. Raises ``VaultError`` for one that cannot be used."""
        if self.text is not None:
            return _parse(self.text, self.place)
        return read_key_file(self.file)

    def find_or_make(self) -> KeyEncryptionKey:
        """A new installation's key. Raises ``VaultError``."""
        return self.find() or make_key_file(self.file, KeyEncryptionKey.new())


def read_key_file(path: Path) -> KeyEncryptionKey | None:
    """None if there is no such file. Raises ``VaultError``."""
    try:
        # O_NONBLOCK: a pipe in its place must not keep the start waiting.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise VaultError(f"{path}: {error.strerror}") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise VaultError(f"{path} is not a file")
        if mode & 0o077:
            raise VaultError(
                f"{path} holds a key-encryption key, and others than its owner may use it: chmod 600 {path}"
            )
        octets = os.read(descriptor, _FILE_OCTETS_MAX)
    finally:
        os.close(descriptor)
    return _parse(octets.decode("ascii", "replace"), str(path))


def make_key_file(path: Path, key: KeyEncryptionKey) -> KeyEncryptionKey:
    """Write it where nothing is yet, whole or not at all, on disk when this returns. Raises ``VaultError``."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        write_durably(partial, _text(key))
        try:
            os.link(partial, path)  # unlike a rename, this never replaces a key
        finally:
            partial.unlink()
        fsync_directory(path.parent)
    except OSError as error:
        raise VaultError(f"no key-encryption key can be made: {path}: {error.strerror}") from None
    return key


def replace_key_file(path: Path, old: KeyEncryptionKey, new: KeyEncryptionKey) -> Path:
    """Put ``new`` in place in one step; returns where ``old`` is kept. May be done again. Raises ``VaultError``."""
    kept, partial = path.with_name(f"{path.name}.old-{old.id}"), path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with suppress(FileExistsError):
            os.link(path, kept)
        write_durably(partial, _text(new))
        partial.replace(path)
        fsync_directory(path.parent)
    except OSError as error:
        raise VaultError(f"{path} cannot be replaced: {error.strerror}") from None
    return kept


def write_durably(path: Path, octets: bytes) -> None:
    """A new file that only its owner may use, on disk when this returns. Raises ``OSError``."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(descriptor)


def fsync_directory(path: Path) -> None:
    """A new or changed name in a directory is on disk when this returns. Raises ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _text(key: KeyEncryptionKey) -> bytes:
    return base64.b64encode(key.octets) + b"\n"


def _parse(text: str, place: str) -> KeyEncryptionKey:
    written = text.strip()
    try:
        if len(written) == 2 * KEY_OCTETS:
            octets = bytes.fromhex(written)
        else:
            octets = base64.b64decode(written.rstrip("=").translate(_URL_SAFE) + "=", validate=True)
    except (ValueError, binascii.Error):
        raise VaultError(f"{place}: {_EXPECTED}") from None
    if len(octets) != KEY_OCTETS:
        raise VaultError(f"{place}: {_EXPECTED}, got {len(octets)} octets")
    return KeyEncryptionKey(octets)


_URL_SAFE = str.maketrans("-_", "+/")
