"""Subscriptions that share one reader, and what tests count and hold up of its reads."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from eventstore import END, EventStore
from eventstore.system.backoff import Backoff
from eventstore.system.event_loop import Signal
from support.logs import positions
from support.spies import note_calls
from support.waiting import DEADLINE, signalled, take

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import pytest

    from eventstore import Subscription
    from eventstore.log.operations import Page, Query


class Arrivals:
    """A queue of the positions that subscriptions have received."""

    def __init__(self) -> None:
        self._positions: deque[int] = deque()
        self._arrived = Signal()

    def add(self, position: int) -> None:
        self._positions.append(position)
        self._arrived.set()

    async def receive(self) -> int:
        """Wait for the next position and remove it."""
        await signalled(self._arrived, lambda: self._positions)
        return self._positions.popleft()


async def caught_up(subscription: Subscription) -> None:
    """Return once a subscription waits at the head."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take, subscription, 1)
        await signalled(subscription._feed.waiting, lambda: subscription.caught_up)
        tasks.cancel_scope.cancel()


async def take_into(subscription: Subscription, arrivals: Arrivals) -> None:
    for position in positions(await take(subscription, 1)):
        arrivals.add(position)


def before_reads(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]
) -> None:
    """Call ``act`` before each page that the store reads; what it raises fails the read."""
    read = store._log._read_page

    def reading(query: Query) -> Page:
        act()
        return read(query)

    monkeypatch.setattr(store._log, "_read_page", reading)


def gate(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> tuple[threading.Event, threading.Event]:
    """Hold up the next page that the store reads, until the second event is set."""
    reading, go_on = threading.Event(), threading.Event()

    def hold_up() -> None:
        reading.set()
        assert go_on.wait(DEADLINE)

    before_reads(store, monkeypatch, hold_up)
    return reading, go_on


@asynccontextmanager
async def with_writer(url: str) -> AsyncIterator[tuple[EventStore, EventStore]]:
    """Give a store that learns of the appends of a second one by its notifier alone."""
    async with EventStore.open(url, poll=3600) as store, EventStore.open(url) as writer:
        yield store, writer


@asynccontextmanager
async def unwoken(url: str, poll: float = 3600) -> AsyncIterator[tuple[EventStore, EventStore]]:
    """Give a store that nothing wakes when the second store appends."""
    async with (
        EventStore.open(url, poll=poll, notify="none") as store,
        EventStore.open(url, notify="none") as writer,
    ):
        yield store, writer


@asynccontextmanager
async def following(store: EventStore) -> AsyncIterator[Arrivals]:
    """Give what a subscription of the store receives that has caught up and waits."""
    async with (
        store.subscribe_changes(after=END) as subscription,
        anyio.create_task_group() as tasks,
    ):
        await caught_up(subscription)
        arrivals = Arrivals()
        tasks.start_soon(take_into, subscription, arrivals)
        yield arrivals


class Reads:
    """Counts the pages that a store reads."""

    def __init__(self, store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queries = note_calls(monkeypatch, store._log, "_read_page")


class OneTries(Backoff):
    """Lets one follower try again and again, and the others never."""

    chosen: OneTries | None = None
    failed = Signal()

    def next(self) -> float:
        OneTries.chosen = OneTries.chosen or self
        OneTries.failed.set()
        self.failures += 1
        return 0.01 if self is OneTries.chosen else 3600.0
