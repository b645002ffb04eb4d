"""What named consumers cost those that do not ask for them: ``status``, opening one of them."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from benchmarks.measure import Row, Setting
from benchmarks.servers import servers
from eventstore import EventStore, NewEvent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from eventstore import Cursor

FEW: Final = 10
MANY: Final = 100_000
SAMPLES: Final = 40

_INSERT: Final = text(
    "INSERT INTO consumer (name, position, hash, epoch, owner, seen_us) "
    "VALUES (:name, :position, :hash, 1, 'host:1', 1)"
)


async def consumers(setting: Setting) -> list[Row]:
    """Ask for status and open a consumer beside 10 names and beside 100,000, on SQLite."""
    urls = [f"sqlite:///{setting.folder / f'{count}.db'}" for count in (FEW, MANY)]
    return await _compare("consumers", urls, setting)


async def pg_consumers(setting: Setting) -> list[Row]:
    """Do the same on PostgreSQL."""
    with servers() as running:
        urls = [running.url, running.postgres.fresh_schema()]
        return await _compare("pg-consumers", urls, setting)


async def _compare(benchmark: str, urls: Sequence[str], setting: Setting) -> list[Row]:
    few, many = urls
    samples: dict[tuple[str, int], list[float]] = {}
    async with (
        EventStore.open(few, notify="none") as one,
        EventStore.open(many, notify="none") as other,
    ):
        for store, count in ((one, FEW), (other, setting.scaled(MANY))):
            await _fill(store, count)
        works: dict[str, Callable[[EventStore], Awaitable[Any]]] = {
            "status": lambda store: store.status(),
            "opening a consumer": _open,
        }
        for number in range(SAMPLES + 1):
            for name, work in works.items():
                for store, count in ((one, FEW), (other, MANY)):
                    begun = time.perf_counter()
                    await work(store)
                    if number:  # The first one warms up.
                        took = 1e3 * (time.perf_counter() - begun)
                        samples.setdefault((name, count), []).append(took)
    first = {name: statistics.median(samples[name, FEW]) for name in works}
    return [
        Row(benchmark, f"{name}, {count:,} names", "ms", statistics.median(values), max(values),
            ratio=first[name] / statistics.median(values))
        for (name, count), values in samples.items()
    ]  # fmt: skip


async def _open(store: EventStore) -> None:
    async with store.subscribe_changes(consumer="consumer-7"):
        pass


async def _fill(store: EventStore, count: int) -> None:
    cursors: list[Cursor] = []
    for number in range(FEW):
        done = await store.append("a/1", [NewEvent("Happened", number)])
        cursors.append(done.cursor)

    def insert(connection: Any) -> None:
        rows = [
            {
                "name": f"consumer-{number}",
                "position": (at := cursors[number % FEW]).position,
                "hash": at.hash,
            }
            for number in range(count)
        ]
        connection.execute(_INSERT, rows)

    await store.transact(insert)
