"""Settings for meters that call in, and for hints, as people write them. Each refusal says what was expected. Pure."""

from __future__ import annotations

import re

from transports.endpoint import CALL_IN_SCHEMES, Endpoint

TITLE_LINE = "(?P<title>[0-9A-Fa-f]{16})"
"""A login line that is the system title alone."""
_GROUP = re.compile(r"[A-Za-z0-9_-]{1,64}")


def checked_listen(text: str) -> str:
    """Empty, or where to listen. Raises ``ValueError``."""
    if text:
        endpoint = Endpoint.parse(text)
        if endpoint.scheme not in CALL_IN_SCHEMES:
            raise ValueError("meters call in by tcp or tcps")
    return text


def checked_login_pattern(text: str) -> str:
    """Raises ``ValueError``."""
    if text:
        login_pattern(text)
    return text


def login_pattern(text: str) -> re.Pattern[str]:
    """Raises ``ValueError`` for what is no expression, or has no group that says who calls."""
    try:
        pattern = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"it is no regular expression: {error}") from None
    if not {"title", "name"} & set(pattern.groupindex):
        raise ValueError("it has no group named title or name")
    return pattern


def checked_brokers(text: str) -> str:
    """Raises ``ValueError``."""
    brokers(text)
    return text


def brokers(text: str) -> tuple[Endpoint, ...]:
    """Of each, scheme, host and port count. Raises ``ValueError``."""
    found = tuple([Endpoint.parse(f"{url}/-/-") for url in text.split()])
    if any(one.scheme not in {"mqtt", "mqtts"} or not one.port for one in found):
        raise ValueError("a broker is mqtt://host:port or mqtts://host:port")
    return found


def checked_group(text: str) -> str:
    """Raises ``ValueError``."""
    if not _GROUP.fullmatch(text):
        raise ValueError("letters, digits, dashes or underscores were expected")
    return text
