"""The storage that the settings choose: one per database and process."""

from __future__ import annotations

import atexit
import os
from typing import Final

from eventstore.config import load_settings
from eventstore.errors import ConfigError
from eventstore.system.fork_hooks import ForkLock
from eventstore.system.secret_url import SecretUrl
from projections.seams.base import choose
from projections.sql.storage import SqlStorage

_SCHEMES: Final = {"database": "", "sqlite": "sqlite", "postgres": "postgresql"}
"""What ``EVENTSTORE_SQL_TYPE`` may be, and the URL's scheme that it asks for."""

_lock = ForkLock()
_storages: dict[tuple[int, str, str], SqlStorage] = {}


def get_sql_storage() -> SqlStorage:
    """Return the storage beside the log at ``EVENTSTORE_URL``; callers do not close it.

    ``EVENTSTORE_SQL_TYPE`` is ``database`` (the default: whatever the URL names), or ``sqlite`` or
    ``postgres``, which insist on it. Raises ConfigError, a ValueError, for anything else.
    """
    settings = load_settings()
    wanted = choose("EVENTSTORE_SQL_TYPE", settings.sql_type, _SCHEMES)
    scheme = SecretUrl(settings.url).scheme
    if wanted not in {"", scheme}:
        raise ConfigError(f"EVENTSTORE_SQL_TYPE asks for {wanted}, EVENTSTORE_URL is {scheme}:…")
    key = os.getpid(), settings.url, settings.notify
    with _lock:
        if key not in _storages:
            _storages[key] = SqlStorage(
                settings.url, notify=settings.notify, notify_keys=settings.notify_keys
            )
        return _storages[key]


def close_sql_storages() -> None:
    """Close them now rather than with the process; the next call of the factory opens another."""
    with _lock:
        mine = [key for key in _storages if key[0] == os.getpid()]
        for key in mine:
            _storages.pop(key).close()


atexit.register(close_sql_storages)
