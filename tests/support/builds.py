"""Versions of an inline view in one log: what a build leaves, and where its rows are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from eventstore import EventStore
from projections.tables.checkpoints import building_table
from support.totals import DoubledTotals, NotedTotals, Totals, append_commits, reader_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from eventstore import Event

COMMIT: Final = 200
"""Events of a commit: more than the first steps apply."""

HIDDEN: Final = ("projection_building_", "projection_dropped_")

IDENTITIES: Final = {
    "sqlite": "SELECT name, rootpage FROM sqlite_master WHERE type = 'table'",
    "postgresql": "SELECT relname, oid FROM pg_class WHERE relkind = 'r'",
}
SCHEMAS: Final = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "postgresql": "SELECT nspname FROM pg_namespace",
}


class FailingTotals(DoubledTotals):
    """A version that fails in the middle of the first commit."""

    def handle(self, connection: Connection, event: Event) -> None:
        if event.position == COMMIT - 1:
            raise ZeroDivisionError
        super().handle(connection, event)


def identities(url: str) -> dict[str, set[int]]:
    """Return where each table's rows are, by the end of its name."""
    found: dict[str, set[int]] = {}
    engine = reader_of(url)
    with engine.connect() as connection:
        for name, place in connection.execute(text(IDENTITIES[connection.dialect.name])):
            found.setdefault(name.rpartition("_")[2], set()).add(place)
    engine.dispose()
    return found


def live(url: str) -> int:
    """Return where the rows of the table are that readers find."""
    engine = reader_of(url)
    with engine.connect() as connection:
        find = "SELECT rootpage FROM sqlite_master WHERE name = 'counts'"
        if connection.dialect.name == "postgresql":
            find = "SELECT to_regclass('counts')::oid::bigint"
        place = int(connection.execute(text(find)).scalar_one())
    engine.dispose()
    return place


def leftovers(url: str, since: frozenset[str] = frozenset()) -> set[str]:
    """Return hidden tables or schemas that were not there before."""
    engine = reader_of(url)
    with engine.connect() as connection:
        names = connection.execute(text(SCHEMAS[connection.dialect.name])).scalars()
        found = {name for name in names if name.startswith(HIDDEN) and name != building_table.name}
    engine.dispose()
    return found - since


async def with_old_version(url: str, commits: int = 1) -> dict[str, int]:
    """Make a log and a view of its first version; return its rows."""
    await append_commits(url, commits, size=COMMIT)
    async with EventStore.open(url, inline=[Totals()], notify="none"):
        pass
    return dict.fromkeys((f"n/{number}" for number in range(commits)), COMMIT)


async def bring_up(url: str, version: int) -> list[tuple[int, int]]:
    """Open a log with a version of the view; return the positions of its batches."""
    view = NotedTotals(version)
    async with EventStore.open(url, inline=[view], notify="none"):
        return view.batches
