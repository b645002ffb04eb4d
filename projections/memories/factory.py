"""One store of memories per log and process, for callers that neither open nor close it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from projections.memories.store import MemoryStore
from projections.seams.factory import Recipe, StoreFactory
from projections.seams.log_urls import absolute_url, url_beside

if TYPE_CHECKING:
    from eventstore.config import Settings


def get_memory_store() -> MemoryStore:
    """Return the store of memories that the settings choose, without entering or closing it.

    ``EVENTSTORE_MEMORIES_TYPE`` is ``database`` (the default: the log at ``EVENTSTORE_URL``),
    ``filesystem`` (a JSON file for each memory in ``EVENTSTORE_MEMORIES_DIR``, with the log in
    a file beside that directory) or ``memory``. It may be called on every request and from any
    thread: one store per log and process opens at its first use and is closed with the
    process; once a store was closed, this returns a new one. Raises ConfigError, a
    ValueError, for an unknown setting.
    """
    return _factory.get()


def _in_database(settings: Settings) -> Recipe[MemoryStore]:
    url = absolute_url(settings.url)
    return Recipe(("database", url), _maker(settings, url))


def _in_files(settings: Settings) -> Recipe[MemoryStore]:
    root, url = url_beside("EVENTSTORE_MEMORIES_DIR", settings.memories_dir)
    return Recipe(("filesystem", root), partial(_maker(settings, url), directory=root))


def _in_memory(_: Settings) -> Recipe[MemoryStore]:
    return Recipe(("memory",), partial(MemoryStore, "memory://"))


def _maker(settings: Settings, url: str) -> partial[MemoryStore]:
    return partial(MemoryStore, url, notify=settings.notify, poll=settings.poll_seconds)


_factory: Final = StoreFactory[MemoryStore](
    "memories_type",
    {"database": _in_database, "filesystem": _in_files, "memory": _in_memory},
    usable=lambda store: not store.closed,
)
