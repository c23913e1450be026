"""The lab's token issuer: tokens of every type for a simulated meter, under the key that it has now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC
from random import Random

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token, TokenClass
from sim_meters.fleet.plan import Member
from sim_meters.issuing import (
    CREDIT,
    KEY_TEXTS,
    OTHER_KINDS,
    IssuerKey,
    asked_values,
    completed,
    credit_values,
    fields_asked,
)
from sim_meters.lab_api.problems import Problem
from sim_meters.meter import SimMeter
from sim_meters.sts.keys.key_expiry import check_not_expired
from sim_meters.sts.tid import BaseDate
from sim_meters.sts.tokens.amount import parse_amount
from sim_meters.sts.tokens.clear_token import ClearToken, encode
from sim_meters.sts.tokens.token_kind import TokenKind

KEY_CHANGE, MANAGEMENT, TEST = "key_change", "management", "test"
KINDS = (CREDIT, KEY_CHANGE, MANAGEMENT, TEST)
_CLASSES = {
    MANAGEMENT: TokenClass.METER_SPECIFIC_MANAGEMENT,
    TEST: TokenClass.NON_METER_SPECIFIC_MANAGEMENT,
}
FIELDS = tuple(dict.fromkeys(name for kind in OTHER_KINDS.values() for name in fields_asked(kind)))
NEW_KEY = {f"new_{name}": name for name in KEY_TEXTS}
_OWN_MEMBERS = {
    CREDIT: ("amount", "unit", "expired"),
    KEY_CHANGE: (*NEW_KEY, "rollover", "with_sgc"),
    MANAGEMENT: ("command", *FIELDS, "expired"),
    TEST: ("command", *FIELDS),
}
MEMBERS = ("meter", "kind", *dict.fromkeys(name for names in _OWN_MEMBERS.values() for name in names))
"""Of a request for tokens."""
KEYS_KEPT_MAX = 100
"""So many keys are remembered for each meter, the newest ones."""

Body = Mapping[str, object]
Made = dict[str, object]


class LabIssuer:
    """Knows the keys that it issued for each meter; and the last TID, so that no two of its tokens are the same."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(f"{seed}/issuer")  # noqa: S311 - four bits that make two tokens look different
        self._last_tids: dict[tuple[str, BaseDate], int] = {}
        self._keys: dict[str, list[IssuerKey]] = {}

    def issue(self, member: Member, meter: SimMeter, body: Body) -> Made:
        """What was made, as JSON. Raises ``SettingError``, and ``Problem`` if the meter's key is not known here."""
        kind = _text(body, "kind", CREDIT)
        if kind not in KINDS:
            raise SettingError(f"kind: expected one of {', '.join(KINDS)}")
        for name in body:
            if name not in ("meter", "kind", *_OWN_MEMBERS[kind]):
                raise SettingError(f"{name}: tokens of kind {kind} have none; expected {', '.join(_OWN_MEMBERS[kind])}")
        if kind == KEY_CHANGE:
            return {"kind": kind, **self._issue_set(member, meter, body)}
        made = self._credit(member, meter, body) if kind == CREDIT else self._other(member, meter, body)
        return {"kind": kind, **made}

    def _credit(self, member: Member, meter: SimMeter, body: Body) -> Made:
        account = meter.config.unit
        unit = _text(body, "unit", account.currency.name)
        if unit.lower() != account.currency.name.lower():
            raise SettingError(f"unit: expected {account.currency.name}, which this meter sells")
        values = credit_values(account.kind, parse_amount(_text(body, "amount")))
        token, clear = self._token(member, meter, account.kind, values, body)
        return {"token": token.digits, "amount": f"{clear.amount:f} {account.currency.name}"}

    def _other(self, member: Member, meter: SimMeter, body: Body) -> Made:
        wanted = _CLASSES[_text(body, "kind")]
        commands = {name: kind for name, kind in OTHER_KINDS.items() if kind.token_class is wanted}
        command = _text(body, "command")
        if command not in commands:
            raise SettingError(f"command: expected one of {', '.join(commands)}")
        said = {name: _digits(body, name) for name in FIELDS if name in body}
        token, clear = self._token(member, meter, commands[command], asked_values(commands[command], said), body)
        return {"command": command, "token": token.digits, "words": clear.words}

    def _token(
        self, member: Member, meter: SimMeter, kind: TokenKind, values: Mapping[str, int], body: Body
    ) -> tuple[Token, ClearToken]:
        if kind.token_class is TokenClass.NON_METER_SPECIFIC_MANAGEMENT:
            clear = completed(kind, values, 0, 0)  # it carries neither, and needs no key
            return encode(clear), clear
        key, name = self._present_key(member, meter), meter.config.device_name
        now = meter.now().astimezone(UTC).replace(tzinfo=None)
        tid = key.base_date.next_tid(now, self._last_tids.get((name, key.base_date)))
        if not _flag(body, "expired"):
            check_not_expired(meter.state.machine.key.ken, tid, key.base_date)
        clear = completed(kind, values, tid, self._rng.randrange(16))
        self._last_tids[name, key.base_date] = tid
        return encode(clear, key.decoder_key), clear

    def _issue_set(self, member: Member, meter: SimMeter, body: Body) -> Made:
        said = {name: _digits(body, place) for place, name in NEW_KEY.items() if place in body}
        if not said:
            raise SettingError(f"new key: expected at least one of {', '.join(NEW_KEY)}")
        key = self._present_key(member, meter)
        new = key.other(said)
        tokens = key.set_to(new, rollover=_flag(body, "rollover"), with_sgc=_flag(body, "with_sgc"))
        kept = self._keys.setdefault(meter.config.device_name, [])
        kept.append(new)
        del kept[:-KEYS_KEPT_MAX]
        return {"tokens": [token.digits for token in tokens], "new_key": new.shown}

    def _present_key(self, member: Member, meter: SimMeter) -> IssuerKey:
        """The key that the meter has now, whatever became of the sets that were issued."""
        present = meter.state.machine.key
        for key in self._possible_keys(member, meter):
            if key.decoder_key == present.decoder_key:
                return key
        raise Problem("conflict", "the meter's present key was not issued here; its base date is not known")

    def _possible_keys(self, member: Member, meter: SimMeter) -> Iterator[IssuerKey]:
        yield from reversed(self._keys.get(meter.config.device_name, []))
        first = IssuerKey.of(meter.config, member.group.vending_key)
        yield first
        if first.vending_key is None:
            return
        # Of a change in an earlier run the meter tells everything but the base date, which is a part of the key.
        now = meter.state.machine.key
        shown = {"sgc": f"{now.sgc:06d}", "ti": f"{now.ti:02d}", "krn": str(now.krn), "kt": f"{now.kt:d}"}
        for base_date in BaseDate:
            try:
                yield first.other(
                    {**shown, "ken": str(now.ken), "ea": str(now.decoder_key.ea), "base_date": f"{base_date:d}"}
                )
            except SettingError:  # no vending key makes such a one
                continue


def _text(body: Body, name: str, usual: str | None = None) -> str:
    value = body.get(name)
    if value is None and usual is not None:
        return usual
    if not isinstance(value, str) or not 0 < len(value) <= 100:
        raise SettingError(f"{name}: expected text of 1 to 100 letters")
    return value


def _digits(body: Body, name: str) -> str:
    """A whole number stands for its digits."""
    value = body[name]
    is_whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64
    return str(value) if is_whole else _text(body, name)


def _flag(body: Body, name: str) -> bool | None:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise SettingError(f"{name}: expected true or false")
    return value
