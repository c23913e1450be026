"""Secrets at rest: nobody reads them without the key, nobody changes or swaps them unseen, and keys can be changed."""

from __future__ import annotations

import base64
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import binary, text

from gateway.key_source import KeySource, make_key_file, read_key_file, replace_key_file
from gateway.store.sqlite import data_keys
from gateway.vault import RECORDS_MAX, DataKey, KeyEncryptionKey, Vault, VaultError

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECRET = b"a password of a meter"


def vault_with(*keys: DataKey) -> Vault:
    vault = Vault()
    vault.unlock(KeyEncryptionKey.new(), {key.id: key for key in keys})
    return vault


DIGEST_KEY = DataKey.new(0, "digest", NOW)
FIRST_KEY, SECOND_KEY = DataKey.new(1, "data", NOW), DataKey.new(2, "data", NOW)
VAULT = vault_with(DIGEST_KEY, FIRST_KEY)


@given(binary(max_size=100), text(max_size=40))
def test_what_is_sealed_opens_again_under_the_same_identity(plain: bytes, identity: str) -> None:
    assert VAULT.open(VAULT.seal(plain, identity), identity) == plain


def test_no_octet_of_a_sealed_record_can_be_changed_and_none_is_missing() -> None:
    sealed = VAULT.seal(SECRET, "meter:1")
    for position in range(len(sealed)):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[position] ^= 1 << bit
            with pytest.raises(VaultError, match=r"^meter:1 "):
                VAULT.open(bytes(changed), "meter:1")
        with pytest.raises(VaultError, match=r"^meter:1 "):
            VAULT.open(sealed[:position], "meter:1")
    with pytest.raises(VaultError):
        VAULT.open(sealed + b"\0", "meter:1")


def test_one_record_cannot_stand_in_for_another() -> None:
    one, other = VAULT.seal(SECRET, "meter:1"), VAULT.seal(SECRET, "meter:2")
    with pytest.raises(VaultError, match="another record's"):
        VAULT.open(one, "meter:2")
    with pytest.raises(VaultError, match="another record's"):
        VAULT.open(other, "meter:1")


def test_the_same_secret_is_never_sealed_twice_in_the_same_way() -> None:
    assert len({VAULT.seal(SECRET, "meter:1") for _ in range(1000)}) == 1000


def test_another_data_key_with_the_same_number_opens_nothing() -> None:
    sealed = VAULT.seal(SECRET, "meter:1")
    with pytest.raises(VaultError, match="damaged, or another record's"):
        vault_with(DIGEST_KEY, DataKey.new(1, "data", NOW)).open(sealed, "meter:1")


def test_a_new_data_key_seals_new_records_and_the_old_one_opens_old_ones() -> None:
    old = VAULT.seal(SECRET, "meter:1")
    both = vault_with(DIGEST_KEY, FIRST_KEY, SECOND_KEY)
    new = both.seal(SECRET, "meter:1")
    assert both.open(old, "meter:1") == both.open(new, "meter:1") == SECRET
    with pytest.raises(VaultError, match="there is no data key 2"):
        VAULT.open(new, "meter:1")


def test_a_locked_vault_seals_opens_and_digests_nothing() -> None:
    sealed, locked = VAULT.seal(SECRET, "meter:1"), Vault()
    for attempt in (
        lambda: locked.seal(SECRET, "meter:1"),
        lambda: locked.open(sealed, "meter:1"),
        lambda: locked.digest("token", b"1"),
        lambda: locked.key_encryption_key,
    ):
        with pytest.raises(VaultError):
            attempt()


def test_digests_differ_by_purpose_and_installation_and_stay_the_same_when_data_keys_change() -> None:
    later = vault_with(DIGEST_KEY, FIRST_KEY, SECOND_KEY)
    elsewhere = vault_with(DataKey.new(0, "digest", NOW), FIRST_KEY)
    assert VAULT.digest("token", SECRET) == later.digest("token", SECRET)
    assert len(VAULT.digest("token", SECRET)) == 16
    assert VAULT.digest("token", SECRET) != VAULT.digest("body", SECRET)
    assert VAULT.digest("token", SECRET) != elsewhere.digest("token", SECRET)
    assert VAULT.digest("ab", b"c") != VAULT.digest("a", b"bc")


def test_no_key_and_no_secret_shows_in_a_representation_or_an_error() -> None:
    key = KeyEncryptionKey(bytes(range(32)))
    source = KeySource(Path("file"), base64.b64encode(key.octets).decode())
    shown = f"{key!r} {FIRST_KEY!r} {VAULT!r} {source!r} {source.place}"
    for octets in (key.octets, FIRST_KEY.octets):
        assert octets.hex() not in shown.lower()
        assert repr(octets)[2:-1] not in shown
        assert base64.b64encode(octets).decode() not in shown
    with pytest.raises(VaultError) as refusal:
        VAULT.open(VAULT.seal(SECRET, "meter:1")[:-1], "meter:1")
    assert SECRET.decode() not in str(refusal.value)


# The operator's key, in a file or in the environment.


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "key-encryption.key"


def test_the_first_start_makes_a_key_that_only_its_owner_may_read(key_file: Path) -> None:
    made = KeySource(key_file).find_or_make()
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert KeySource(key_file).find_or_make() == made
    assert [path.name for path in key_file.parent.iterdir()] == [key_file.name]


def test_a_key_file_is_never_overwritten(key_file: Path) -> None:
    first = make_key_file(key_file, KeyEncryptionKey.new())
    with pytest.raises(VaultError, match="File exists"):
        make_key_file(key_file, KeyEncryptionKey.new())
    assert read_key_file(key_file) == first


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o660, 0o777])
def test_a_key_file_that_others_may_use_is_refused(key_file: Path, mode: int) -> None:
    make_key_file(key_file, KeyEncryptionKey.new())
    key_file.chmod(mode)
    with pytest.raises(VaultError, match="others than its owner may use it: chmod 600"):
        read_key_file(key_file)


KEY = bytes(range(200, 232))


@pytest.mark.parametrize(
    "written",
    [
        base64.b64encode(KEY),
        base64.urlsafe_b64encode(KEY).rstrip(b"="),
        KEY.hex().encode(),
        b" " + KEY.hex().upper().encode() + b"\r\n",
    ],
)
def test_a_key_may_be_written_in_base64_or_in_hexadecimal_digits(key_file: Path, written: bytes) -> None:
    key_file.write_bytes(written)
    key_file.chmod(0o600)
    assert read_key_file(key_file) == KeyEncryptionKey(KEY)
    assert KeySource.of(key_file.parent, {"STSGATE_KEY_ENCRYPTION_KEY": written.decode()}).find() == KeyEncryptionKey(
        KEY
    )


@pytest.mark.parametrize(
    "written", [b"", b"\n", KEY[:-1].hex().encode(), base64.b64encode(KEY + b"\0"), KEY, b"not a key!", b"x" * 5000]
)
def test_what_is_no_key_is_refused_and_not_repeated(key_file: Path, written: bytes) -> None:
    key_file.write_bytes(written)
    key_file.chmod(0o600)
    with pytest.raises(VaultError, match="expected 32 octets as base64, or as 64 hexadecimal digits") as refusal:
        read_key_file(key_file)
    assert len(written) < 5 or written.decode("ascii", "replace") not in str(refusal.value)


def test_a_directory_or_a_pipe_is_no_key_file(key_file: Path) -> None:
    key_file.mkdir()
    with pytest.raises(VaultError, match="is not a file"):
        read_key_file(key_file)
    pipe = key_file.with_name("pipe")
    os.mkfifo(pipe, 0o600)
    with pytest.raises(VaultError, match="is not a file"):
        read_key_file(pipe)


def test_the_variable_goes_before_the_named_file_and_that_before_the_data_directory(tmp_path: Path) -> None:
    in_directory = make_key_file(tmp_path / "key-encryption.key", KeyEncryptionKey.new())
    named = make_key_file(tmp_path / "named", KeyEncryptionKey.new())
    environment = {"STSGATE_SERVICE_KEY_FILE": str(tmp_path / "named")}
    assert KeySource.of(tmp_path, {}).find() == in_directory
    assert KeySource.of(tmp_path, environment).find() == named
    assert KeySource.of(tmp_path, environment, tmp_path / "key-encryption.key").find() == in_directory
    with_key = {**environment, "STSGATE_KEY_ENCRYPTION_KEY": KEY.hex()}
    assert KeySource.of(tmp_path, with_key).find() == KeyEncryptionKey(KEY)


def test_replacing_a_key_file_keeps_the_old_key_and_may_be_done_twice(key_file: Path) -> None:
    old, new = make_key_file(key_file, KeyEncryptionKey.new()), KeyEncryptionKey.new()
    kept = replace_key_file(key_file, old, new)
    assert replace_key_file(key_file, old, new) == kept
    assert read_key_file(key_file) == new
    assert read_key_file(kept) == old


# Data keys in the database.


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    migrations = resources.files("gateway.store.sqlite") / "migrations"
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as opened:
        for script in sorted(migrations.iterdir(), key=lambda file: file.name):
            if script.name.endswith(".sql"):
                opened.executescript(script.read_text())
        yield opened


def unlocked(connection: sqlite3.Connection, source: KeySource) -> Vault:
    vault = Vault()
    data_keys.unlock(connection, vault, source, NOW)
    return vault


def source_of(key: KeyEncryptionKey) -> KeySource:
    return KeySource(Path("no such file"), key.octets.hex())


OLD, NEW, THIRD = KeyEncryptionKey.new(), KeyEncryptionKey.new(), KeyEncryptionKey.new()


def test_secrets_open_at_the_next_start(connection: sqlite3.Connection, key_file: Path) -> None:
    first = unlocked(connection, KeySource(key_file))
    sealed, digest = first.seal(SECRET, "meter:1"), first.digest("token", b"1")
    second = unlocked(connection, KeySource(key_file))
    assert second.open(sealed, "meter:1") == SECRET
    assert second.digest("token", b"1") == digest


def test_a_lost_key_is_said_and_never_made_anew(connection: sqlite3.Connection, key_file: Path) -> None:
    unlocked(connection, KeySource(key_file))
    key_file.unlink()
    with pytest.raises(VaultError, match="the key-encryption key is missing: expected it in"):
        unlocked(connection, KeySource(key_file))
    assert not key_file.exists()


def test_another_operators_key_is_named_and_refused(connection: sqlite3.Connection) -> None:
    unlocked(connection, source_of(OLD))
    with pytest.raises(VaultError, match=f"key-encryption key {NEW.id} is not this database's, which is {OLD.id}"):
        unlocked(connection, source_of(NEW))


def test_a_sealed_data_key_that_was_damaged_or_swapped_is_refused(connection: sqlite3.Connection) -> None:
    unlocked(connection, source_of(OLD))
    connection.execute("UPDATE data_key SET sealed = (SELECT sealed FROM data_key WHERE id = 0) WHERE id = 1")
    with pytest.raises(VaultError, match="data_key:1:data is damaged"):
        unlocked(connection, source_of(OLD))


def test_a_data_key_is_replaced_long_before_its_nonces_may_repeat(connection: sqlite3.Connection) -> None:
    vault = unlocked(connection, source_of(OLD))
    sealed = vault.seal(SECRET, "meter:1")
    assert data_keys.count_use(connection, vault, RECORDS_MAX - 2**20 - 1, NOW) is None
    keys = data_keys.count_use(connection, vault, 1, NOW)
    assert keys is not None
    vault.unlock(OLD, keys)
    assert vault.current_key == 2
    assert vault.open(sealed, "meter:1") == SECRET
    later = unlocked(connection, source_of(OLD))
    assert later.open(vault.seal(SECRET, "meter:2"), "meter:2") == SECRET


def test_every_start_counts_what_a_crash_may_have_left_uncounted(connection: sqlite3.Connection) -> None:
    for _ in range(3):
        unlocked(connection, source_of(OLD))
    assert connection.execute("SELECT records FROM data_key_use").fetchone()[0] >= 3 * 2**20


def test_the_vault_counts_what_it_seals() -> None:
    vault = vault_with(DIGEST_KEY, FIRST_KEY)
    for _ in range(10):
        vault.seal(SECRET, "meter:1")
    records = vault.uncounted()
    assert records >= 10
    vault.counted(records)
    assert vault.uncounted() <= 2


def test_while_the_operators_key_is_being_changed_either_opens_everything(connection: sqlite3.Connection) -> None:
    sealed = unlocked(connection, source_of(OLD)).seal(SECRET, "meter:1")
    data_keys.reseal(connection, OLD, NEW, NOW)
    newer = unlocked(connection, source_of(OLD)).seal(SECRET, "meter:2")
    with_new = unlocked(connection, source_of(NEW))
    assert with_new.open(sealed, "meter:1") == with_new.open(newer, "meter:2") == SECRET
    assert with_new.current_key == 2


def test_the_first_start_with_the_new_key_shuts_out_the_old_one(connection: sqlite3.Connection) -> None:
    unlocked(connection, source_of(OLD))
    data_keys.reseal(connection, OLD, NEW, NOW)
    unlocked(connection, source_of(NEW))
    with pytest.raises(VaultError, match="is not this database's"):
        unlocked(connection, source_of(OLD))


def test_changing_the_key_twice_in_the_same_way_does_it_once(connection: sqlite3.Connection) -> None:
    unlocked(connection, source_of(OLD))
    assert data_keys.reseal(connection, OLD, NEW, NOW) == data_keys.reseal(connection, OLD, NEW, NOW) == 3
    assert connection.execute("SELECT count(*) FROM data_key").fetchone() == (6,)


def test_a_change_that_was_never_finished_is_given_up_for_another(connection: sqlite3.Connection) -> None:
    sealed = unlocked(connection, source_of(OLD)).seal(SECRET, "meter:1")
    data_keys.reseal(connection, OLD, THIRD, NOW)
    data_keys.reseal(connection, OLD, NEW, NOW)
    assert set(connection.execute("SELECT sealed_by FROM data_key")) == {(OLD.id,), (NEW.id,)}
    with pytest.raises(VaultError, match="is not this database's"):
        unlocked(connection, source_of(THIRD))
    assert unlocked(connection, source_of(NEW)).open(sealed, "meter:1") == SECRET


def test_a_key_may_come_back_into_use(connection: sqlite3.Connection) -> None:
    sealed = unlocked(connection, source_of(OLD)).seal(SECRET, "meter:1")
    data_keys.reseal(connection, OLD, NEW, NOW)
    data_keys.reseal(connection, NEW, OLD, NOW)
    assert unlocked(connection, source_of(OLD)).open(sealed, "meter:1") == SECRET
    with pytest.raises(VaultError, match="is not this database's"):
        unlocked(connection, source_of(NEW))


def test_no_data_key_is_made_that_the_operators_next_key_could_not_open(connection: sqlite3.Connection) -> None:
    unlocked(connection, source_of(OLD))
    data_keys.reseal(connection, OLD, NEW, NOW)
    vault = unlocked(connection, source_of(OLD))
    assert data_keys.count_use(connection, vault, RECORDS_MAX, NOW) is None
    assert unlocked(connection, source_of(NEW)).current_key > vault.current_key
