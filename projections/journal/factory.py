"""The journal that the settings choose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventstore.config import load_settings
from projections.journal.store import Journal
from projections.seams.base import choose

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore.config import Settings


def get_journal() -> Journal:
    """Return a journal, to be opened by ``setup()`` and closed by ``close()``.

    ``EVENTSTORE_JOURNAL_TYPE`` is ``database`` (the default: the log at ``EVENTSTORE_URL``) or
    ``memory`` (a log of its own, gone when it is closed, for tests). Raises ConfigError, a
    ValueError, for anything else.
    """
    settings = load_settings()
    return choose("EVENTSTORE_JOURNAL_TYPE", settings.journal_type, _MAKERS)(settings)


def _from_database(settings: Settings) -> Journal:
    return Journal(settings.url, notify=settings.notify, poll=settings.poll_seconds)


def _in_memory(settings: Settings) -> Journal:
    return Journal("memory://", poll=settings.poll_seconds)


_MAKERS: Final[dict[str, Callable[[Settings], Journal]]] = {
    "database": _from_database,
    "memory": _in_memory,
}
