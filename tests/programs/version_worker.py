"""A process that runs one version of the product: calls come as lines of JSON, answers too.

It uses public names only, so that one file runs on every version; PYTHONPATH says on which.
A call is ``{"id": 1, "name": "append", "options": {…}}``, its answer ``{"id": 1, "result": …}``
or ``{"id": 1, "error": "ConflictError: …"}``. Calls run at the same time.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.totals import Totals, read_totals

import eventstore
from eventstore import ANY, EventStore, EventStoreError, NewEvent
from programs import version_seams
from projections import DirectoryProjection, ProjectionRunner
from projections.directory.manifest import read_tree
from projections.rules import (
    CompiledRule,
    RuleReplica,
    RuleState,
    RuleStore,
    RuleSync,
    RuleTables,
)
from projections.sql import SqlStorage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

POLL_SECONDS = 120.0
"""Longer than a test may wait, so that whatever arrives was announced by a wake-up."""


async def where() -> str:
    return str(Path(eventstore.__file__).parents[1])


async def append(
    url: str, stream: str, events: list[dict[str, Any]], expected: int | None = None, **how: Any
) -> list[Any]:
    async with EventStore.open(url, **how) as store:
        new = [NewEvent(one["type"], one["data"], id=one.get("id")) for one in events]
        done = await store.append(stream, new, expected=ANY if expected is None else expected)
        return [done.position, done.version, done.duplicate]


async def append_often(url: str, stream: str, count: int) -> None:
    async with EventStore.open(url) as store:
        for number in range(count):
            await store.append(stream, [NewEvent("Counted", number)])


async def read(url: str) -> list[list[Any]]:
    async with EventStore.open(url) as store:
        return [
            [
                one.position,
                one.stream,
                one.version,
                one.id,
                one.type,
                one.data.hex() if isinstance(one.data, bytes) else one.data,
                one.metadata,
                one.recorded_at.isoformat(),
                one.commit,
            ]
            async for one in store.read()
        ]


async def head(url: str) -> str:
    async with EventStore.open(url) as store:
        return str((await store.head()).cursor)


async def verify(url: str, anchor: str) -> list[str]:
    async with EventStore.open(url) as store:
        cursor = eventstore.Cursor.parse(anchor)
        return [str(finding) for finding in (await store.verify(anchor=cursor)).findings]


async def consume(url: str, consumer: str, count: int) -> list[int]:
    """Take so many events as a named consumer, the last one done as well."""
    async with EventStore.open(url) as store:
        taken: list[int] = []
        async with store.subscribe_changes(consumer=consumer) as changes:
            while len(taken) < count:
                taken.append((await anext(changes)).position)
            await changes.ack(flush=True)
        return taken


held: dict[str, Any] = {}
"""Stores and subscriptions that stay open between calls, by name."""


async def hold(name: str, url: str, consumer: str) -> int:
    """Open a consumer, take one event, and keep it open."""
    store = await EventStore.open(url).__aenter__()
    changes = store.subscribe_changes(consumer=consumer)
    position = (await anext(changes)).position
    held[name] = store, changes
    return position


async def acknowledge(name: str) -> str:
    """Store what the held consumer has done and close it; return the error's name, if any."""
    store, changes = held.pop(name)
    try:
        await changes.ack(flush=True)
    except EventStoreError as error:
        return type(error).__name__
    finally:
        await changes.aclose()
        await store.aclose()
    return ""


async def remove_consumer(url: str, consumer: str) -> int:
    """Remove a consumer; this version can, the released one cannot."""
    async with EventStore.open(url) as store:
        return (await store.remove_consumer(consumer)).cursor.position


async def rewind_consumer(url: str, consumer: str, to: int) -> int:
    """Rewind a consumer; this version can, the released one cannot."""
    async with EventStore.open(url) as store:
        return (await store.rewind_consumer(consumer, to=to)).cursor.position


class Follower:
    """A subscription that only wake-ups wake; ``take`` gives its next event."""

    def __init__(self, url: str, how: dict[str, Any]) -> None:
        self._store = EventStore.open(url, poll=POLL_SECONDS, **how)
        self._events: asyncio.Queue[list[Any]] = asyncio.Queue()

    async def start(self) -> None:
        await self._store.__aenter__()
        self._task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for event in self._store.subscribe_changes():
            self._events.put_nowait([event.position, event.type])

    async def take(self) -> list[Any]:
        return await self._events.get()

    async def facts(self) -> dict[str, Any]:
        status = await self._store.status()
        return {name: value for name, value in status.items() if isinstance(value, str | int)}

    async def stop(self) -> None:
        await self._store.aclose()
        await asyncio.wait([self._task])


followers: dict[str, Follower] = {}


async def follow(name: str, url: str, **how: Any) -> None:
    followers[name] = Follower(url, how)
    await followers[name].start()


async def take(name: str) -> list[Any]:
    return await followers[name].take()


async def facts(name: str) -> dict[str, Any]:
    return await followers[name].facts()


async def unfollow(name: str) -> None:
    await followers.pop(name).stop()


async def sync(
    url: str,
    directory: str,
    format: str = "ttp",  # noqa: A002
    source: str = "rules",
) -> list[int]:
    async with EventStore.open(url) as store:
        report = await RuleSync(store, directory, format=format, source=source).sync_once()
        return [report.defined, report.removed, report.rejected, report.unchanged]


class Master:
    """A master that follows a directory, or stands by while another one does."""

    sync: RuleSync
    reports = 0

    async def run(self, url: str, directory: str) -> None:
        async with EventStore.open(url) as store:
            self.sync = RuleSync(store, directory, format="ttp", source="rules")
            await self.sync.run(lambda _: self._count())

    def _count(self) -> None:
        self.reports += 1


master = Master()
background: list[asyncio.Task[None]] = []


async def lead(url: str, directory: str) -> None:
    background.append(asyncio.create_task(master.run(url, directory)))


async def leading() -> list[Any]:
    """Say who owns the source, and how often this master has reported."""
    for task in background:
        if task.done():
            task.result()
    return [master.sync.owner if hasattr(master, "sync") else "", master.reports]


def told(rule: CompiledRule) -> list[Any]:
    fields = rule._asdict()
    fields["applies_to"] = sorted(rule.applies_to)
    fields["state"] = state_told(rule.state)
    return [rule.rule_id, fields]


def state_told(state: RuleState) -> dict[str, str]:
    return {name: str(value) for name, value in dataclasses.asdict(state).items()}


async def rules(url: str) -> list[Any]:
    async with EventStore.open(url) as store:
        return sorted(told(rule) for rule in await RuleStore(store).load_compiled())


async def set_state(url: str, rule: str, state: str) -> None:
    async with EventStore.open(url) as store:
        limit = 0.5 if state == "clipped" else None
        await RuleStore(store).set_state(rule, RuleState(state, confidence_max=limit), "ana")  # type: ignore[arg-type]


async def redact(url: str, position: int) -> int:
    async with EventStore.open(url) as store:
        return (await store.redact(position, "a test", by="ana")).position


async def trim(url: str, before: int, archive: str) -> int:
    """Trim as the command line does, which keeps what projections of rules need."""
    names = ("projections.rules.trim_policy", "projections.rules.keeping", "projections.keeping")
    found = [name for name in names if importlib.util.find_spec(name)]
    keep = importlib.import_module(found[0]).keep_rules
    async with EventStore.open(url) as store:
        done = await store.trim(before, archive=archive, reason="a test", by="ana", keep=keep)
        return done.first_position


async def project(url: str, directory: str) -> str:
    async with EventStore.open(url) as store:
        return str(await ProjectionRunner(store, DirectoryProjection(directory)).catch_up())


async def tree(directory: str) -> list[Any]:
    """Read a projected directory as it is: its position and its files, or the error's name."""
    try:
        cursor, contents = read_tree(Path(directory), attempts=1)
    except EventStoreError as error:
        return [type(error).__name__]
    return [cursor.position, {path: raw.decode() for path, raw in contents.items()}]


async def replica(directory: str) -> list[Any]:
    copy = RuleReplica(directory)
    loaded = sorted(told(rule) for rule in await copy.load_compiled())
    return [copy.position, loaded]


async def fill_tables(url: str, database: str) -> str:
    """Bring the tables of rules to the log's end: inline, or followed in another database."""
    async with EventStore.open(url, inline=[RuleTables()]) as store:
        return str(await ProjectionRunner(store, RuleTables().at(database)).catch_up())


async def export(url: str, file: str) -> int:
    async with EventStore.open(url) as store:
        return (await store.export(file)).events


async def import_from(url: str, file: str) -> None:
    async with EventStore.open(url) as store:
        await store.import_from(file)


async def open_view(url: str) -> None:
    """Open a log with an inline projection, and keep it open."""
    held[url] = await EventStore.open(url, inline=[Totals()]).__aenter__()


async def append_with_view(url: str, stream: str, numbers: list[int]) -> dict[str, int]:
    """Append each number by the store that is open; return the projection's rows afterwards."""
    for number in numbers:
        await held[url].append(stream, [NewEvent("Counted", number)])
    return read_totals(url)


async def close_view(url: str) -> None:
    await held.pop(url).aclose()


turn_is_over = asyncio.Event()


async def hold_turn(url: str, number: int) -> None:
    """Begin to write as a program's own SQL does, and commit once told to."""
    loop = asyncio.get_running_loop()

    def write() -> None:
        with SqlStorage(url) as storage, storage.connection() as connection:
            connection.execute("UPDATE account SET owner = ? WHERE id = 0", (f"held {number}",))
            loop.call_soon_threadsafe(begun.set_result, None)
            asyncio.run_coroutine_threadsafe(turn_is_over.wait(), loop).result()

    begun: asyncio.Future[None] = loop.create_future()
    turn_is_over.clear()
    background.append(asyncio.create_task(asyncio.to_thread(write)))
    await begun


async def end_turn() -> None:
    turn_is_over.set()
    await background[-1]


def answer(identity: int, **values: Any) -> None:
    print(json.dumps({"id": identity, **values}, default=str), flush=True)


CALLS = {**vars(version_seams), **globals()}
"""What may be called, by name."""


async def carry_out(request: dict[str, Any]) -> None:
    function: Callable[..., Awaitable[Any]] = CALLS[request["name"]]
    try:
        answer(request["id"], result=await function(**request["options"]))
    except Exception as error:
        answer(request["id"], error=f"{type(error).__name__}: {error}")


async def main() -> None:
    running = set()
    while line := await asyncio.to_thread(sys.stdin.readline):
        task = asyncio.create_task(carry_out(json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)


if __name__ == "__main__":
    asyncio.run(main())
