"""What the callers saw, line by line on disk: the first of the checker's three logs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any


class Journal:
    """Appends; each line is with the kernel when ``write`` returns."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self.lines = 0

    def write(self, what: str, **said: Any) -> None:
        self.lines += 1
        self._file.write(json.dumps({"at": round(time.time(), 3), "what": what, **said}) + "\n")

    def close(self) -> None:
        self._file.close()


def read_journal(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
