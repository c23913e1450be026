"""The targets by name. ``load`` imports one, so that the fuzzer can watch its imports."""

from __future__ import annotations

import importlib
from typing import Protocol, cast

NAMES = (
    "axdr",
    "apdu",
    "acse",
    "ciphered",
    "wrapper",
    "hdlc_frames",
    "hdlc_connection",
    "profile",
    "token",
    "token_machine",
    "endpoint",
    "mqtt_meter",
    "mode_e",
    "fleet",
    "fault_order",
    "first_words",
    "push",
    "scenario",
    "server",
    "client",
    "masking",
    "translator",
)


class Target(Protocol):
    """What every module here has."""

    SIZE_MAX: int
    """Octets of the longest input that is worth trying."""

    @staticmethod
    def seeds() -> list[bytes]:
        """Inputs to begin with, beside the kept ones."""

    @staticmethod
    def one_input(octets: bytes) -> None:
        """Raises ``AssertionError``, or whatever came out of the decoder that must not."""


def load(name: str) -> Target:
    return cast("Target", importlib.import_module(f"tests.fuzz.targets.{name}"))
