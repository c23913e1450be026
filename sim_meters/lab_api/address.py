"""Where the lab API listens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from cosem_objects.errors import SettingError

_FORM = re.compile(r"(\[[0-9a-fA-F:.]{2,45}\]|[0-9.]{7,15}):(\d{1,5})", re.ASCII)


@dataclass(frozen=True, slots=True)
class LabAddress:
    """Where it listens: an address of this machine and a port, 0 for a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, *, allow_remote: bool = False) -> LabAddress:
        """Read ``127.0.0.1:8400`` or ``[::1]:8400``. Raises ``SettingError``; also for an address that others can
        reach, unless that is allowed: nobody is asked who he is."""
        match = _FORM.fullmatch(text)
        try:
            address = None if match is None else ip_address(match[1].strip("[]"))
        except ValueError:
            address = None
        if match is None or address is None or int(match[2]) > 65_535:
            raise SettingError(f"lab-api: expected ADDRESS:PORT, such as 127.0.0.1:8400; got {text!r}")
        if not address.is_loopback and not allow_remote:
            raise SettingError(f"lab-api: {address} can be reached from outside; expected a loopback address")
        return cls(str(address), int(match[2]))

    @property
    def is_local(self) -> bool:
        return ip_address(self.host).is_loopback
