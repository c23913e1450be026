"""The lab's token issuer: credit tokens for a simulated meter, under its own key."""

from __future__ import annotations

from datetime import UTC
from random import Random

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token
from sim_meters.meter import SimMeter
from sim_meters.sts.amount import amount_of, parse_amount, units_for
from sim_meters.sts.tokens import encode_credit

CREDIT = "credit"


class LabIssuer:
    """Knows the last TID that it gave to each meter, so that no two of its tokens are the same."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(f"{seed}/issuer")  # noqa: S311 - four bits that make two tokens look different
        self._last_tids: dict[str, int] = {}

    def issue(self, meter: SimMeter, kind: str, amount: str, unit: str | None) -> tuple[Token, str]:
        """A token, and the amount that it stands for. Raises ``SettingError``."""
        account = meter.config.unit
        if kind != CREDIT:
            raise SettingError(f"kind: expected {CREDIT}; no other tokens are made here")
        if unit is not None and unit.lower() != account.currency.name.lower():
            raise SettingError(f"unit: expected {account.currency.name}, which this meter sells")
        units = units_for(parse_amount(amount), account.kind.decimals)
        device_name, base_date = meter.config.device_name, meter.config.key.base_date
        now = meter.now().astimezone(UTC).replace(tzinfo=None)
        tid = base_date.next_tid(now, self._last_tids.get(device_name))
        rnd = None if account.kind.is_currency else self._rng.randrange(16)
        token = encode_credit(meter.config.decoder_key, account.kind, units, tid, rnd)
        self._last_tids[device_name] = tid
        return token, f"{amount_of(units, account.kind.decimals):f} {account.currency.name}"
