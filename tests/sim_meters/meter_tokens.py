"""Tokens for simulated meters, of all types: management, tests and key changes. Keys are made up, worthless."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import AttributeDescriptor, GetRequest, GetResponse
from cosem_objects.obis import ObisCode
from cosem_objects.sts_token import Token
from sim_meters.clock import Clock
from sim_meters.ledger import FileLedger
from sim_meters.meter import SimMeter
from sim_meters.meter_config import MeterConfig
from sim_meters.objects import answer
from sim_meters.sts.keys.decoder_key import DecoderKey
from sim_meters.sts.keys.key_attributes import KeyType
from sim_meters.sts.keys.key_expiry import KEN_NEVER
from sim_meters.sts.tokens.clear_token import ClearToken, clear_token, encode
from sim_meters.sts.tokens.key_change import MeterKey
from sim_meters.sts.tokens.token_kind import TokenKind
from sim_meters.sts.tokens.token_table import TEST_2, TESTS

ACCOUNT, CREDIT, EMERGENCY = "0-0:19.0.0.255", "0-0:19.10.0.255", "0-0:19.10.1.255"
GATEWAY, STS, SWITCH = "0-0:19.40.0.255", "0-0:19.60.0.255", "0-0:96.3.10.255"


def managing(key: DecoderKey, kind: TokenKind, meaning: int = 0, tid: int = 6_000_000) -> Token:
    """A class 2 token with a TID. ``meaning``: what its last field stands for."""
    values = {"rnd": 5, "tid": tid, kind.value.name: kind.value.coding.raw(meaning)}
    return encode(clear_token(kind, values), key)


def raw_managing(key: DecoderKey, kind: TokenKind, raw: int, tid: int = 6_000_000) -> Token:
    """The same with the bits of its last field as they are, also such as nobody may write."""
    return encode(ClearToken(kind, kind.subclass << 44 | 5 << 40 | tid << 16 | raw), key)


def display_token(*names: str, code: int = 0) -> Token:
    """A class 1 token that asks for tests or displays by their names."""
    return encode(clear_token(TEST_2, {"control": sum(TESTS[name] for name in names), "mfr_code": code}))


def a_key(
    name: str,
    *,
    ea: int = 7,
    kt: KeyType = KeyType.UNIQUE,
    krn: int = 2,
    ti: int = 1,
    sgc: int = 123457,
    ken: int = KEN_NEVER,
) -> MeterKey:
    """A key that no other name has."""
    octets = hashlib.sha256(name.encode()).digest()[: 16 if ea == 11 else 8]
    return MeterKey(decoder_key=DecoderKey(octets, ea), kt=kt, krn=krn, ti=ti, sgc=sgc, ken=ken)


def on_file(config: MeterConfig, path: Path, clock: Clock) -> SimMeter:
    """A meter with its ledger in a file; also again, after a power failure."""
    return SimMeter(config, FileLedger(path, config.ledger_identity), clock=clock)


def reopened(meter: SimMeter) -> SimMeter:
    """The meter after a power failure: of its ledger's file alone, with the clock that it had."""
    assert isinstance(meter.ledger, FileLedger)
    meter.close()
    return on_file(meter.config, meter.ledger._path, meter.clock)


def attribute(meter: SimMeter, class_id: int, obis: str, number: int) -> Data:
    """What a management client reads, without the wire."""
    meter.catch_up()
    request = GetRequest(AttributeDescriptor(class_id, ObisCode.parse(obis), number))
    response = answer(meter, meter._own_association(), request)
    assert isinstance(response, GetResponse)
    assert isinstance(response.result, Data), f"{class_id} {obis} {number}: {response.result}"
    return response.result
