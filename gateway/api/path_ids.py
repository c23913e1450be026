"""Ids in paths, where they name something new."""

from __future__ import annotations

import re

from gateway.api.problems import Problem


def check_id(given: str, pattern: str) -> None:
    """Raises ``Problem`` 400."""
    if not re.fullmatch(pattern, given):
        raise Problem("invalid-parameter", f"the id in the path has to match {pattern}")
