"""The commands that work on a data directory, as somebody types them."""

from __future__ import annotations

from gateway.__main__ import main


def stsgate(*arguments: object) -> int:
    """Its exit code; wrong usage that the parser finds is ``SystemExit(2)``."""
    return main([str(argument) for argument in arguments])
