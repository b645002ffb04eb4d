"""When an append takes statements and a checkpoint from a projection, and when its methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import MetaData

from eventstore.log.inline_projection import is_stated
from projections.memories import MemoryTables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from eventstore import Cursor, Event
    from projections.tables.projection import TableProjection

pytestmark = pytest.mark.unit


class Other(MemoryTables):
    """Handles events in another way."""

    name = "other"
    metadata = MetaData()

    def handle(self, connection: Connection, event: Event) -> None:
        """Do nothing."""


class Noting(MemoryTables):
    """Has an ``apply`` of its own."""

    def apply(self, connection: Connection, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply as the other one does."""
        super().apply(connection, events, cursor)


def test_statements_are_not_inherited() -> None:
    assert MemoryTables().statements("sqlite", []) == []
    other: TableProjection = Other()
    assert other.statements("sqlite", []) is None
    assert is_stated(other)


def test_events_that_may_be_set_aside_are_handled_one_by_one() -> None:
    assert MemoryTables().append_statements("sqlite", []) == []
    assert MemoryTables(on_error="set_aside").append_statements("sqlite", []) is None


@pytest.mark.parametrize("name", ["apply", "cursor"])
def test_an_append_calls_methods_that_are_a_projections_own(name: str) -> None:
    own: dict[str, Any] = {name: lambda *_: None}
    assert is_stated(MemoryTables())
    assert not is_stated(type("Own", (MemoryTables,), own)())
    assert not is_stated(Noting())
