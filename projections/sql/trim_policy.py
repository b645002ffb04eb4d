"""What trimming has to keep of tables: every event of theirs.

A row is what all its changes since its insert have made of it, and an event holds the rows of a
whole transaction, under the schema of that time. So nothing of it goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.archive.keepers import serving
from projections.sql.events import CATEGORY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventstore.log.events import Event


@serving("sql")
def keep_sql(events: Iterable[Event]) -> Iterable[int]:
    """Choose the events of tables that must stay; for ``store.trim``."""
    return [event.position for event in events if event.stream.startswith(CATEGORY)]
