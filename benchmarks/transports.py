"""From an append to a follower in another process, by each transport, beside its floor."""

from __future__ import annotations

import random
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import anyio
import psycopg

from benchmarks.data import STREAMS, new_events
from benchmarks.measure import Row, Setting, latency_rows
from benchmarks.processes import QUIET_SECONDS, Child
from benchmarks.servers import KEY, Servers, servers
from eventstore import EventStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SAMPLES: Final = 2_000
TURN: Final = 50
"""Samples in a row before the next transport has its turn."""

WINDOW_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Transport:
    """One way to wake: the store that writes, its follower, and the bare thing beside it."""

    name: str
    store: EventStore
    follower: Child
    touch: Callable[[str], None]
    floor: Child


async def transports(setting: Setting) -> list[Row]:
    """Append one event; time until a follower in another process has it: ms.

    2,000 times for each transport, in turns of 50. The first row of each counts from the
    return of ``append``, the second from its call; the floor is the bare transport: a file
    written and watchfiles at the same step, NOTIFY and LISTEN by psycopg, publish and
    subscribe by redis-py. Then all wait for 20 s: % of one core, all threads.
    """
    rows: list[Row] = []
    with servers() as running:
        async with _Field(running, setting.folder) as field:
            samples: dict[str, dict[str, list[float]]] = {}
            await anyio.sleep(QUIET_SECONDS)
            for _ in range(setting.scaled(SAMPLES) // TURN):
                for one in field:
                    await _append_some(one, samples.setdefault(one.name, {}))
                    await anyio.to_thread.run_sync(_touch_some, one, samples[one.name])
            for name, taken in samples.items():
                rows += latency_rows(f"append → received, {name}", taken)
            rows += await _idle(field, WINDOW_SECONDS / 4 if setting.quick else WINDOW_SECONDS)
    return rows


class _Field(list[Transport]):
    """All four, with their processes."""

    def __init__(self, running: Servers, folder: Path) -> None:
        super().__init__()
        self._running, self._folder = running, folder
        self._stack = ExitStack()
        self._stores: list[EventStore] = []

    async def __aenter__(self) -> Self:
        running, folder = self._running, self._folder
        (folder / "floor").mkdir()
        plain = self._stack.enter_context(psycopg.connect(running.url, autocommit=True))
        client = self._stack.enter_context(running.redis.client())
        heard = self._stack.enter_context(Child("subscriber", running.redis.url))
        watcher = self._stack.enter_context(Child("watched", folder / "floor"))
        listener = self._stack.enter_context(Child("listener", running.url))

        def write(word: str) -> None:
            (folder / "floor" / "position").write_text(word)

        def notify(word: str) -> None:
            plain.execute("SELECT pg_notify('floor', %s)", (word,))

        def publish(word: str) -> None:
            client.publish("floor", word)

        sqlite, redis = f"sqlite:///{folder / 'log.db'}", running.redis.url
        await self._add("files", sqlite, "auto", [], write, watcher)
        await self._add("LISTEN", running.url, "auto", [], notify, listener)
        fresh = running.postgres.fresh_schema
        await self._add("Redis, hints", fresh(), redis, [], publish, heard)
        await self._add("Redis, inline", fresh(), redis, [KEY], publish, heard)
        return self

    async def _add(
        self,
        name: str,
        url: str,
        notify: str,
        keys: list[str],
        touch: Callable[[str], None],
        floor: Child,
    ) -> None:
        store = EventStore.open(url, notify=notify, notify_keys=keys)
        await store.__aenter__()
        self._stores.append(store)
        follower = self._stack.enter_context(Child("follower", url, notify, *keys))
        self.append(Transport(name, store, follower, touch, floor))

    async def __aexit__(self, *_: object) -> None:
        for store in self._stores:
            await store.aclose()
        self._stack.close()


async def _append_some(one: Transport, samples: dict[str, list[float]]) -> None:
    for event in new_events(TURN):
        began = time.monotonic_ns()
        done = await one.store.append(STREAMS[0], [event])
        returned = time.monotonic_ns()
        arrived = one.follower.await_word(done.position)
        samples.setdefault("ours, since append returned", []).append((arrived - returned) / 1e6)
        samples.setdefault("ours, since append was called", []).append((arrived - began) / 1e6)
        # At no multiple of any timer's period.
        await anyio.sleep(random.uniform(0.002, 0.008))


def _touch_some(one: Transport, samples: dict[str, list[float]]) -> None:
    for _ in range(TURN):
        began = time.monotonic_ns()
        one.touch(str(began))
        arrived = one.floor.await_word(str(began))
        samples.setdefault("floor", []).append((arrived - began) / 1e6)
        time.sleep(random.uniform(0.002, 0.008))


async def _idle(field: list[Transport], seconds: float) -> list[Row]:
    used: dict[str, list[float]] = {}
    await anyio.sleep(QUIET_SECONDS)
    for _ in range(2):
        began = time.monotonic()
        before = [one.follower.cpu_seconds() for one in field]
        await anyio.sleep(seconds)
        for one, was in zip(field, before, strict=True):
            share = (one.follower.cpu_seconds() - was) / (time.monotonic() - began)
            used.setdefault(one.name, []).append(100 * share)
    first = statistics.median(next(iter(used.values())))
    return [
        Row("waiting follower", name, "% of a core", median := statistics.median(values),
            max(values), ratio=first / median)
        for name, values in used.items()
    ]  # fmt: skip
