"""The storage's side that knows SQLite: what a transaction captures, migrations, rebuilding."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from eventstore import StreamWrite
from eventstore.backends.reading import read_head, read_page
from eventstore.ports import Query
from eventstore.validation import check_append
from projections.sql import capture
from projections.sql.connection import SqliteConnection
from projections.sql.events import SCHEMA_CHANGED, STREAM, read_schema, rows_events
from projections.sql.migrations import (
    SqliteMigrator,
    applied_at,
    find_migrations,
    is_applied,
    read_ledger,
)
from projections.sql.replay import (
    Replay,
    capture_again,
    drop_tables,
    raise_sequences,
    read_sequences,
)
from projections.sql.schema import list_tables, read_table

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from eventstore import Appended, NewEvent
    from eventstore.backends.guests import Guest
    from eventstore.ports import Clock, News
    from projections.sql.guard import Guard
    from projections.sql.migrations import Migration
    from projections.sql.model import Table


class _Schema(NamedTuple):
    """What is captured, as of one version of the schema."""

    version: int
    tables: dict[str, Table]
    writable: frozenset[str]


class SqliteSide:
    """Does on SQLite what :class:`~projections.sql.SqlStorage` promises.

    ``make_guest`` gives a connection, ``publish`` is told of each append once it is durable.
    """

    backend_name = "sqlite"

    def __init__(
        self,
        make_guest: Callable[[], Guest],
        publish: Callable[[Appended, News | None], None],
        clock: Clock,
    ) -> None:
        self._make_guest = make_guest
        self._publish = publish
        self._clock = clock
        self._schema = _Schema(-1, {}, frozenset())

    def connect(self) -> SqliteConnection:
        """Return a connection for a caller."""
        return SqliteConnection(self._make_guest(), self._begin, self._record, self._done)

    def _begin(self, guest: Guest, guard: Guard) -> None:
        guard.writable = self._read_schema(guest.raw).writable

    def _read_schema(self, raw: sqlite3.Connection) -> _Schema:
        (version,) = raw.execute("PRAGMA schema_version").fetchone()
        if self._schema.version != version:
            tables = {name: read_table(raw, name).table for name in capture.captured(raw)}
            others = {name for name, kind in list_tables(raw).items() if kind != "table"}
            writable = frozenset(name.lower() for name in {*tables, *others})
            self._schema = _Schema(version, tables, writable)
        return self._schema

    def _record(self, guest: Guest) -> tuple[Appended, News | None] | None:
        tables = self._read_schema(guest.raw).tables
        if not tables:
            return None
        events = rows_events(capture.drain(guest.raw, tables))
        capture.clear(guest.raw)
        return _append(guest, events) if events else None

    def _done(self, recorded: tuple[Appended, News | None] | None) -> None:
        if recorded is not None:
            self._publish(*recorded)

    def apply_migrations(self, directory: Path) -> list[str]:
        """Apply what is missing; return the names of what was applied."""
        migrations = find_migrations(directory, self.backend_name)
        with closing(self._make_guest()) as guest:
            # A table that is made anew is dropped on the way: that must not empty others.
            guest.raw.execute("PRAGMA foreign_keys=OFF")
            ledger = read_ledger(guest.raw)
            missing = [one for one in migrations if not is_applied(one, ledger)]
            return [one.name for one in missing if self._apply(guest, one)]

    def _apply(self, guest: Guest, migration: Migration) -> bool:
        guest.begin()
        try:
            if is_applied(migration, read_ledger(guest.raw)):
                guest.rollback()  # Another process did.
                return False
            moment = applied_at(self._clock())
            events = SqliteMigrator(guest.raw, migration, moment).apply()
            recorded = _append(guest, events)
            guest.commit()
        except BaseException:
            guest.rollback()
            raise
        self._publish(*recorded)
        return True

    def rebuild(self) -> int:
        """Compute all tables again from the log, in one transaction; return its position."""
        with closing(self._make_guest()) as guest:
            raw: Any = guest.raw
            raw.execute("PRAGMA foreign_keys=OFF")
            guest.begin()
            try:
                sequences = read_sequences(raw)
                drop_tables(raw, capture.captured(raw))
                head = read_head(guest.driver).position
                replay, at = Replay(raw), 0
                tables: list[str] = []
                while at < head:
                    query = Query(after=at, until=head, streams=STREAM, whole_commits=True)
                    page = read_page(guest.driver, query)
                    for event in page.events:
                        if event.type == SCHEMA_CHANGED and not event.redacted:
                            tables = read_schema(event).tables
                    replay.apply(page.events)
                    at = page.through.position
                replay.finish()
                raise_sequences(raw, sequences)
                capture_again(raw, tables)
                guest.commit()
            except BaseException:
                guest.rollback()
                raise
        return head


def _append(guest: Guest, events: Sequence[NewEvent]) -> tuple[Appended, News | None]:
    return guest.append(check_append([StreamWrite(STREAM, events)]))
