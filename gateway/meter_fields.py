"""Which field of a meter's description an error is about, and its words without what was given. Pure.

The parsers below the head-end speak of options and settings; a caller of the API knows fields.
"""

from __future__ import annotations

import re

from cosem_objects.errors import SettingError

_QUOTED = re.compile(r"""\s?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
_BARE_URL = re.compile(r"[a-z+]+://\S+?(?=[:;,]?(?:\s|$))")
_FORM_URL = re.compile(r"://(?:host|/)")
_FIELDS = (
    ("meter-system-title", "security.meter_system_title"),
    ("system-title", "security.client_system_title"),
    ("suite", "security.suite"),
    ("ciphering", "security.ciphering"),
    ("protection", "security.protection"),
    ("security", "security.mechanism"),
    ("ek:", "security.ek"),
    ("ak:", "security.ak"),
    ("physical", "physical"),
    ("client-sap", "client_sap"),
    ("HDLC address", "server_sap"),
)
"""How a message begins, and the field that it is about. The first match wins."""


class MeterFieldError(SettingError):
    """A field of a meter's description is unusable. ``field`` is empty where it is several of them together."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message


def field_of_message(message: str) -> str | None:
    """The field, if the words name one."""
    return next((field for beginning, field in _FIELDS if message.startswith(beginning)), None)


def without_quotations(message: str) -> str:
    """The message without what it quotes; URLs stay where they only show the form of one."""
    unquoted = _QUOTED.sub("", message)
    return _BARE_URL.sub(lambda url: url[0] if _FORM_URL.search(url[0]) else "it", unquoted).strip()
