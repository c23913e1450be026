"""EA07, the Standard Transfer Algorithm: 64-bit blocks, 64-bit keys, 16 rounds (IEC 62055-41).

How to think about it. A round replaces each of the 16 nibbles of the block through one of two substitution tables
(a key bit chooses which), then moves every bit to another place; after each round the key turns left by one.

Replacing a nibble and moving its four bits touch no other nibble, so for every octet of the block the result of a
whole round can be looked up: 8 places x 4 choices of tables x 256 values. A key therefore becomes a list of
*layers*, one per round; a layer is eight lookup tables, and the block after it is the OR of eight lookups.

The tables are a parameter, because the printed standard shows *teaching* tables that no real meter uses: with them
the same code reproduces the standard's worked example.

The STS Association distributes the operational tables to its licensees; here they are for the lab alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from operator import getitem

_ROUNDS = 16
_MASK = (1 << 64) - 1

Layer = tuple[tuple[int, ...], ...]
"""Eight tables of 256 block values: the contribution of each octet, least significant octet first."""

OctetTables = tuple[tuple[tuple[int, ...], ...], ...]
"""Of a round, block values by [octet place][choice][octet]. A choice has a bit for each nibble: 1 takes
``substitution_if_1``."""

ChosenTables = tuple[tuple[Layer, ...], tuple[Layer, ...]]
"""The four lower tables of a layer for each value of the lower eight choices, and the four upper ones likewise."""


@dataclass(frozen=True, slots=True)
class StaTables:
    """The constants of the cipher. ``permutation[b]`` is where bit b goes; bit 0 is the least significant."""

    substitution_if_0: tuple[int, ...]
    substitution_if_1: tuple[int, ...]
    permutation: tuple[int, ...]

    def inverse(self) -> StaTables:
        """The tables that undo these."""
        return StaTables(_inverse(self.substitution_if_0), _inverse(self.substitution_if_1), _inverse(self.permutation))


# fmt: off
_PERMUTATION = (
    55, 42, 10, 18, 24, 21, 44, 35,  2, 22, 56, 43, 27, 58,  9, 50,
     6, 36, 12, 61, 37, 38, 53, 16, 62,  3,  7,  4, 32, 20, 63, 25,
    51, 52, 54, 33, 49, 19, 46, 29, 48, 31, 23, 30, 41, 28, 13,  5,
    40, 60, 39, 11, 15, 17,  1,  0, 57, 34, 59,  8, 47, 14, 45, 26,
)
# fmt: on

# What meters use. Not in the printed standard; identical in five independent public implementations, and confirmed
# by the compliance tokens of STS531-1 (tests/vectors/sts_vectors.json).
OPERATIONAL_TABLES = StaTables(
    substitution_if_0=(14, 10, 7, 9, 12, 3, 2, 5, 13, 0, 15, 1, 4, 8, 6, 11),
    substitution_if_1=(12, 8, 2, 13, 7, 6, 1, 3, 11, 5, 9, 15, 0, 4, 10, 14),
    permutation=_PERMUTATION,
)


class Sta:
    """The cipher under one key. Blocks and keys are big-endian 64-bit numbers."""

    __slots__ = ("_decryption", "_encryption", "_key", "_rounds")

    def __init__(self, key: int, tables: StaTables = OPERATIONAL_TABLES) -> None:
        self._key = key
        self._rounds = _chosen_rounds(tables)
        # Each is made when it is first used: a meter only decrypts, and who issues tokens only encrypts.
        self._encryption: list[Layer] = []
        self._decryption: list[Layer] = []

    def encrypt(self, block: int) -> int:
        """One block, in no mode and with no initial value: STS needs none."""
        if not self._encryption:
            self._encryption = _layers(self._rounds.forward, self._key)
        return _run(self._encryption, block)

    def decrypt(self, block: int) -> int:
        """Undo ``encrypt``."""
        if not self._decryption:
            # A round undone is "move back, replace back". Grouped the other way round, "replace back, move back", all
            # sixteen are again layers, with one move left over at the start and one too few at the end.
            last = _layers(self._rounds.replace_back, self._key)[0]
            others = _layers(self._rounds.backward, self._key)[1:]
            self._decryption = [self._rounds.move_back, *reversed(others), last]
        return _run(self._decryption, block)


def _run(layers: list[Layer], block: int) -> int:
    for t0, t1, t2, t3, t4, t5, t6, t7 in layers:
        b0, b1, b2, b3, b4, b5, b6, b7 = block.to_bytes(8, "little")
        # No two of them have a bit in common, so this is their OR, which Python computes more slowly.
        block = t0[b0] + t1[b1] + t2[b2] + t3[b3] + t4[b4] + t5[b5] + t6[b6] + t7[b7]
    return block


# Encryption starts from the complemented key turned right by 12; in each round its bit 4i+3 chooses for nibble i, and
# then it turns left by one. A round's sixteen choices are thus every fourth key bit. Picked out of the key, they make
# four *lanes* of 16 bits: round 4q+s takes lane 3-s, turned right by 3-q.
_LANES = tuple(
    tuple(sum((octet >> bit & 1) << 16 * (bit % 4) + 2 * place + bit // 4 for bit in range(8)) for octet in range(256))
    for place in range(8)
)


def _all_lanes(lane: int) -> int:
    return lane * 0x0001_0001_0001_0001


_LANE_TURNS = tuple(
    (right, _all_lanes(0xFFFF >> right), 16 - right, _all_lanes(0xFFFF << 16 - right & 0xFFFF))
    for right in (3, 2, 1, 0)
)


def _layers(tables: ChosenTables, key: int) -> list[Layer]:
    """The layers of the sixteen rounds, in the order of encryption."""
    lanes = sum(map(getitem, _LANES, (key ^ _MASK).to_bytes(8, "little")))
    lower, upper = tables
    layers: list[Layer] = []
    for right, kept, left, wrapped in _LANE_TURNS:
        turned = lanes >> right & kept | lanes << left & wrapped
        u0, l0, u1, l1, u2, l2, u3, l3 = turned.to_bytes(8, "big")
        layers += (lower[l0] + upper[u0], lower[l1] + upper[u1], lower[l2] + upper[u2], lower[l3] + upper[u3])
    return layers


@dataclass(frozen=True, slots=True)
class OctetRounds:
    """Every look-up a round, and what undoes it, may need. Of ``move_back`` all choices are the same."""

    forward: OctetTables
    backward: OctetTables
    replace_back: OctetTables
    move_back: OctetTables


@cache
def octet_rounds(tables: StaTables) -> OctetRounds:
    """Made once for all keys."""
    back = tables.inverse()
    nowhere = tuple(range(64))
    same = tuple(range(16))
    return OctetRounds(
        forward=_octet_tables(tables),
        backward=_octet_tables(back),
        replace_back=_octet_tables(StaTables(back.substitution_if_0, back.substitution_if_1, nowhere)),
        move_back=_octet_tables(StaTables(same, same, back.permutation)),
    )


@dataclass(frozen=True, slots=True)
class _ChosenRounds:
    forward: ChosenTables
    backward: ChosenTables
    replace_back: ChosenTables
    move_back: Layer


@cache
def _chosen_rounds(tables: StaTables) -> _ChosenRounds:
    rounds = octet_rounds(tables)
    return _ChosenRounds(
        forward=_chosen(rounds.forward),
        backward=_chosen(rounds.backward),
        replace_back=_chosen(rounds.replace_back),
        move_back=tuple(place[0] for place in rounds.move_back),
    )


def _chosen(tables: OctetTables) -> ChosenTables:
    def four(places: OctetTables) -> tuple[Layer, ...]:
        return tuple(
            tuple(place[choices >> 2 * number & 0b11] for number, place in enumerate(places)) for choices in range(256)
        )

    return four(tables[:4]), four(tables[4:])


def _octet_tables(tables: StaTables) -> OctetTables:
    substitutions = (tables.substitution_if_0, tables.substitution_if_1)
    moved = [
        [[_move(replaced << 4 * place, tables.permutation) for replaced in table] for table in substitutions]
        for place in range(16)
    ]
    return tuple(
        tuple(
            tuple(
                moved[2 * place][choice & 1][octet & 0xF] | moved[2 * place + 1][choice >> 1][octet >> 4]
                for octet in range(256)
            )
            for choice in range(4)
        )
        for place in range(8)
    )


def _move(block: int, permutation: tuple[int, ...]) -> int:
    return sum((block >> bit & 1) << target for bit, target in enumerate(permutation))


def _inverse(table: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(table.index(value) for value in range(len(table)))
