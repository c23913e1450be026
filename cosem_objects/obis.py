"""OBIS codes, the names of COSEM objects (IEC 62056-6-1): six numbers A-B:C.D.E.F."""

from __future__ import annotations

import re
from dataclasses import dataclass
from reprlib import repr as shown

from cosem_objects.errors import RemoteProtocolError, SettingError

_FORM = re.compile(r"(\d{1,3})-(\d{1,3}):(\d{1,3})\.(\d{1,3})\.(\d{1,3})[.*](\d{1,3})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ObisCode:
    """Six octets A to F. Written ``0-0:19.40.0.255``."""

    octets: bytes

    @classmethod
    def parse(cls, text: str) -> ObisCode:
        """Read ``A-B:C.D.E.F``. Raises ``SettingError``."""
        match = _FORM.fullmatch(text.strip())
        if match is None or any(int(group) > 255 for group in match.groups()):
            raise SettingError(f"OBIS code {shown(text)}: expected six numbers up to 255 like 0-0:19.40.0.255")
        return cls(bytes(int(group) for group in match.groups()))

    @classmethod
    def from_octets(cls, octets: bytes) -> ObisCode:
        if len(octets) != 6:
            raise RemoteProtocolError(f"a logical name has 6 octets; {len(octets)} were received")
        return cls(octets)

    def __str__(self) -> str:
        a, b, c, d, e, f = self.octets
        return f"{a}-{b}:{c}.{d}.{e}.{f}"

    def __repr__(self) -> str:
        return f"<ObisCode {self}>"
