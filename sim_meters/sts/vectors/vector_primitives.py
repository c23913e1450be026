"""The building blocks in a vector file: check sums, amounts, check digits, TIDs, keys, the cipher's worked example."""

from __future__ import annotations

from collections.abc import Callable

from cosem_objects.sts_token import Token
from sim_meters.sts.ciphers.misty1 import Misty1
from sim_meters.sts.ciphers.sta import Sta, StaTables
from sim_meters.sts.keys.identity import luhn_valid
from sim_meters.sts.tid import BaseDate
from sim_meters.sts.tokens.amount import decode_amount16, encode_amount16
from sim_meters.sts.tokens.crc import crc_field
from sim_meters.sts.vectors.vector_entry import Entry
from sim_meters.sts.vectors.vector_keys import check_keys

# fmt: off
_TEACHING_PERMUTATION = (
    29, 27, 34,  9, 16, 62, 55,  2, 40, 49, 38, 25, 33, 61, 30, 23,
     1, 41, 21, 57, 42, 15,  5, 58, 19, 53, 22, 17, 48, 28, 24, 39,
     3, 60, 36, 14, 11, 52, 54, 12, 31, 51, 10, 26,  0, 45, 37, 43,
    44,  6, 59,  4,  7, 35, 56, 50, 13, 18, 32, 47, 46, 63, 20,  8,
)
# fmt: on

# Printed in IEC 62055-41 for its worked example; no meter uses them.
TEACHING_TABLES = StaTables(
    substitution_if_0=(12, 10, 8, 4, 3, 15, 0, 2, 14, 1, 5, 13, 6, 9, 7, 11),
    substitution_if_1=(6, 9, 7, 4, 3, 10, 12, 14, 2, 13, 1, 15, 0, 11, 8, 5),
    permutation=_TEACHING_PERMUTATION,
)


def _check_crc(entry: Entry) -> None:
    entry.compare_hex("crc_hex", crc_field(entry.octets("data_hex")), 2, "data_hex")


def _check_amount16(entry: Entry) -> None:
    units, field = entry.integer("units"), entry.number("field_hex", 2)
    entry.compare_hex("field_hex", encode_amount16(units), 2, "units")
    if decode_amount16(field) < units:
        entry.differ("units", f"states {units}, the field is worth only {decode_amount16(field)}")


def _check_luhn(entry: Entry) -> None:
    entry.flag("valid")
    entry.compare("valid", luhn_valid(entry.text("digits")), "digits")


def _check_tid(entry: Entry) -> None:
    base_date = BaseDate.parse(entry.digits("base_date"))
    entry.integer("tid")
    entry.compare("tid", base_date.tid_at(entry.moment("issued_at")), "issued_at")


def _check_teaching_tables(entry: Entry) -> None:
    cipher = Sta(entry.number("decoder_key_hex", 8), TEACHING_TABLES)
    token = entry.token("token")
    entry.compare("token_class", int(token.token_class), "token")
    entry.compare("token66_hex", f"{token.number:017x}", "token")
    entry.compare_hex("clear_block_hex", cipher.decrypt(token.block), 8, "token")
    made = Token.from_block(token.token_class, cipher.encrypt(entry.number("clear_block_hex", 8)))
    entry.compare_token("token", made, "clear_block_hex")


def _check_dkga(entry: Entry) -> None:
    check_keys(entry)


def _check_misty1(entry: Entry) -> None:
    cipher = Misty1(entry.number("key_hex", 16))
    plain, secret = entry.number("plain_hex", 8), entry.number("cipher_hex", 8)
    entry.compare_hex("cipher_hex", cipher.encrypt(plain), 8, "plain_hex")
    entry.compare_hex("plain_hex", cipher.decrypt(secret), 8, "cipher_hex")


PRIMITIVES: dict[str, Callable[[Entry], None]] = {
    "crc": _check_crc,
    "amount16": _check_amount16,
    "luhn": _check_luhn,
    "tid": _check_tid,
    "dkga": _check_dkga,
    "sta_teaching_tables": _check_teaching_tables,
    "misty1": _check_misty1,
}
"""By kind: compares all that an entry states."""
