"""Meter profiles from files: those that come with the project, and a user's own."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from cosem_objects.errors import SettingError
from cosem_objects.profile import MeterProfile

PROFILES = Path(__file__).parents[1] / "config" / "meter_profiles"


def load_profile(name: str) -> MeterProfile:
    """A profile by its name in ``config/meter_profiles``, or by the path of a file. Raises ``SettingError``."""
    is_path = "/" in name or name.endswith(".toml")
    path = Path(name) if is_path else PROFILES / f"{name}.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in PROFILES.glob("*.toml")))
        raise SettingError(f"profile {name!r}: no such file; known names: {known}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"profile {name!r}: cannot be read ({error})") from None
    return MeterProfile.parse_toml(text, str(path))


@cache
def load_named_profile(name: str) -> MeterProfile:
    """A profile by its name alone, read once: what a remote caller may choose. Raises ``SettingError``."""
    if "/" in name or name.endswith(".toml"):
        raise SettingError(f"profile {name!r}: expected a name, not a file")
    return load_profile(name)
