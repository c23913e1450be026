"""What ``simmeters sts encode key-change`` is asked for: the present key, the new key, and the form of the set."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass

from cosem_objects.errors import SettingError
from sim_meters.sts.commands.issue_options import read_moment
from sim_meters.sts.commands.key_options import KEY_OPTIONS, has_key, read_base_date, read_decoder_key
from sim_meters.sts.keys.key_attributes import parse_digits, parse_key_type
from sim_meters.sts.keys.key_expiry import KEN_NEVER, is_expired, last_moment
from sim_meters.sts.keys.key_type_rules import is_permitted
from sim_meters.sts.machine.token_machine import CARRIERS
from sim_meters.sts.tid import BaseDate
from sim_meters.sts.tokens.key_change import MeterKey

ATTRIBUTES = {
    "sgc": ("DIGITS", "supply group code"),
    "ti": ("NN", "tariff index"),
    "krn": ("N", "key revision number"),
    "kt": ("N", "key type"),
    "base_date": ("YEAR", "base date"),
    "ea": ("NN", "encryption algorithm; from 07 to 11 takes a set of 4"),
    "dkga": ("NN", "key generation algorithm"),
}
"""What a key change may change beside the vending key: name, and what ``--help`` says of its option."""

_LONG_KEYS = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChangePlan:
    """The set that is asked for."""

    present: MeterKey
    new: MeterKey
    present_base_date: BaseDate
    new_base_date: BaseDate
    rollover: bool
    sections: int
    knows_sgc: bool
    """Whether the supply group code of the new key was said. A set of two does without."""
    says_ken: bool
    """Whether the key expiry number was said: that of the present key is not known, so it may change."""

    @property
    def deliver_options(self) -> tuple[str, ...]:
        """Options of ``stsgate deliver`` by which class 116 will show that the new key is in force."""
        present, new = self.present, self.new
        shown = {
            "krn": (present.krn, new.krn),
            "ti": (present.ti, new.ti),
            "kt": (present.kt, new.kt),
            "ea": (present.decoder_key.ea, new.decoder_key.ea),
            "sgc": (present.sgc, new.sgc if self.sections > 2 else present.sgc),
        }
        changed = (f"{option_of(name)} {after}" for name, (before, after) in shown.items() if after != before)
        return (*changed, *((f"{option_of('ken')} {new.ken}",) if self.says_ken else ()))


def option_of(name: str) -> str:
    """The option for an attribute of the new key."""
    return f"--new-{name.replace('_', '-')}"


def read_plan(options: Namespace) -> KeyChangePlan:
    """What the options ask for. Raises ``SettingError``, also for what cannot be meant."""
    present, present_base_date = _meter_key(options, None), read_base_date(options)
    new_options = _new_options(options)
    try:
        new, new_base_date = _meter_key(new_options, options.new_ken), read_base_date(new_options)
    except SettingError as error:
        raise SettingError(f"new key: {error}") from None
    is_later = new_base_date > present_base_date
    plan = KeyChangePlan(
        present=present,
        new=new,
        present_base_date=present_base_date,
        new_base_date=new_base_date,
        rollover=is_later if options.rollover == "auto" else options.rollover == "yes",
        sections=_section_count(options.sections, present, new, knows_sgc=new_options.sgc is not None),
        knows_sgc=new_options.sgc is not None,
        says_ken=options.new_ken is not None,
    )
    _check(plan)
    if new.ken < KEN_NEVER:
        _check_expiry(new.ken, new_base_date.tid_at(read_moment(options)), new_base_date)
    return plan


def _new_options(options: Namespace) -> Namespace:
    """The options of the new key, under the names that those of the present key have."""
    attributes = {}
    for name in ATTRIBUTES:
        new = getattr(options, f"new_{name}")
        attributes[name] = getattr(options, name) if new is None else new
    keys = {name: getattr(options, f"new_{name}") for name in KEY_OPTIONS}
    new_options = Namespace(pan=options.pan, **attributes, **keys)
    if has_key(new_options):
        return new_options
    if options.vending_key is None and options.vending_key_file is None:
        raise SettingError("new key: expected --new-decoder-key, as the present one is a decoder key, or a vending key")
    new_options.vending_key, new_options.vending_key_file = options.vending_key, options.vending_key_file
    return new_options


def _meter_key(options: Namespace, ken: str | None) -> MeterKey:
    return MeterKey(
        decoder_key=read_decoder_key(options),
        kt=parse_key_type(options.kt),
        krn=parse_digits("krn", options.krn),
        ti=parse_digits("ti", options.ti),
        sgc=_sgc(options.sgc),
        ken=KEN_NEVER if ken is None else parse_digits("ken", ken),
    )


def _sgc(text: str | None) -> int:
    """0 if it is not known, which a decoder key allows."""
    if text is None:
        return 0
    if len(text) != 6:
        raise SettingError(f"sgc: expected six digits; got {text!r}")
    return parse_digits("sgc", text)


def _section_count(asked: str, present: MeterKey, new: MeterKey, *, knows_sgc: bool) -> int:
    is_long = new.decoder_key.ea == _LONG_KEYS
    if present.decoder_key.ea == _LONG_KEYS and not is_long:
        # guess: no source tells how a meter under EA11 would take a set of two or three.
        raise SettingError("new-ea: expected 11; a meter under EA11 takes sets of 4, which bring keys of 128 bits")
    fitting = ("4",) if is_long else ("2", "3")
    if asked == "auto":
        asked = fitting[-1] if new.sgc != present.sgc else fitting[0]
    if asked not in fitting:
        bits = 8 * len(new.decoder_key.octets)
        raise SettingError(f"sections: a key of {bits} bits comes in a set of {' or '.join(fitting)}; got {asked}")
    if asked != "2" and not knows_sgc:
        raise SettingError(f"new-sgc: is needed, a set of {asked} carries the supply group code")
    return int(asked)


def _check(plan: KeyChangePlan) -> None:
    """Refuse what cannot be meant."""
    present, new = plan.present, plan.new
    if plan.rollover and new.decoder_key == present.decoder_key:
        why = "or old tokens work again: change the KRN"
        raise SettingError(f"rollover: RO = 1 needs another key than the present one, {why}")
    if new == present and not plan.says_ken:
        raise SettingError(f"new key: nothing changes, give {', '.join(map(option_of, ATTRIBUTES))} or another key")
    if not is_permitted(present.kt, new.kt, CARRIERS):
        types = f"of type {present.kt:d} may not be replaced by one of {new.kt:d}"
        raise SettingError(f"new-kt: a keypad meter's key {types}")


def _check_expiry(ken: int, tid: int, base_date: BaseDate) -> None:
    if is_expired(ken, tid):
        last = f"{last_moment(ken, base_date):%Y-%m-%d %H:%M}"
        raise SettingError(f"new-ken: the new key expired at {last}, before the moment of issue")
