"""What is wrong with a run of a projection is told to every process, until it works again."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from sqlalchemy import text
from support.totals import DoubledTotals, Totals, append_numbers, project, read_totals, reader_of
from support.waiting import eventually, until

from eventstore import EventStore, NewEvent
from eventstore.storage.sqlite.paths import log_file
from projections import DirectoryProjection, ProjectionRunner
from projections.cli.projection_status import projections

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from projections.protocol import Projection

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


@contextmanager
def away(place: Path) -> Iterator[None]:
    """Take a directory away for the block, and leave a file in its place."""
    place.rename(place.with_name("elsewhere"))
    place.touch()
    try:
        yield
    finally:
        place.unlink()
        place.with_name("elsewhere").rename(place)


@contextmanager
def schema_away(url: str) -> Iterator[None]:
    """Take the schema of a database away for the block."""
    engine = reader_of(url)
    with engine.begin() as connection:
        schema = connection.execute(text("SELECT current_schema()")).scalar_one()
        connection.execute(text(f"ALTER SCHEMA {schema} RENAME TO {schema}_away"))
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"ALTER SCHEMA {schema}_away RENAME TO {schema}"))
        engine.dispose()


class View:
    """A projection, the name by which ``status`` knows its place, and what makes it fail."""

    def __init__(self, kind: str, target: str, root: Path) -> None:
        self.projection: Projection
        if kind == "directory":
            self.projection = DirectoryProjection(root)
            self.place, self.failing = str(root), away(root)
            return
        self.projection = followed = Totals().at(target)
        path = log_file(target)
        self.place = followed.place
        self.failing = schema_away(target) if path is None else away(path.parent)


@pytest.mark.parametrize("view_kind", ["directory", "database"])
async def test_a_run_that_fails_is_told_until_it_works_again(
    log: str, target: str, view_kind: str, tmp_path: Path
) -> None:
    view = View(view_kind, target, tmp_path / "live")
    async with EventStore.open(log) as store, EventStore.open(log) as reader:
        await append_numbers(store, 5)
        keeper = ProjectionRunner(store, view.projection, heal_seconds=0.02)

        async def told() -> str:
            return "".join(entry.line for entry in await projections(reader))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keeper.run)
            await eventually(lambda: has_begun(view))
            assert await told() == ""
            with view.failing:
                await store.append("n/1", [NewEvent("Counted", 1)])
                await eventually(told)
                (entry,) = await projections(reader)
                assert (entry.values["projection"], entry.values["place"]) == (
                    view.projection.name,
                    view.place,
                )
                assert entry.values["owner"] == store.owner
                assert entry.fault in entry.line
                assert (await reader.head()).position == 6
            await until(lambda: not keeper.trouble)

            async def well() -> bool:
                return not await told()

            await eventually(well)
            tasks.cancel_scope.cancel()


async def has_begun(view: View) -> bool:
    """Whether the runner has applied the first events."""
    if isinstance(view.projection, DirectoryProjection):
        manifest = view.projection.root / ".eventstore.json"
        return manifest.exists() and b'"position":5' in manifest.read_bytes()
    cursor = getattr(view.projection, "_at", None)
    return cursor is not None and cursor.position == 5


class Failing:
    """A projection whose every opening fails with a text that must not be shown as it is."""

    name = "failing"
    place = "postgresql://ana:hunter2@db/views"

    def __init__(self) -> None:
        self.reason = "No route to postgresql://ana:hunter2@db/views\x1b[31m" + "x" * 100_000

    def open(self, log_id: str) -> None:
        """Fail."""
        raise OSError(28, self.reason)

    apply = begin_rebuild = finish_rebuild = close = lambda *_: None


async def told_of_failing(store: EventStore) -> list[dict[str, Any]]:
    return [entry.values for entry in await projections(store)]


async def test_what_is_told_is_short_and_names_no_password(log: str) -> None:
    async with EventStore.open(log) as store, EventStore.open(log) as reader:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ProjectionRunner(store, Failing()).run)
            await eventually(lambda: told_of_failing(reader))
            (trouble,) = await told_of_failing(reader)
            assert "hunter2" not in str(trouble)
            assert len(str(trouble)) < 3_000
            tasks.cancel_scope.cancel()
        assert await told_of_failing(reader) == []


async def test_a_log_in_memory_tells_its_own_process() -> None:
    async with EventStore.open("memory://") as store:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ProjectionRunner(store, Failing()).run)
            await eventually(lambda: told_of_failing(store))
            tasks.cancel_scope.cancel()
        assert await told_of_failing(store) == []


async def test_a_run_that_persists_beside_a_newer_version_is_told(log: str, target: str) -> None:
    async with EventStore.open(log) as store, anyio.create_task_group() as tasks:
        first = await append_numbers(store, 5)
        view = Totals().at(target)
        tasks.start_soon(partial(ProjectionRunner(store, view).run, persist=True))

        async def begun() -> bool:
            return await anyio.to_thread.run_sync(read_totals, target) == first

        async def told() -> bool:
            reasons = [str(one["reason"]) for one in await told_of_failing(store)]
            return any("version 2" in reason for reason in reasons)

        await eventually(begun)
        await project(log, target, DoubledTotals())
        await append_numbers(store, 1)
        await eventually(told)
        tasks.cancel_scope.cancel()


async def test_a_log_beside_which_no_file_can_be_made_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refuse(path: Any, *rest: Any, **more: Any) -> int:
        if "-projection-" in str(path):
            raise OSError(28, "No space left on device")
        return real(path, *rest, **more)

    async with EventStore.open(f"sqlite:///{tmp_path}/e.db") as store:
        monkeypatch.setattr(os, "open", refuse)
        keeper = ProjectionRunner(store, Failing())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keeper.run)
            await until(lambda: keeper.trouble)
            tasks.cancel_scope.cancel()
