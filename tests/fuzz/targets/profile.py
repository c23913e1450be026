"""The text of a profile file."""

from __future__ import annotations

import math
from pathlib import Path

from cosem_objects.errors import SettingError
from cosem_objects.profile import MeterProfile
from cosem_objects.sts_token import Token
from tests.fuzz.properties import assert_harmless

SIZE_MAX = 600
_FOLDER = Path(__file__).resolve().parents[3] / "config" / "meter_profiles"
_TOKEN = Token(48643202781314010686)


def seeds() -> list[bytes]:
    """Each line of the shipped profiles with its comment mark taken off, and some that are wrong."""
    lines = [line for file in sorted(_FOLDER.glob("*.toml")) for line in file.read_text(encoding="utf-8").splitlines()]
    fields = [line.removeprefix("# ").partition("  #")[0].rstrip() for line in lines if " = " in line]
    wrong = [
        "poll_first_seconds = nan",
        "status_map = { 10 = 3 }",
        "[status_map]\n10 = 3",
        'token_encodig = "x"',
        "a = [[[1]]]",
    ]
    names = [field.partition(" = ")[0] for field in fields]
    wrong += [f"{name} = {value}" for name in names for value in ("[3]", '"x"', "-1e9")]
    several = ["\n".join(fields[:8]), "\n".join(fields[8:16]), "\n".join(fields[16:])]
    return [text.encode() for text in (*fields, *wrong, *several)]


def one_input(octets: bytes) -> None:
    text = octets.decode("utf-8", "replace")
    try:
        profile = MeterProfile.parse_toml(text, "folder/fuzzed.toml")
    except SettingError as error:
        assert_harmless(error)
        return
    assert repr(profile)
    waits = (profile.poll_first_seconds, profile.poll_timeout_seconds, profile.response_timeout_seconds)
    assert all(math.isfinite(seconds) and 0 <= seconds <= 86_400 for seconds in waits)
    assert 64 <= profile.pdu_size_max <= 0xFFFF
    for code in range(-1, 300):
        assert profile.status_code(code) is None or profile.status_code(code) in range(9)
    sent = profile.token_encoding.to_octets(_TOKEN)
    assert profile.readback_octets_match(b"", sent) is False
