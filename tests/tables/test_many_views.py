"""One runner for several projections: one read of the log, and each has its own fate."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import anyio
import pytest
from support.logs import some
from support.many_totals import other_totals, read_count
from support.positions import Positions
from support.totals import append_numbers
from support.waiting import DEADLINE, until

from eventstore import ConfigError, EventStore, ProjectionError, StorageError
from projections import ProjectionRunner, _shared_pages, _view_run
from projections.cli.projection_status import projections

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from eventstore import Cursor, Event
    from eventstore.log.operations import Page, Query

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

ALL = list(range(1, 11))


@pytest.fixture
async def store(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EventStore]:
    """Give a log of ten events in commits that end at 3, 4, 8 and 10, read in pages of two."""
    monkeypatch.setattr(_view_run, "BATCH_EVENTS", 2)
    monkeypatch.setattr(_shared_pages, "LEAST_SECONDS", DEADLINE)
    async with EventStore.open("memory://") as store:
        for count in (3, 1, 4, 2):
            await store.append("a/1", some(count))
        yield store


class Named(Positions):
    """A projection with a name of its own, whose calls fail with ``error`` while there is one."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        super().__init__()
        self.name = name
        self.error = error

    def apply(self, events: Sequence[Event], cursor: Cursor) -> None:
        """Remember the positions, or fail."""
        if self.error is not None:
            raise self.error
        super().apply(events, cursor)


def views(*errors: Exception | None) -> list[Named]:
    return [Named(f"v{number}", error) for number, error in enumerate(errors)]


def count_reads(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the position after which each page of events is read."""
    reads: list[int] = []
    read_page = store.feed.page

    async def page(query: Query) -> Page:
        if query.limit == _view_run.BATCH_EVENTS:
            reads.append(query.after)
        return await read_page(query)

    monkeypatch.setattr(store.feed, "page", page)
    return reads


@pytest.mark.parametrize("method", ["catch_up", "rebuild"])
async def test_the_log_is_read_once_for_all(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    reads = count_reads(store, monkeypatch)
    many = views(None, None, None)
    cursor = await getattr(ProjectionRunner(store, *many), method)()
    assert [one.seen for one in many] == [ALL] * 3
    assert cursor == (await store.head()).cursor
    assert reads == [0, 3, 8]


async def test_each_goes_on_from_its_own_cursor(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, begun, whole = views(None, None, None)
    await ProjectionRunner(store, begun).catch_up(until=4)
    await ProjectionRunner(store, whole).catch_up()
    reads = count_reads(store, monkeypatch)
    await ProjectionRunner(store, new, begun, whole).catch_up()
    assert [one.seen for one in (new, begun, whole)] == [ALL] * 3
    assert {0, 3, 8} <= set(reads)


async def test_what_one_raises_comes_after_the_others_are_done(store: EventStore) -> None:
    good, bad, worse = views(None, ZeroDivisionError("bad"), StorageError("view", "worse"))
    with pytest.raises(ZeroDivisionError, match="bad"):
        await ProjectionRunner(store, good, bad, worse).catch_up()
    assert good.seen == ALL


async def test_a_run_goes_on_with_the_others_where_one_stops(store: EventStore) -> None:
    error = ProjectionError("v1", 11, "not 13")
    good, bad = views(None, None)
    runner = ProjectionRunner(store, good, bad, heal_seconds=0.01)

    async def watch() -> None:
        await until(lambda: good.seen == bad.seen == ALL)
        bad.error = error
        await store.append("a/1", some(1))
        await until(lambda: runner.stopped)
        await store.append("a/1", some(1))
        await until(lambda: len(good.seen) == 12)
        assert (runner.stopped, runner.trouble) == ({"v1": error}, f"v1: {error}")
        (told,) = await projections(store)
        assert told.values["reason"] == str(error)
        good.error = ZeroDivisionError("no more")
        await store.append("a/1", some(1))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        with pytest.raises(ZeroDivisionError, match="no more"):
            await runner.run()
    assert (good.seen, bad.seen) == ([*ALL, 11, 12], ALL)
    assert await projections(store) == []


async def test_a_failing_database_of_one_delays_no_other(store: EventStore) -> None:
    good, bad = views(None, None)
    runner = ProjectionRunner(store, good, bad, heal_seconds=0.01)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.run)
        await until(lambda: good.seen == bad.seen == ALL)
        bad.error = StorageError("view", "connection lost", transient=True)
        await store.append("a/1", some(2))
        await until(lambda: len(good.seen) == 12 and runner.trouble)
        assert (runner.stopped, bad.seen) == ({}, ALL)
        bad.error = None
        await until(lambda: len(bad.seen) == 12 and not runner.trouble)
        tasks.cancel_scope.cancel()


async def test_a_read_that_takes_longer_than_two_checks_are_apart_is_not_cut_short(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = store.feed.pages.page

    async def slow(query: Query) -> Page:
        await anyio.sleep(0.03)
        return await read(query)

    monkeypatch.setattr(store.feed.pages, "page", slow)
    (view,) = views(None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ProjectionRunner(store, view, heal_seconds=0.001).run)
        await until(lambda: view.seen == ALL)
        await store.append("a/1", some(1))
        await until(lambda: view.seen == [*ALL, 11])
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("given", [0, 2])
async def test_a_runner_is_refused_that_has_none_or_one_twice(
    store: EventStore, given: int
) -> None:
    with pytest.raises(ConfigError, match="ProjectionRunner"):
        ProjectionRunner(store, *[Positions() for _ in range(given)])


async def test_views_in_one_file_are_rebuilt_in_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTSTORE_WRITE_WAIT_SECONDS", "0.001")
    monkeypatch.setattr(_view_run, "BATCH_EVENTS", 2)
    url, place = (f"sqlite:///{tmp_path}/{name}.db" for name in ("log", "views"))
    async with EventStore.open(url) as store:
        await append_numbers(store, 20)
        many = [other_totals(name).at(place) for name in ("a", "b", "c")]
        runner = ProjectionRunner(store, *many)
        for step in (runner.catch_up, runner.rebuild):
            assert (await step()).position == 20
    for name in ("a", "b", "c"):
        assert read_count(place, name) == 20


async def test_no_commit_is_lost_where_a_check_comes_due_before_its_turn_to_write(
    store: EventStore,
) -> None:
    heal_seconds = 0.02

    class Slow(Named):
        """Shares its place, and takes longer for a commit than two checks are apart."""

        one_writer, place = True, "here"

        def apply(self, events: Sequence[Event], cursor: Cursor) -> None:
            super().apply(events, cursor)
            if self.begun.is_set():
                time.sleep(2 * heal_seconds)

        begun = threading.Event()

    view = Slow("slow")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ProjectionRunner(store, view, heal_seconds=heal_seconds).run)
        await until(lambda: view.seen == ALL)
        view.begun.set()
        for _ in range(8):
            await store.append("a/1", some(1))
        await until(lambda: view.seen[-1:] == [18])
        tasks.cancel_scope.cancel()
    assert view.seen == [*ALL, *range(11, 19)]
