"""Both ciphers of STS straight from their definitions, step by step: the oracle for the fast ones."""

from __future__ import annotations

from sim_meters.sts.ciphers.misty1 import S7, S9
from sim_meters.sts.ciphers.sta import StaTables

MASK = (1 << 64) - 1


# EA07 (IEC 62055-41)


def turned_left(key: int, count: int) -> int:
    count %= 64
    return (key << count | key >> 64 - count) & MASK


def moved(block: int, permutation: tuple[int, ...]) -> int:
    return sum((block >> bit & 1) << target for bit, target in enumerate(permutation))


def replaced(block: int, key: int, key_bit: int, if_0: tuple[int, ...], if_1: tuple[int, ...]) -> int:
    return sum(
        (if_1 if key >> 4 * nibble + key_bit & 1 else if_0)[block >> 4 * nibble & 0xF] << 4 * nibble
        for nibble in range(16)
    )


def sta_encrypted(key: int, block: int, tables: StaTables) -> int:
    """As the standard draws it: substitute, permute, turn the key."""
    key = turned_left(key ^ MASK, -12)
    for _ in range(16):
        block = replaced(block, key, 3, tables.substitution_if_0, tables.substitution_if_1)
        block = moved(block, tables.permutation)
        key = turned_left(key, 1)
    return block


def sta_encryption_run_backwards(key: int, block: int, tables: StaTables) -> int:
    """The rounds of the encryption, the last one first, each undone."""
    back = tables.inverse()
    key = turned_left(key ^ MASK, -12 + 15)
    for _ in range(16):
        block = moved(block, back.permutation)
        block = replaced(block, key, 3, back.substitution_if_0, back.substitution_if_1)
        key = turned_left(key, -1)
    return block


def sta_decrypted(key: int, block: int, tables: StaTables) -> int:
    """As the standard draws it: the raw key, bit 4i, the tables swapped."""
    back = tables.inverse()
    for _ in range(16):
        block = moved(block, back.permutation)
        block = replaced(block, key, 0, back.substitution_if_1, back.substitution_if_0)
        key = turned_left(key, -1)
    return block


# EA11 (RFC 2994)


def fi(word: int, subkey: int) -> int:
    nine, seven = word >> 7, word & 0x7F
    nine = S9[nine] ^ seven
    seven = S7[seven] ^ nine & 0x7F
    seven ^= subkey >> 9
    nine ^= subkey & 0x1FF
    nine = S9[nine] ^ seven
    return seven << 9 | nine


class SimpleMisty1:
    """The key words K and the words K' made of them, and the functions of the RFC with their own indexes."""

    def __init__(self, key: int) -> None:
        self.plain = [key >> 112 - 16 * index & 0xFFFF for index in range(8)]
        self.mixed = [fi(self.plain[index], self.plain[(index + 1) % 8]) for index in range(8)]

    def fo(self, half: int, step: int) -> int:
        left, right = half >> 16, half & 0xFFFF
        left = fi(left ^ self.k(step), self.k_mixed(step + 5)) ^ right
        right = fi(right ^ self.k(step + 2), self.k_mixed(step + 1)) ^ left
        left = fi(left ^ self.k(step + 7), self.k_mixed(step + 3)) ^ right
        right ^= self.k(step + 4)
        return right << 16 | left

    def fl(self, half: int, step: int) -> int:
        left, right = half >> 16, half & 0xFFFF
        masked_by, filled_by = self.masks(step)
        right ^= left & masked_by
        left ^= right | filled_by
        return left << 16 | right

    def fl_back(self, half: int, step: int) -> int:
        left, right = half >> 16, half & 0xFFFF
        masked_by, filled_by = self.masks(step)
        left ^= right | filled_by
        right ^= left & masked_by
        return left << 16 | right

    def masks(self, step: int) -> tuple[int, int]:
        if step % 2 == 0:
            return self.k(step // 2), self.k_mixed(step // 2 + 6)
        return self.k_mixed((step - 1) // 2 + 2), self.k((step - 1) // 2 + 4)

    def k(self, index: int) -> int:
        return self.plain[index % 8]

    def k_mixed(self, index: int) -> int:
        return self.mixed[index % 8]

    def encrypt(self, block: int) -> int:
        left, right = block >> 32, block & 0xFFFFFFFF
        for step in (0, 2, 4, 6):
            left, right = self.fl(left, step), self.fl(right, step + 1)
            right ^= self.fo(left, step)
            left ^= self.fo(right, step + 1)
        left, right = self.fl(left, 8), self.fl(right, 9)
        return right << 32 | left

    def decrypt(self, block: int) -> int:
        right, left = block >> 32, block & 0xFFFFFFFF
        left, right = self.fl_back(left, 8), self.fl_back(right, 9)
        for step in (6, 4, 2, 0):
            left ^= self.fo(right, step + 1)
            right ^= self.fo(left, step)
            left, right = self.fl_back(left, step), self.fl_back(right, step + 1)
        return left << 32 | right
