"""Projections in other databases than the log's: what their runners tell the log, and who reads it.

The log's own database knows nothing of these: their checkpoints are elsewhere, and a program that
asks may have no password for the other database. So a runner stores what its database knows of a
projection in the table ``projection_elsewhere``, in the log's database: once it has caught up, when
it stops or is closed, and every few seconds while it goes on. A place is stored without user,
password and parameters. None of this is history, and what cannot be stored stops no projection.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec

from eventstore.errors import EventStoreError
from projections.tables.view_model import ElsewhereView

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eventstore import EventStore

log = logging.getLogger(__name__)

TELL_SECONDS: Final = 5.0
"""Seconds between two times that a runner that goes on tells the log."""

WAIT_SECONDS: Final = 5.0
"""Seconds that it waits for its turn to write to the log's database, before it gives up."""


class ElsewhereNote:
    """What one run of a projection tells the log of it, where it is in another database.

    No method raises what the databases do: the projection is not held up by its note.
    """

    def __init__(self, store: EventStore, projection: Any) -> None:
        self._store = store
        self._name = projection.name
        self._read: Callable[..., ElsewhereView | None] | None
        self._read = getattr(projection, "facts", None)
        self._log_id = ""
        self._due = 0.0
        self._told: ElsewhereView | None = None

    def begin(self, log_id: str) -> None:
        """Begin a run on this log."""
        self._log_id, self._due = log_id, anyio.current_time() + TELL_SECONDS

    @property
    def is_due(self) -> bool:
        """Whether the log has not been told for a while."""
        return self._read is not None and anyio.current_time() >= self._due

    async def tell(self, in_thread: Callable[..., Awaitable[Any]]) -> None:
        """Store what the projection's database knows, unless the log was told that before."""
        if self._read is None:
            return
        # A projection without tables needs no SQLAlchemy.
        from projections.tables.elsewhere import store_elsewhere  # noqa: PLC0415

        try:
            told = await in_thread(self._read, self._log_id, self._store.owner)
            if told is not None and told != self._told:
                with anyio.move_on_after(WAIT_SECONDS):
                    await store_elsewhere(self._store, told)
                    self._told = told
        except (EventStoreError, OSError) as error:
            log.info("the log is not told of projection %r: %s", self._name, error)
        self._due = anyio.current_time() + TELL_SECONDS


async def read_elsewhere(store: EventStore, name: str | None = None) -> list[ElsewhereView]:
    """Return what the log was told of projections in other databases, of all or of one name."""
    found = []
    for row in await store.feed.log.told_views():
        if name not in {None, row.name}:
            continue
        try:
            told = msgspec.json.decode(row.facts, type=ElsewhereView)
        except (msgspec.DecodeError, UnicodeError) as error:
            log.info("what the log was told of projection %r is not read: %s", row.name, error)
        else:
            found.append(msgspec.structs.replace(told, told_us=row.told_us))
    return found
