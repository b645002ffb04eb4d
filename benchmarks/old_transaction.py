"""Appends on PostgreSQL while an old transaction keeps every version of the head row."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from benchmarks.data import STREAMS, new_events
from benchmarks.measure import Row, Setting, latency_rows
from benchmarks.postgres import server
from eventstore import EventStore

if TYPE_CHECKING:
    from eventstore import NewEvent

VERSIONS: Final = (0, 10_000, 50_000)
SAMPLES: Final = 400


async def pg_old_transaction(setting: Setting) -> list[Row]:
    """Append one event beside a transaction that is so many versions of the head old: ms."""
    samples: dict[str, list[float]] = {}
    for versions in map(setting.scaled, VERSIONS):
        with ExitStack() as stack:
            url = stack.enter_context(server())
            from support.old_transaction import old_transaction  # noqa: PLC0415 - of the tests

            async with EventStore.open(url, notify="none") as store:
                await _append(store, new_events(1))
                stack.enter_context(old_transaction(url, versions=versions))
                await _append(store, new_events(len(STREAMS)))
                samples[f"{versions:,} versions"] = await _append(store, new_events(SAMPLES))
    return latency_rows("PostgreSQL: beside an old transaction", samples)


async def _append(store: EventStore, events: list[NewEvent]) -> list[float]:
    """Append each event in a call of its own, over all streams; return the milliseconds."""
    taken = []
    for number, event in enumerate(events):
        began = time.perf_counter_ns()
        await store.append(STREAMS[number % len(STREAMS)], [event])
        taken.append((time.perf_counter_ns() - began) / 1e6)
    return taken
