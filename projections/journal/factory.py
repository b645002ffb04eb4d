"""The journal that the settings choose."""

from __future__ import annotations

from typing import Final

from projections.journal.store import Journal
from projections.seams.factory import StoreFactory, log_kinds

_factory: Final = StoreFactory[Journal]("journal_type", log_kinds(Journal))


def get_journal() -> Journal:
    """Return a journal, to be opened by ``setup()`` and closed by ``close()``.

    ``EVENTSTORE_JOURNAL_TYPE`` is ``database`` (the default: the log at ``EVENTSTORE_URL``) or
    ``memory`` (a log in memory, which is lost when it is closed, for tests). Raises ConfigError,
    a ValueError, for anything else.
    """
    return _factory.get()
