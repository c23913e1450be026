"""The token machine under tokens that are authentic and otherwise anything: whoever has the key may say what he likes.

Each nine octets are one entry: class and carrier, 48 bits of subclass and fields (with a CRC that fits, under the key
that the meter has by then), and two octets of minutes that pass.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from cosem_objects.sts_token import Token, TokenClass
from sim_meters.meter_config import lab_config
from sim_meters.sts.machine.machine_settings import MachineSettings
from sim_meters.sts.machine.token_machine import TokenMachine
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tokens.clear_token import ClearToken, DecodeFailure, decode, encode
from sim_meters.sts.tokens.key_change import NUMBER_OF_SECTION
from sim_meters.sts.tokens.token_table import TOKEN_KINDS, kind_of

SIZE_MAX = 360
_ENTRY = 9
_START = datetime(2026, 11, 21)
_NEW = lab_config().new_machine()
_MIGRATING = TokenMachine.new(_NEW.key, _NEW.kinds, 1000, settings=MachineSettings.parse(["kct_supported=4"]))


def seeds() -> list[bytes]:
    uppers = [(kind.token_class, kind.subclass << 44 | 0x123456789AB) for kind in TOKEN_KINDS]
    each = [bytes([token_class]) + upper.to_bytes(6, "big") for token_class, upper in uppers]
    a_set = ["3f1abcdef012", "4f01fedcba98", "83211111111f", "911222222222"]
    return [
        b"".join(one + b"\x00\x01" for one in each),
        b"".join(b"\x02" + bytes.fromhex(section) + b"\x00\x00" for section in a_set),
        b"\x06" + bytes(6) + b"\xff\xff",
    ]


def one_input(octets: bytes) -> None:
    for machine in (_NEW, _MIGRATING):
        _play(machine, octets)


def _play(machine: TokenMachine, octets: bytes) -> None:
    now = _START
    credited: set[tuple[bytes, int]] = set()
    for start in range(0, len(octets) - _ENTRY + 1, _ENTRY):
        first, upper = octets[start], int.from_bytes(octets[start + 1 : start + 7], "big")
        now += timedelta(minutes=int.from_bytes(octets[start + 7 : start + 9], "big"))
        token, is_keypad = _token(first, upper, machine), bool(first & 4)
        execution = machine.execute(token, now, lambda _: True, is_keypad=is_keypad)
        key = machine.key
        machine = machine.with_entry(execution.result, token.token_class, now, is_keypad=is_keypad)
        if execution.section is not None:
            machine = machine.with_section(execution.section, now, execution.result, execution.numbers)
            assert (machine.key != key) <= (execution.result is TokenResult.ACCEPT)
        opened = execution.token
        if execution.result is TokenResult.ACCEPT and opened is not None and opened.tid is not None:
            used = (key.decoder_key.digest, opened.tid)
            assert used not in credited
            credited.add(used)
            machine = machine.with_tid(opened.tid)


def _token(first: int, upper: int, machine: TokenMachine) -> Token:
    """Authentic where its type is known; else whatever the bits are."""
    token_class, key = TokenClass(first & 3), machine.key.decoder_key
    kind = kind_of(token_class, upper >> 44, upper=upper, ea=key.ea)
    if kind is None:
        return Token.from_block(token_class, upper << 16)
    token = encode(ClearToken(kind, upper), key)
    opened = decode(token, key)
    assert not isinstance(opened, DecodeFailure)
    assert opened == ClearToken(kind, upper)
    assert (kind in NUMBER_OF_SECTION) == (kind.command == "key-change")
    return token
