"""How many tokens a second one core makes and opens: EA07 and EA11, one at a time and in bulk.

    python -m benchmarks.sts [SECONDS]         about so long for each row of the table; default 2

A token made is the whole way from amount, TID and RND to the text of 20 digits: amount coded, CRC, block, cipher, class
bits. "Key at hand" means that its cipher has been used before. "Key derived" begins at the meter's key attributes, a
new PAN for each token: DKGA04 (HMAC-SHA-256), the cipher's key schedule, and the token. Opened is from the text of the
digits to the fields. Amounts are 0.1 to 1,500 kWh. Everything goes through the functions that commands and meters use.

Counted is processor time of this process. Of the turns in a row the best is the figure, since what else the machine
did can only have added to it; the median stands beside it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from statistics import median

import numpy as np

from benchmarks.measure import cores
from cosem_objects.sts_token import Token
from sim_meters.sts.bulk.batches import KeyBatch, accepted, derive_keys, encode_credits, read_digits
from sim_meters.sts.ciphers.algorithms import ALGORITHMS
from sim_meters.sts.keys.decoder_key import DecoderKey, VendingKey, derive_decoder_key
from sim_meters.sts.keys.identity import MeterPan
from sim_meters.sts.keys.key_attributes import KeyAttributes
from sim_meters.sts.tid import TID_MAX
from sim_meters.sts.tokens.clear_token import ClearToken, credit_token, decode, encode
from sim_meters.sts.tokens.token_kind import Commodity
from sim_meters.sts.tokens.token_table import credit_kind

LAB_VENDING_KEY = VendingKey.parse("ABABABABABABABAB949494949494949401234567", 4)  # of the compliance tokens
FIRST_PAN = MeterPan("600727000000000009")
ELECTRICITY = credit_kind(Commodity.ELECTRICITY, currency=False)
SEED = 62055
COUNT, BULK_COUNT = 2_000, 100_000
READY_KEYS = 100


@dataclass(frozen=True)
class Row:
    """One thing to measure: called again and again, each time it handles ``count`` tokens."""

    name: str
    ea: int
    count: int
    handle: Callable[[], object]
    bar: int | None = None
    """Tokens a second that it has to reach."""

    def measured(self, seconds: float) -> list[float]:
        """Tokens a second of each turn, after one to warm up."""
        self.handle()
        rates: list[float] = []
        end = time.monotonic() + seconds
        while time.monotonic() < end or len(rates) < 5:
            begun = time.process_time()
            self.handle()
            rates.append(self.count / (time.process_time() - begun))
        return rates


def one_at_a_time(ea: int) -> list[Row]:
    rng = Random(SEED)  # noqa: S311 - amounts, not keys
    sales = [(rng.randint(1, 15_000), rng.randint(0, TID_MAX), rng.randint(0, 15)) for _ in range(COUNT)]
    pans = [FIRST_PAN.plus(count) for count in range(COUNT)]
    meters = [replace(KeyAttributes(FIRST_PAN, 201457, ea=ea), pan=pan) for pan in pans]
    keys = [derive_decoder_key(LAB_VENDING_KEY, meter) for meter in meters[:READY_KEYS]] * (COUNT // READY_KEYS)

    def make_one_key() -> list[str]:
        key = keys[0]
        return [_digits(sale, key) for sale in sales]

    def make_many_keys() -> list[str]:
        return [_digits(sale, key) for sale, key in zip(sales, keys, strict=True)]

    def make_derived() -> list[str]:
        return [
            _digits(sale, derive_decoder_key(LAB_VENDING_KEY, meter)) for sale, meter in zip(sales, meters, strict=True)
        ]

    written = list(zip(make_many_keys(), keys, strict=True))

    def open_them() -> None:
        for digits, key in written:
            if not isinstance(decode(Token.parse(digits), key), ClearToken):
                raise AssertionError("a token does not open with its key")

    return [
        Row("made, key at hand", ea, COUNT, make_one_key, 100_000),
        Row(f"made, {READY_KEYS} keys at hand in turn", ea, COUNT, make_many_keys, 100_000),
        Row("made, key derived", ea, COUNT, make_derived, 50_000),
        Row("opened, keys at hand", ea, COUNT, open_them),
    ]


def _digits(sale: tuple[int, int, int], key: DecoderKey) -> str:
    units, tid, rnd = sale
    return encode(credit_token(ELECTRICITY, units, tid, rnd), key).digits


def in_bulk(ea: int) -> list[Row]:
    rng = np.random.default_rng(SEED)
    units, tids, rnds = (rng.integers(1, limit, BULK_COUNT) for limit in (15_001, TID_MAX + 1, 16))
    keys = KeyBatch(ea, rng.integers(0, 1 << 64, BULK_COUNT if ea == 7 else (BULK_COUNT, 2), np.uint64))
    attributes = KeyAttributes(FIRST_PAN, 201457, ea=ea)
    pans = [FIRST_PAN.plus(count) for count in range(BULK_COUNT)]

    def make() -> object:
        return encode_credits(ELECTRICITY, units, tids, rnds, keys).digits

    def make_derived() -> object:
        derived = derive_keys(LAB_VENDING_KEY, attributes, pans)
        return encode_credits(ELECTRICITY, units, tids, rnds, derived).digits

    written = encode_credits(ELECTRICITY, units, tids, rnds, keys).digits

    def open_them() -> None:
        if not accepted(read_digits(written)[0], keys).all():
            raise AssertionError("a token does not open with its key")

    return [
        Row("bulk: made, a key at hand for each", ea, BULK_COUNT, make, 1_000_000),
        Row("bulk: made, keys derived", ea, BULK_COUNT, make_derived, 500_000),
        Row("bulk: opened, CRC checked", ea, BULK_COUNT, open_them),
    ]


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    core, _ = cores()
    if core is not None:
        os.sched_setaffinity(0, {core})
    print("| tokens | cipher | /s of one core | median | µs each | bar | |\n|---|---|---:|---:|---:|---:|---|")
    missed = []
    for row in [row for ea in ALGORITHMS for row in (*one_at_a_time(ea), *in_bulk(ea))]:
        rates = row.measured(seconds)
        best = max(rates)
        verdict = "" if row.bar is None else "reached" if best >= row.bar else "not reached"
        missed += [f"{row.name} (EA{row.ea:02d})"] if verdict == "not reached" else []
        cells = (row.name, f"EA{row.ea:02d}", f"{best:,.0f}", f"{median(rates):,.0f}", f"{1e6 / best:.2f}")
        print(f"| {' | '.join(cells)} | {'' if row.bar is None else f'{row.bar:,}'} | {verdict} |", flush=True)
    print(f"Not reached: {', '.join(missed)}." if missed else "All bars are reached.")


if __name__ == "__main__":
    main()
