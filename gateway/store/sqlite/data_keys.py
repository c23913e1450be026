"""The vault's keys in the database: made at the first start, given to the vault at each, and changed.

Each data key is sealed by the operator's key-encryption key. When that one is changed, all data keys are sealed a
second time beside the first, in one transaction: from then on either key opens the database, whatever happens next. The
old sealings go when the new key has been put in place, or at the first start that uses it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import datetime

from gateway.key_source import KeySource
from gateway.store.sqlite.times import micros, moment
from gateway.vault import DATA, DIGEST, RECORDS_MAX, DataKey, KeyEncryptionKey, Vault, VaultError

_DIGEST_KEY_ID = 0
_UNCOUNTED = 2**20
"""Records that may be sealed between two counts; each start adds as many, for those that a crash left uncounted."""

DataKeys = Mapping[int, DataKey]


def unlock(connection: sqlite3.Connection, vault: Vault, source: KeySource, at: datetime) -> None:
    """Give the vault its keys, and make them, and the operator's key, at the first start. Within a transaction; if that
    fails, the vault is not to be used.

    Raises ``VaultError``: the operator's key is missing, cannot be read or is not the one.
    """
    if has_keys(connection):
        key = needed(source)
        keys = open_keys(connection, key, source.place)
        confirm(connection, key)
    else:
        key = source.find_or_make()
        for data_key in (DataKey.new(_DIGEST_KEY_ID, DIGEST, at), DataKey.new(_DIGEST_KEY_ID + 1, DATA, at)):
            _insert(connection, data_key, key, 0)
        keys = open_keys(connection, key, source.place)
    vault.unlock(key, keys)
    vault.unlock(key, count_use(connection, vault, _UNCOUNTED, at) or keys)


def count_use(connection: sqlite3.Connection, vault: Vault, records: int, at: datetime) -> DataKeys | None:
    """Add to how often the data key was used; past its limit, make a new one and give all of them, for the vault to
    take once this is on disk. Within a transaction. Raises ``VaultError``."""
    add = "INSERT INTO data_key_use (id, records) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET records = records + ?"
    connection.execute(add, (vault.current_key, records, records))
    (used,) = connection.execute("SELECT records FROM data_key_use WHERE id = ?", (vault.current_key,)).fetchone()
    key = vault.key_encryption_key
    if used < RECORDS_MAX:
        return None
    rounds = _rounds(connection)
    if rounds[key.id] < max(rounds.values()):
        # The operator's key is being changed, and the new one is not here to seal another data key. There is room: the
        # limit is half of what is allowed.
        return None
    _insert(connection, DataKey.new(_next_id(connection), DATA, at), key, rounds[key.id])
    return open_keys(connection, key, "the vault")


def reseal(connection: sqlite3.Connection, old: KeyEncryptionKey, new: KeyEncryptionKey, at: datetime) -> int:
    """Seal all data keys by ``new``, too, and make a new one for new records. Within a transaction; may be done again.
    Returns how many there are. Raises ``VaultError``."""
    keys = open_keys(connection, old, "the key in use")
    confirm(connection, old)
    # A change to a third key that was never finished is given up: that key would not open what comes now.
    connection.execute("DELETE FROM data_key WHERE sealed_by NOT IN (?, ?)", (old.id, new.id))
    rounds = _rounds(connection)
    if new.id in rounds:
        return len(open_keys(connection, new, "the new key"))
    made = DataKey.new(_next_id(connection), DATA, at)
    _insert(connection, made, old, rounds[old.id])
    for data_key in (*keys.values(), made):
        _insert(connection, data_key, new, rounds[old.id] + 1)
    return len(keys) + 1


def confirm(connection: sqlite3.Connection, key: KeyEncryptionKey) -> bool:
    """``key`` is in place: what older ones sealed is removed. False if there was nothing. Within a transaction."""
    rounds = _rounds(connection)
    older = [(sealed_by,) for sealed_by, number in rounds.items() if number < rounds[key.id]]
    if older:
        (before,) = connection.execute("PRAGMA secure_delete").fetchone()
        connection.execute("PRAGMA secure_delete = ON")  # the old key must open nothing that lies about in the file
        connection.executemany("DELETE FROM data_key WHERE sealed_by = ?", older)
        connection.execute(f"PRAGMA secure_delete = {int(before)}")
    return bool(older)


def has_keys(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM data_key LIMIT 1").fetchone() is not None


def needed(source: KeySource) -> KeyEncryptionKey:
    """The key of a database that has one. Raises ``VaultError``."""
    key = source.find()
    if key is None:
        raise VaultError(
            f"the key-encryption key is missing: expected it in {source.place}; the database holds secrets that only "
            "this key can open"
        )
    return key


def open_keys(connection: sqlite3.Connection, key: KeyEncryptionKey, place: str) -> DataKeys:
    """All data keys. Raises ``VaultError`` if this is not their key-encryption key."""
    rows = connection.execute(
        "SELECT id, purpose, sealed, made_at FROM data_key WHERE sealed_by = ? ORDER BY id", (key.id,)
    ).fetchall()
    (all_keys,) = connection.execute("SELECT count(DISTINCT id) FROM data_key").fetchone()
    if len(rows) < all_keys:
        expected = " or ".join(_rounds(connection))
        raise VaultError(f"{place}: key-encryption key {key.id} is not this database's, which is {expected}")
    return {row[0]: key.open(row[0], row[1], row[2], moment(row[3])) for row in rows}


def _rounds(connection: sqlite3.Connection) -> dict[str, int]:
    """Key-encryption keys that sealings are there of, and which came when."""
    return dict(connection.execute("SELECT sealed_by, max(round) FROM data_key GROUP BY sealed_by").fetchall())


def _next_id(connection: sqlite3.Connection) -> int:
    (highest,) = connection.execute("SELECT max(id) FROM data_key").fetchone()
    return int(highest) + 1


def _insert(connection: sqlite3.Connection, data_key: DataKey, key: KeyEncryptionKey, number: int) -> None:
    connection.execute(
        "INSERT INTO data_key (id, sealed_by, round, purpose, sealed, made_at) VALUES (?, ?, ?, ?, ?, ?)",
        (data_key.id, key.id, number, data_key.purpose, key.seal(data_key), micros(data_key.made_at)),
    )
