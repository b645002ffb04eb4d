"""Many followers: in one process, one of which stalls; and in many, on one database."""

from __future__ import annotations

import gc
import resource
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel

from benchmarks.data import STREAMS, new_events
from benchmarks.measure import Row, Setting
from benchmarks.processes import QUIET_SECONDS, Child
from benchmarks.servers import KEY, servers
from eventstore import END, EventStore, NewEvent

if TYPE_CHECKING:
    from eventstore import Subscription

FOLLOWERS: Final = 1_000
EVENTS: Final = 100_000
BATCH: Final = 1_000
"""Events in each commit."""


async def fanout(setting: Setting) -> list[Row]:
    """1,000 subscriptions in one process over 100,000 events on SQLite, in commits of 1,000.

    *Live*: they wait while another store of the process appends. *Catching up*: they begin at
    the first event. Each also beside one that took one event and stands still since.
    Deliveries/s, from the first append or subscription to the last delivery; memory is what the
    process has grown by at the end, divided by the number of subscriptions.
    """
    count = setting.scaled(EVENTS)
    rows: list[Row] = []
    url = f"sqlite:///{setting.folder / 'warm.db'}"
    async with EventStore.open(url) as writer, EventStore.open(url) as store:
        # What a process takes once, however many follow, is none of theirs.
        await _deliver(writer, store, BATCH, live=True, stalled=False)
    for live in (True, False):
        for stalled in (False, True):
            url = f"sqlite:///{setting.folder / f'{live}{stalled}.db'}"
            async with EventStore.open(url) as writer, EventStore.open(url) as store:
                rows += await _deliver(writer, store, count, live=live, stalled=stalled)
    return rows


async def _deliver(
    writer: EventStore, store: EventStore, count: int, *, live: bool, stalled: bool
) -> list[Row]:
    how = ("live" if live else "catching up") + (", beside a stalled one" if stalled else "")
    await writer.append("a/1", [NewEvent("First", 0)])
    if not live:
        await _append(writer, count)
    gc.collect()
    memory = _resident()
    after = END if live else 1
    slow = store.subscribe_changes(after=after)
    if live:
        await slow.__aenter__()
    followers = [store.subscribe_changes(after=after) for _ in range(FOLLOWERS)]
    if live:
        for one in followers:
            await one.__aenter__()
    began = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for one in followers:
            tasks.start_soon(_take, one, count)
        if stalled:
            tasks.start_soon(_take, slow, 1)
        if live:
            await anyio.lowlevel.checkpoint()
            await _append(writer, count)
    seconds = time.perf_counter() - began
    each = (_resident() - memory) / FOLLOWERS / 1e3
    held = len(slow._events)  # noqa: SLF001 - what it holds is the question
    rate = FOLLOWERS * count / seconds
    rows = [
        Row("1,000 subscriptions", how, "deliveries/s", rate, rate),
        Row("1,000 subscriptions", f"{how}: memory", "kB each", each, each),
    ]
    if stalled:
        rows.append(Row("1,000 subscriptions", f"{how}: the stalled one holds", "events",
                        held, held))  # fmt: skip
    return rows


async def _append(writer: EventStore, count: int) -> None:
    for number in range(count // BATCH):
        await writer.append(STREAMS[number % 64], new_events(BATCH))


async def _take(changes: Subscription, count: int) -> None:
    left = count
    async for _ in changes:
        left -= 1
        if left == 0:
            return


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


PROCESSES: Final = 50
COMMITS: Final = 1_000
PAUSE_SECONDS: Final = 0.02
"""Seconds between two commits that many processes follow."""


async def asking(setting: Setting) -> list[Row]:
    """50 processes follow 1,000 commits on PostgreSQL: pages read from it per 1,000 commits.

    All processes together, each page a transaction with a few queries; by Redis, with events
    inline and with hints alone. Quick: 10 processes, 100 commits.
    """
    commits, processes = setting.scaled(COMMITS), PROCESSES // 5 if setting.quick else PROCESSES
    rows = []
    with servers() as running:
        for name, keys in (("inline events", [KEY]), ("hints", [])):
            url, notify = running.postgres.fresh_schema(), running.redis.url
            pages = await _count_pages(url, notify, keys, commits, processes)
            value = pages * COMMITS / commits
            rows.append(Row(f"{processes} processes", name, "pages", value, value))
    return rows


async def _count_pages(url: str, notify: str, keys: list[str], commits: int, processes: int) -> int:
    async with EventStore.open(url, notify=notify, notify_keys=keys) as store:
        await store.append("a/1", [NewEvent("First", 0)])
        with ExitStack() as stack:
            children = [
                stack.enter_context(Child("crowd", url, 1, notify, *keys)) for _ in range(processes)
            ]
            await anyio.sleep(2 * QUIET_SECONDS)
            before = await _mark(store, children)
            for number in range(commits - 1):
                await store.append(STREAMS[number % 64], new_events(1))
                await anyio.sleep(PAUSE_SECONDS)
            return await _mark(store, children) - before


async def _mark(store: EventStore, children: list[Child]) -> int:
    """Append a mark; return how many pages all have read once each has it."""
    mark = (await store.append("a/1", [NewEvent("Mark", 0)])).position
    pages = 0
    for child in children:
        while (said := child.hear())[1] != mark:
            continue
        pages += int(said[2])
    return pages
