"""The logs that the contract suite runs on, and small things to fill them with."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio

from eventstore import Event, NewEvent
from support.postgres import shared_server
from support.waiting import eventually, take

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from eventstore import EventStore, Subscription

LOG_URLS: Final[dict[str, Callable[[Path], str]]] = {
    "sqlite": lambda directory: f"sqlite:///{directory}/events.db",
    "memory": lambda _: "memory://",
    "postgresql": lambda _: shared_server().fresh_schema(),
}
"""URL scheme of each backend, and how to name a fresh log of its kind."""

LASTING: Final = ("sqlite", "postgresql")
"""The backends whose log is still there once the store that wrote it is closed."""


def some(count: int, type_: str = "Happened") -> list[NewEvent]:
    """Return ``count`` new events whose data counts from 0."""
    return [NewEvent(type_, index) for index in range(count)]


def ids(values: Iterable[object]) -> list[str]:
    """Return distinct test ids for values that have no short text of their own."""
    return [f"{number}-{type(value).__name__}" for number, value in enumerate(values)]


def positions(events: Iterable[Event], start: int = 0) -> list[int]:
    """Return the events' places in the log, counted from where it ended before: from ``start``."""
    return [event.position - start for event in events]


def data(events: Iterable[Event]) -> list[Any]:
    """Return the events' data."""
    return [event.data for event in events]


async def woken(subscription: Subscription, other: EventStore) -> None:
    """Return once an append of another store wakes a follower that has no timer to speak of."""
    async with anyio.create_task_group() as tasks:

        async def follow() -> None:
            await take(subscription, 1)
            tasks.cancel_scope.cancel()

        tasks.start_soon(follow)

        async def append() -> bool:
            with anyio.move_on_after(1.0):
                await other.append("a/1", some(1))
                await anyio.sleep_forever()
            return False

        await eventually(append)


@asynccontextmanager
async def all_take(
    store: EventStore, followers: int, count: int, start: int = 0
) -> AsyncIterator[None]:
    """Start subscriptions, and at the end see that each takes ``count`` events after ``start``."""
    seen: list[int] = []

    async def follow() -> None:
        changes = store.subscribe_changes(after=start)
        seen.extend(positions(await take(changes, count), start))

    async with anyio.create_task_group() as tasks:
        for _ in range(followers):
            tasks.start_soon(follow)
        yield
    assert sorted(seen) == sorted(list(range(1, count + 1)) * followers)


async def follows_each(store: EventStore, other: EventStore) -> None:
    """See that a subscription gets each of ten appends of another store, one after the other."""
    subscription = store.subscribe_changes()
    for position in range(1, 11):
        await other.append("a/1", some(1))
        assert positions(await take(subscription, 1)) == [position]
