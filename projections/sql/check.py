"""What ``verify`` finds in the events of tables: those that a rebuild would refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.errors import ConfigError, CorruptEventError
from eventstore.integrity.findings import Finding
from projections.sql.events import SCHEMA_CHANGED, STREAM, ChangeReader, read_schema
from projections.sql.model import SqlRefusedError

if TYPE_CHECKING:
    from eventstore import Event, EventStore
    from projections.sql.events import SchemaChange


async def check_events(store: EventStore) -> list[Finding]:
    """Return a finding for each event that is no change of rows or of the schema.

    A change must have the shape that a replay reads, and name a table that the schema before it
    has; on PostgreSQL each statement must be one that a migration may have.
    """
    reader = ChangeReader()
    tables: set[str] = set()
    found: list[Finding] = []
    whole, seen = True, 0
    try:
        async for event in store.read(streams=STREAM, kept=True):
            whole = whole and event.version == seen + 1
            seen = event.version
            try:
                _check(event, reader, tables, whole=whole)
            except (CorruptEventError, LookupError, SqlRefusedError, ConfigError) as error:
                reason = " ".join(str(error).split())
                what = f"stops a rebuild of the tables: {reason}"
                found.append(Finding(event.position, f"event {event.position}", what))
    except CorruptEventError as error:
        # The log itself is damaged, at a place that its own verification names.
        found.append(Finding(None, STREAM, f"cannot be read on: {error}"))
    return found


def _check(event: Event, reader: ChangeReader, tables: set[str], *, whole: bool) -> None:
    """Check an event; ``tables`` are those before it, unknown where the beginning was trimmed."""
    if event.type == SCHEMA_CHANGED and not event.redacted:
        change = read_schema(event)
        # The tables that later events name are those of this one, whether it is refused or not.
        tables.clear()
        tables.update(change.tables)
        if change.dialect == "postgres":
            _judge(change)
    for row in reader.read(event):
        if whole and row.table not in tables:
            raise LookupError(f"no migration before it makes the table {row.table!r}")


def _judge(change: SchemaChange) -> None:
    # Imports the parser, which only PostgreSQL needs.
    from projections.sql.postgres.definitions import judge_definition  # noqa: PLC0415
    from projections.sql.postgres.parser import check_parser  # noqa: PLC0415

    check_parser()
    for statement in change.statements:
        if judge_definition(statement, recorded=True) != "definition":
            raise SqlRefusedError(statement, "what a migration does to rows is recorded as rows")
