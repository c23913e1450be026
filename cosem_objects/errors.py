"""The errors of the MEANING layer: one family per question.

``TokenFormatError``: is this a token at all?  ``SettingError``: is this setting usable?
``LocalProtocolError`` and ``RemoteProtocolError``: who broke the rules of the protocol?  Bytes from outside may
raise only ``RemoteProtocolError`` and its children.
"""

from __future__ import annotations


class TokenFormatError(ValueError):
    """The digits or octets cannot be an STS token."""


class SettingError(ValueError):
    """A setting (option, profile field, key, address) is unusable; the message names it and what was expected."""


class LocalProtocolError(Exception):
    """We asked for something the protocol does not allow now: a bug on our side."""


class RemoteProtocolError(Exception):
    """The other side broke the rules: malformed, out of order, forged or replayed bytes."""


class RemoteRefusal(RemoteProtocolError):
    """The other side kept to the rules and said no; the message says what it said and what to do about it."""
