"""The processes that :mod:`benchmarks.new_view` times: an opener of a view, and a writer.

``new_view_child.py ROLE URL ARGUMENT``. It uses public names only, and imports nothing else of
this package, so that every released version can run it.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table
from sqlalchemy.dialects import postgresql, sqlite

from eventstore import Event, EventStore, NewEvent
from projections import TableProjection

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

STREAMS = 64
BATCH = 1_000
PAUSE_SECONDS = 0.005

totals = Table(
    "totals", MetaData(), Column("key", String, primary_key=True), Column("total", Integer)
)
entries = Table(
    "entries",
    MetaData(),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("key", String, index=True),
    Column("value", String),
)


class Totals(TableProjection):
    """Few rows: a sum for each stream."""

    name = "totals"
    metadata: ClassVar[MetaData] = totals.metadata

    def handle(self, connection: Connection, event: Event) -> None:
        """Add the event's number."""
        dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
        row = dialect.insert(totals).values(key=event.stream, total=event.data["number"])
        connection.execute(
            row.on_conflict_do_update(
                index_elements=["key"], set_={"total": totals.c.total + row.excluded.total}
            )
        )


class Entries(TableProjection):
    """Many rows: one for each event."""

    name = "entries"
    metadata: ClassVar[MetaData] = entries.metadata

    def handle(self, connection: Connection, event: Event) -> None:
        """Add a row."""
        connection.execute(
            entries.insert().values(
                position=event.position, key=event.stream, value=event.data["note"]
            )
        )


class NextEntries(Entries):
    """The next version of the same view."""

    version: ClassVar[int] = 2


VIEWS = {view.__name__: view for view in (Totals, Entries, NextEntries)}


def events(count: int) -> list[NewEvent]:
    """Return new events of about 150 bytes."""
    return [NewEvent("Noted", {"number": n, "note": "x" * 120}) for n in range(count)]


async def fill(url: str, count: str) -> Any:
    """Append so many events, in commits of a thousand."""
    async with EventStore.open(url, notify="none") as store:
        for number in range(int(count) // BATCH):
            await store.append(f"notes/{number % STREAMS}", events(BATCH))
    return count


async def bring_up(url: str, view: str) -> Any:
    """Open the log with a view; return seconds of wall time and of processor time."""
    before, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    async with EventStore.open(url, inline=[VIEWS[view]()], notify="none"):
        after, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - wall
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return [wall, user + system]


async def write(url: str, _: str) -> Any:
    """Append one event after another until stdin ends; return when each began, and its wait."""
    ended = threading.Thread(target=sys.stdin.read, daemon=True)
    ended.start()
    waits: list[tuple[float, float]] = []
    async with EventStore.open(url, notify="none") as store:
        print("ready", flush=True)
        while ended.is_alive():
            began = time.monotonic()
            await store.append("beside/1", events(1))
            waits.append((began, time.monotonic() - began))
            await asyncio.sleep(PAUSE_SECONDS)
    return waits


ROLES: dict[str, Callable[[str, str], Coroutine[Any, Any, Any]]] = {
    role.__name__: role for role in (fill, bring_up, write)
}

if __name__ == "__main__":
    print(json.dumps(asyncio.run(ROLES[sys.argv[1]](sys.argv[2], sys.argv[3]))), flush=True)
