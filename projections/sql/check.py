"""What ``verify`` finds in the events of tables: those that a rebuild would refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventstore.errors import ConfigError, CorruptEventError
from eventstore.integrity.findings import MAX_FINDINGS, Finding
from projections.sql._dialects import dialect_type, make_trial
from projections.sql._trial import ReservedNames
from projections.sql.events import SCHEMA_CHANGED, STREAM, ChangeReader, read_schema
from projections.sql.model import ReplayError, SqlRefusedError

if TYPE_CHECKING:
    from eventstore import Event, EventStore
    from projections.sql._trial import Trial


async def check_events(store: EventStore) -> list[Finding]:
    """Return a finding for each event that is no change of rows or of the schema.

    Each definition must be one that a migration may have. A change of a row must have the shape
    that a replay reads, and name a table and all of its columns as the definitions before it make
    them. What is refused counts as if it were not there. Nothing is run in the log's database.
    """
    check = _Check(await store.query(lambda connection, _: _read_names(connection)))
    try:
        async for event in store.read(streams=STREAM, kept=True):
            check.take(event)
    except CorruptEventError as error:
        # The log itself is damaged, at a place that its own verification names.
        check.add(Finding(None, STREAM, f"cannot be read on: {error}"))
    return check.finish()


def _read_names(connection: Any) -> ReservedNames:
    raw: Any = connection.connection.driver_connection
    dialect = dialect_type(connection.dialect.name)
    schema, tables = dialect.schema_type(raw), dialect.capture_type(raw).list_tables()
    return ReservedNames(schema.list_later_reserved(), schema.list_own_reserved(tables))


class _Check:
    """Takes the events of the tables' stream in order, and keeps what it finds."""

    def __init__(self, names: ReservedNames) -> None:
        self._names = names
        self._trial: Trial | None = None
        self._reader = ChangeReader()
        self._tables: set[str] = set()
        self._untried: set[str] = set()
        """Tables that only a refused event has made: nothing is known of them."""
        self._whole, self._seen = True, 0
        self._found: list[Finding] = []
        self._more = 0

    def take(self, event: Event) -> None:
        """Check an event."""
        self._whole = self._whole and event.version == self._seen + 1
        self._seen = event.version
        try:
            if event.type == SCHEMA_CHANGED and not event.redacted:
                self._define(event)
            self._check_rows(event)
        except ReplayError as error:
            self._refuse(event.position, error.reason)
        except (CorruptEventError, LookupError, SqlRefusedError, ConfigError) as error:
            self._refuse(event.position, " ".join(str(error).split()))

    def _define(self, event: Event) -> None:
        change = read_schema(event)
        made = set(change.tables) - self._tables
        self._tables = set(change.tables)
        self._untried |= made
        if self._trial is None:
            self._trial = make_trial(change.dialect, self._names)
        if not self._whole:
            self._trial.forget()
        self._trial.define(event)
        self._untried -= made

    def _check_rows(self, event: Event) -> None:
        for row in self._reader.read(event):
            if self._whole and row.table not in self._tables:
                raise LookupError(f"no migration before it makes the table {row.table!r}")
            if self._whole and self._trial is not None and row.table not in self._untried:
                self._trial.check(row)

    def _refuse(self, position: int, reason: str) -> None:
        what = f"stops a rebuild of the tables: {reason}"
        self.add(Finding(position, f"event {position}", what))

    def add(self, finding: Finding) -> None:
        """Keep a finding, or count it."""
        if len(self._found) < MAX_FINDINGS:
            self._found.append(finding)
        else:
            self._more += 1

    def finish(self) -> list[Finding]:
        """Return the findings, after the last event."""
        for error in self._trial.find_taken() if self._trial is not None else ():
            self._refuse(error.position, error.reason)
        self._found.sort(key=lambda one: (one.position is None, one.position))
        if self._more:
            self._found.append(Finding(None, STREAM, f"{self._more} more findings, not shown"))
        return self._found
