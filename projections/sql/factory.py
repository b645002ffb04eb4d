"""The storage that the settings choose: one per database and process."""

from __future__ import annotations

import atexit
import os
from functools import partial
from typing import TYPE_CHECKING, Final

from eventstore.errors import ConfigError
from eventstore.system.secret_url import SecretUrl
from projections.seams.factory import Recipe, StoreFactory
from projections.sql.store import SqlStorage

if TYPE_CHECKING:
    from eventstore.config import Settings


def get_sql_storage() -> SqlStorage:
    """Return the storage beside the log at ``EVENTSTORE_URL``; callers do not close it.

    ``EVENTSTORE_SQL_TYPE`` is ``database`` (the default: that of the URL), or ``sqlite`` or
    ``postgres``, which require it. Raises ConfigError, a ValueError, for anything else.
    """
    return _factory.get()


def close_sql_storages() -> None:
    """Close the storages now rather than with the process; the factory then opens new ones."""
    for storage in _factory.pop(_is_of_this_process):
        storage.close()


def _recipe(required: str, settings: Settings) -> Recipe[SqlStorage]:
    scheme = SecretUrl(settings.url).scheme
    if required not in {"", scheme}:
        raise ConfigError(f"EVENTSTORE_SQL_TYPE asks for {required}, EVENTSTORE_URL is {scheme}:…")
    # A forked child must not use its parent's connections.
    key = os.getpid(), settings.url, settings.notify
    return Recipe(
        key,
        partial(SqlStorage, settings.url, notify=settings.notify, notify_keys=settings.notify_keys),
    )


def _is_of_this_process(key: object) -> bool:
    return isinstance(key, tuple) and key[0] == os.getpid()


_factory: Final = StoreFactory[SqlStorage](
    "sql_type",
    {
        "database": partial(_recipe, ""),
        "sqlite": partial(_recipe, "sqlite"),
        "postgres": partial(_recipe, "postgresql"),
    },
)

atexit.register(close_sql_storages)
