"""Another key-encryption key: whenever it is interrupted, the database opens, and doing it again ends it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from gateway.key_source import KeySource, make_key_file, read_key_file
from gateway.store.sqlite.rotation import rotate
from gateway.store.sqlite.store import FILE_NAME
from gateway.store.store import StoreError
from gateway.vault import KeyEncryptionKey, VaultError
from tests.gateway.store.commands import stsgate
from tests.gateway.store.stores import BEGIN, Clock, opened, put_meter

STEPS = ("new key made", "sealed by both", "new key in place", "old key shut out")
ROTATE_AND_DIE = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from gateway.key_source import KeySource
from gateway.store.sqlite.rotation import rotate

def die(step):
    if step == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)

data = Path(sys.argv[1])
rotate(data, KeySource.of(data, os.environ), Path(sys.argv[2]), datetime.now(UTC), die)
"""


def kill_at(step: str, data_dir: Path, environment: Mapping[str, str]) -> None:
    arguments = [sys.executable, "-c", ROTATE_AND_DIE, data_dir, data_dir / "new", step]
    killed = subprocess.run(arguments, check=False, timeout=60, env={**os.environ, **environment})
    assert killed.returncode == -signal.SIGKILL


async def fill(directory: Path, source: KeySource) -> None:
    async with opened(directory, Clock(), source) as store:
        await put_meter(store, "old")


async def opens(directory: Path, source: KeySource) -> bool:
    """Whether all that was sealed opens."""
    async with opened(directory, Clock(), source) as store:
        meters = [await store.meters.get(meter.id) for meter in await store.meters.list()]
        return bool(meters) and all(meter is not None and meter.secrets == {"ek": "00"} for meter in meters)


async def test_old_records_stay_readable_new_ones_have_a_new_data_key_and_the_old_key_opens_nothing(
    tmp_path: Path,
) -> None:
    source = KeySource.of(tmp_path, {})
    await fill(tmp_path, source)
    old = read_key_file(source.file)
    done = rotate(tmp_path, source, tmp_path / "new", BEGIN)
    assert done.kept is not None
    assert read_key_file(done.kept) == old != read_key_file(source.file) == read_key_file(tmp_path / "new")
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        assert connection.execute("SELECT count(DISTINCT sealed_by) FROM data_key").fetchone() == (1,)
    async with opened(tmp_path, Clock(), source) as store:
        await put_meter(store, "new")
    assert await opens(tmp_path, source)
    with pytest.raises(VaultError, match="is not this database's"):
        await opens(tmp_path, KeySource(done.kept))


@pytest.mark.parametrize("step", STEPS)
async def test_killed_at_any_step_the_database_opens_and_doing_it_again_ends_it(tmp_path: Path, step: str) -> None:
    source = KeySource.of(tmp_path, {})
    await fill(tmp_path, source)
    old = read_key_file(source.file)
    assert old is not None
    kill_at(step, tmp_path, {})
    assert await opens(tmp_path, source)
    rotate(tmp_path, source, tmp_path / "new", BEGIN)
    assert await opens(tmp_path, source)
    assert read_key_file(source.file) == read_key_file(tmp_path / "new") != old
    with pytest.raises(VaultError, match="is not this database's"):
        await opens(tmp_path, KeySource(tmp_path / "x", old.octets.hex()))


@pytest.mark.parametrize("step", STEPS[:2])
async def test_with_a_key_from_the_environment_both_work_until_the_new_one_was_used(tmp_path: Path, step: str) -> None:
    old, new = KeyEncryptionKey.new(), KeyEncryptionKey.new()
    with_old, with_new = (KeySource(tmp_path / "x", key.octets.hex()) for key in (old, new))
    await fill(tmp_path, with_old)
    make_key_file(tmp_path / "new", new)
    kill_at(step, tmp_path, {"STSGATE_KEY_ENCRYPTION_KEY": old.octets.hex()})
    assert await opens(tmp_path, with_old)
    assert not rotate(tmp_path, with_old, tmp_path / "new", BEGIN).was_in_use
    assert await opens(tmp_path, with_old)
    assert await opens(tmp_path, with_new)
    with pytest.raises(VaultError, match="is not this database's"):
        await opens(tmp_path, with_old)
    assert rotate(tmp_path, with_new, tmp_path / "new", BEGIN).was_in_use


async def test_it_is_refused_while_a_service_works_there(tmp_path: Path) -> None:
    source = KeySource.of(tmp_path, {})
    async with opened(tmp_path, Clock(), source):
        with pytest.raises(StoreError, match="another process works in this data directory"):
            rotate(tmp_path, source, tmp_path / "new", BEGIN)
    assert not (tmp_path / "new").exists()


async def test_the_command_says_what_it_did_and_in_one_line_why_it_could_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = KeySource.of(tmp_path, {})
    await fill(tmp_path, source)
    arguments = ("rotate-key", "--data-dir", tmp_path, "--new-key-file", tmp_path / "new")
    assert stsgate(*arguments) == 0
    assert f"{source.file}: holds the key of {tmp_path / 'new'} now" in capsys.readouterr().out
    assert stsgate(*arguments) == 0
    assert "older keys open the database no more" in capsys.readouterr().out
    monkeypatch.setenv("STSGATE_KEY_ENCRYPTION_KEY", KeyEncryptionKey.new().octets.hex())
    assert stsgate(*arguments) == 1
    told = capsys.readouterr().err
    assert told.startswith(
        "stsgate rotate-key: the environment variable STSGATE_KEY_ENCRYPTION_KEY: key-encryption key "
    )
    assert told.count("\n") == 1
    assert await opens(tmp_path, source)
