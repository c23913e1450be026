"""The tables ``sts`` and ``security`` of a group: who its first meter is for the vending system, and for a client."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from cosem_objects.dlms.settings import Ciphering, SecuritySettings
from cosem_objects.errors import SettingError
from cosem_objects.security_setup import KEY_SIZE
from sim_meters.fleet.fields import Fields, hex_octets, named
from sim_meters.lab import LAB_MASTER_KEY, LAB_PAN, LAB_SGC, LAB_SYSTEM_TITLE, LAB_VENDING_KEYS
from sim_meters.meter_config import title_plus
from sim_meters.sts.keys.decoder_key import DecoderKey, VendingKey, derive_decoder_key
from sim_meters.sts.keys.identity import MeterPan
from sim_meters.sts.keys.key_attributes import KeyAttributes
from sim_meters.sts.keys.key_expiry import KEN_NEVER
from sim_meters.sts.machine.machine_settings import SETTING_HELP, MachineSettings

SERIALS_APART = 1_000_000
"""So far apart begin the serials, PANs and system titles of two groups that do not say where theirs begin."""

_PASSWORD_PLACE, _KEY_PLACE = "00000000", "00" * KEY_SIZE
"""In the first meter, for what is made for each one."""


@dataclass(frozen=True, slots=True)
class StsTable:
    """The STS identity of the first meter, and what makes the decoder keys of the others."""

    key: KeyAttributes
    decoder_key: DecoderKey
    vending_key: VendingKey | None
    manufactured: datetime | None
    ken: int
    settings: MachineSettings

    @classmethod
    def read(cls, fields: Fields, position: int) -> StsTable:
        with named(fields.what):
            key = KeyAttributes.parse(
                fields.digits("pan", MeterPan.parse(LAB_PAN).plus(position * SERIALS_APART).digits),
                fields.digits("sgc", LAB_SGC),
                ti=fields.digits("ti", "01"),
                krn=fields.digits("krn", "1"),
                kt=fields.digits("kt", "2"),
                base_date=fields.digits("base_date", "2014"),
                ea=fields.digits("ea", "07"),
                dkga=fields.digits("dkga", "04"),
            )
            given_vending, given_decoder = fields.secret("vending_key"), fields.secret("decoder_key")
            manufactured = _manufactured(fields.take("manufactured"))
            ken = fields.whole("ken", 0, 255, KEN_NEVER)
            settings = _settings(fields.table("settings"))
            if given_vending is not None and given_decoder is not None:
                raise SettingError("expected vending_key or decoder_key, not both")
            if given_decoder is not None:
                decoder_key, vending_key = DecoderKey.parse(given_decoder, key.ea), None
            else:
                vending_key = VendingKey.parse(given_vending or LAB_VENDING_KEYS[key.dkga], key.dkga)
                decoder_key = derive_decoder_key(vending_key, key)
        fields.end()
        return cls(key, decoder_key, vending_key, manufactured, ken, settings)


def _settings(fields: Fields) -> MachineSettings:
    """The members are those of ``--sts-setting``; a list of indexes may be a list."""
    texts = []
    for name in SETTING_HELP:
        value = fields.take(name)
        if isinstance(value, list | tuple):
            value = ",".join(map(str, value))
        if value is not None:
            texts.append(f"{name}={str(value).lower() if isinstance(value, bool) else value}")
    fields.end()
    return MachineSettings.parse(texts)


def _manufactured(value: object) -> datetime | None:
    """As a date of TOML or as text."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value.isoformat() if isinstance(value, date) else str(value))
    except ValueError:
        raise SettingError("manufactured: expected a date such as 2024-11-24") from None
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


@dataclass(frozen=True, slots=True)
class SecurityTable:
    settings: SecuritySettings
    answers_as_asked: bool
    master_key: bytes = field(repr=False)
    are_secrets_made: bool
    """None was given: each meter has its own."""

    @classmethod
    def read(cls, fields: Fields, title: bytes) -> SecurityTable:
        mechanism = fields.text("mechanism", None)
        ciphering = fields.text("ciphering", None)
        given = {name: fields.secret(name) for name in ("password", "ek", "ak")}
        are_secrets_made = not any(given.values())
        if are_secrets_made:
            has_keys = mechanism == "hls-gmac" or ciphering not in (None, Ciphering.NONE)
            given = {
                "password": _PASSWORD_PLACE if mechanism in ("lls", "hls-sha256") else None,
                "ek": _KEY_PLACE if has_keys else None,
                "ak": _KEY_PLACE if has_keys else None,
            }
        master_key = fields.secret("master_key")
        with named(fields.what):
            settings = SecuritySettings.parse(
                {
                    "mechanism": mechanism,
                    "suite": fields.digits("suite", "0"),
                    "ciphering": ciphering,
                    "protection": fields.text("protection", None),
                    "meter_system_title": title.hex(),
                    **given,
                }
            )
            key = LAB_MASTER_KEY if master_key is None else hex_octets(master_key, "master_key", KEY_SIZE)
        fields.end()
        return cls(settings, ciphering is None, key, are_secrets_made)


def read_system_title(fields: Fields, position: int) -> bytes:
    """``system_title`` of the group at this position in its file."""
    text = fields.digits("system_title", None)
    if text is None:
        return title_plus(LAB_SYSTEM_TITLE, position * SERIALS_APART)
    return hex_octets(text, "system_title", len(LAB_SYSTEM_TITLE))
