"""Given these events, the tables of a projection have these rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

from eventstore.errors import ConfigError
from eventstore.log.events import NewEvent, StreamWrite
from eventstore.sync import EventStore
from eventstore.testing.clock import FakeClock
from projections.folds import Fold
from projections.sync import FoldRunner

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from eventstore.log.clock import Clock
    from projections.tables.projection import TableProjection

S = TypeVar("S")

History: TypeAlias = "Iterable[StreamWrite | tuple[str, NewEvent | Sequence[NewEvent]]]"
"""Events with their streams, in order; each item is a commit."""

Rows: TypeAlias = "Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Mapping[str, Any]]]"
"""The rows of a projection's one table, or those of each of its tables by name."""


def given(events: History, *, clock: Clock | None = None) -> Given:
    """Begin with a log that holds these events: ``given([("order/1", NewEvent("Paid", {}))])``.

    Each item is a commit: a stream with its event or events, or a StreamWrite. The time of the
    log is that of ``clock``, which stands still by default.
    """
    return Given(as_writes(events), FakeClock() if clock is None else clock)


class Given:
    """A history, to be given to projections; see :func:`given`."""

    def __init__(self, writes: Sequence[StreamWrite], clock: Clock) -> None:
        self._writes = writes
        self._clock = clock

    @overload
    def then(self, projection: Fold[S], rows: S) -> None: ...

    @overload
    def then(self, projection: TableProjection, rows: Rows) -> None: ...

    def then(self, projection: TableProjection | Fold[Any], rows: Any) -> None:
        """Fail unless the projection then has exactly these rows, in any order.

        It is inline, in a log in memory, and gets each event within the append of it. ``rows`` are
        dictionaries of all columns: of its one table, or by the name of each table. Of a fold they
        are its state. Raises ProjectionError where a handler fails.
        """
        if isinstance(projection, Fold):
            state = self.state(projection)
            assert state == rows, f"fold {projection.name!r} is {state!r}, not {rows!r}"  # noqa: S101
            return
        wanted = _by_table(projection, rows)
        found = self.rows(projection)
        for table in sorted(found):
            there, expected = (in_order(of.get(table, ())) for of in (found, wanted))
            assert there == expected, f"table {table!r} has {there}, not {expected}"  # noqa: S101

    def state(self, fold: Fold[S]) -> S:
        """Return the state that a fold then has."""
        with EventStore.open("memory://", clock=self._clock, notify="none") as store:
            for write in self._writes:
                store.append_many([write])
            return FoldRunner(store, fold).catch_up()

    def rows(self, projection: TableProjection) -> dict[str, list[dict[str, Any]]]:
        """Return the rows that a projection then has, by table."""
        with EventStore.open(
            "memory://", inline=[projection], clock=self._clock, notify="none"
        ) as store:
            for write in self._writes:
                store.append_many([write])
            return store.query(lambda connection, _: read_rows(connection, projection))


def as_writes(events: History) -> list[StreamWrite]:
    """Return what is to be appended, a commit each."""
    writes = []
    for item in events:
        if isinstance(item, StreamWrite):
            writes.append(item)
            continue
        stream, content = item
        writes.append(StreamWrite(stream, [content] if isinstance(content, NewEvent) else content))
    return writes


def read_rows(
    connection: Connection, projection: TableProjection
) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of a projection's tables, by table."""
    return {
        table.name: [dict(row) for row in connection.execute(table.select()).mappings()]
        for table in projection.metadata.sorted_tables
    }


def in_order(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows in an order of their own, so that two lists can be compared."""
    return sorted(map(dict, rows), key=lambda row: repr(sorted(row.items())))


def _by_table(projection: TableProjection, rows: Rows) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    names = projection.table_names
    if not isinstance(rows, Mapping):
        if len(names) != 1:
            raise ConfigError(
                f"projection {projection.name!r} has {len(names)} tables: give the rows of each by "
                f"its name, of {', '.join(sorted(names))}"
            )
        return dict.fromkeys(names, rows)
    if unknown := sorted(set(rows) - names):
        raise ConfigError(f"projection {projection.name!r} has no table {unknown[0]!r}")
    return rows
