"""What the first start makes for the first person: an API key with which all others can be made."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from gateway.api_keys import ApiKey, Scope, digest
from gateway.key_source import fsync_directory, write_durably
from gateway.store.records import ApiKeyRecord
from gateway.store.store import Access

KEY_VARIABLE = "STSGATE_BOOTSTRAP_API_KEY"
KEY_FILE = "bootstrap-api-key"
_KEY_ID = "bootstrap"
_KEY_FORM = re.compile(r"[!-~]{24,200}", re.ASCII)
KEY_FORM_WORDS = "24 to 200 printable ASCII characters without blanks"


def is_bootstrap_key(text: str) -> bool:
    """Whether the operator may choose it: long enough that nobody guesses it."""
    return _KEY_FORM.fullmatch(text) is not None


async def ensure_admin_key(
    access: Access, data_dir: Path, environment: Mapping[str, str], now: Callable[[], datetime]
) -> Path | None:
    """Where no valid admin key is: enter the one of the environment, or make one and leave it in a file, whose path is
    given back. Raises ``StoreError``, ``OSError``."""
    keys = await access.list()
    if any(_is_valid_admin(key, now()) for key in keys):
        return None
    taken = {key.id for key in keys}
    chosen, path = environment.get(KEY_VARIABLE), None
    if chosen:
        key_id, secret = _KEY_ID if _KEY_ID not in taken else ApiKey.new().id, chosen
    else:
        made = ApiKey.new(None if _KEY_ID in taken else _KEY_ID)
        key_id, secret, path = made.id, made.text, data_dir / KEY_FILE
        _leave(path, secret)  # before it is valid: after a crash in between, the next start makes another
    record = ApiKeyRecord(id=key_id, name=key_id, scopes=(Scope.ADMIN.value,), created_at=now())
    await access.add(record, digest(secret), who="serve")
    return path


def _is_valid_admin(key: ApiKeyRecord, now: datetime) -> bool:
    is_over = key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now)
    return Scope.ADMIN in key.scopes and not is_over


def _leave(path: Path, secret: str) -> None:
    """In one step, for its owner alone."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.new")
    write_durably(partial, f"{secret}\n".encode())
    partial.replace(path)
    fsync_directory(path.parent)
