"""Ids in paths, where they name something new."""

from __future__ import annotations

import re

from gateway.api.expected import PATTERN_WORDS
from gateway.api.fields import NO_TOKENS_IN_IDS, looks_like_token
from gateway.api.problems import Problem, invalid


def check_id(given: str, pattern: str) -> None:
    """Raises ``Problem``: 400 for another form, 422 for what may be a token."""
    if not re.fullmatch(pattern, given):
        raise Problem("invalid-parameter", f"the id in the path: {PATTERN_WORDS[pattern]}")
    if looks_like_token(given):
        raise invalid([("id", NO_TOKENS_IN_IDS)])
