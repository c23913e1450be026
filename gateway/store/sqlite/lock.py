"""One process owns a data directory: a lock that the kernel frees when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from gateway.store.store import StoreError, StoreFull

_NAME = "lock"


class DirectoryLock:
    """Held from ``take`` to ``free``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._descriptor: int | None = None

    def take(self) -> None:
        """Raises ``StoreError`` if another process has it, ``StoreFull`` if the directory cannot be written."""
        try:
            descriptor = os.open(self._directory / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreFull(f"{self._directory}: the lock file cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise StoreError(
                f"{self._directory}: another process works in this data directory; only one may at a time"
            ) from error
        self._descriptor = descriptor

    def free(self) -> None:
        """Once more does no harm."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
