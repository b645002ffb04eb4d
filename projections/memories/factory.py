"""One store of memories per log and process, for callers that neither open nor close it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from eventstore.config import load_settings
from projections.memories.store import MemoryStore
from projections.seams.base import choose
from projections.seams.shared_stores import Shared, lasting_url, log_beside

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore.config import Settings

_stores: Shared[MemoryStore] = Shared()


def get_memory_store() -> MemoryStore:
    """Return the store of memories that the settings choose, without entering or closing it.

    ``EVENTSTORE_MEMORIES_TYPE`` is ``database`` (the default: the log at ``EVENTSTORE_URL``),
    ``filesystem`` (a JSON file for each memory in ``EVENTSTORE_MEMORIES_DIR``, with the log in
    a file beside that directory) or ``memory``. It may be called on every request and from any
    thread: one store per log and process opens at its first use and is closed with the
    process; after somebody closed it, this returns a new one. Raises ConfigError, a
    ValueError, for a setting that is not known.
    """
    settings = load_settings()
    maker = choose("EVENTSTORE_MEMORIES_TYPE", settings.memories_type, _MAKERS)
    key, make = maker(settings)
    return _stores.get(key, make, usable=lambda store: not store.closed)


def _from_database(settings: Settings) -> tuple[object, Callable[[], MemoryStore]]:
    url = lasting_url(settings.url)
    return ("database", url), _maker(settings, url)


def _from_directory(settings: Settings) -> tuple[object, Callable[[], MemoryStore]]:
    root, url = log_beside("EVENTSTORE_MEMORIES_DIR", settings.memories_dir)
    return ("filesystem", root), partial(_maker(settings, url), directory=root)


def _from_memory(_: Settings) -> tuple[object, Callable[[], MemoryStore]]:
    return ("memory",), partial(MemoryStore, "memory://")


def _maker(settings: Settings, url: str) -> partial[MemoryStore]:
    return partial(MemoryStore, url, notify=settings.notify, poll=settings.poll_seconds)


_MAKERS: Final = {
    "database": _from_database,
    "filesystem": _from_directory,
    "memory": _from_memory,
}
