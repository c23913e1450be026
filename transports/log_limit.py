"""LogLimit: some lines of a kind, and then only how many there were."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

LINES_MAX = 20
PERIOD_SECONDS = 60.0


class LogLimit:
    """Lets the first ``LINES_MAX`` lines of each minute through; the next minute's first says how many were not."""

    def __init__(self, logger: logging.Logger, now: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._now = now
        self._since = -PERIOD_SECONDS
        self._lines = 0

    def log(self, level: int, message: str, *values: object, extra: Mapping[str, object] | None = None) -> None:
        if not self._logger.isEnabledFor(level):
            return
        at = self._now()
        if at - self._since >= PERIOD_SECONDS:
            left_out = self._lines - LINES_MAX
            self._since, self._lines = at, 0
            if left_out > 0:
                self._logger.log(level, "%d more such lines were left out", left_out)
        self._lines += 1
        if self._lines <= LINES_MAX:
            self._logger.log(level, message, *values, extra=extra)
