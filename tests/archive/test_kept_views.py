"""After a trim every view can be computed from nothing, or the trim was refused and named it."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from random import Random
from types import ModuleType
from typing import TYPE_CHECKING, Any

import anyio
import psycopg
import pytest
from support.logs import LASTING, LOG_URLS
from support.memories import some as memory
from support.totals import Totals, read_table, read_totals

from eventstore import (
    EventStore,
    HistoryGoneError,
    HistoryHeldError,
    NewEvent,
    ViewNotKeptError,
)
from eventstore.archive import keepers, trim
from eventstore.archive.keepers import Needs, serving
from eventstore.cli.manifest import Keeper, Manifest, Rebuild
from eventstore.system.entry_points import EntryPoint, find_entry_points
from projections import Fold, FoldRunner, ProjectionRunner, handles
from projections.memories import MemoryStore
from projections.memories.events import decode_memory
from projections.memories.files import memory_directory
from projections.memories.tables import MemoryTables, memory_table
from projections.registry import Registry, RegistryTables
from projections.registry.tables import bot_table
from projections.rules.trim_policy import keep_rules
from projections.sql import SqlCopy, SqlStorage
from projections.tables.places import forget_elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sqlalchemy import Connection

    from eventstore import Event
    from projections import Projection


@pytest.fixture(params=LASTING)
def kind(request: pytest.FixtureRequest) -> str:
    """Name the database that logs and views live in."""
    return str(request.param)


@pytest.fixture
def anyio_backend() -> str:
    """Run each on asyncio: nothing here depends on the event loop."""
    return "asyncio"


@pytest.fixture
def log(kind: str, tmp_path: Path) -> str:
    """Name a log that does not exist yet."""
    return LOG_URLS[kind](tmp_path)


def place(kind: str, tmp_path: Path, name: str) -> str:
    """Name another database."""
    folder = tmp_path / name
    folder.mkdir()
    return LOG_URLS[kind](folder)


async def trim_half(url: str, archive: Path) -> None:
    async with EventStore.open(url) as store:
        head = await store.head()
        before = (head.first_position + head.position) // 2
        await store.trim(before, archive=archive)
        assert (await store.head()).first_position > head.first_position


async def catch_up(url: str, *views: Projection) -> None:
    async with EventStore.open(url) as store:
        for view in views:
            await ProjectionRunner(store, view).catch_up()


class Notes:
    """Memories and rows of a table, changed at random, beside dictionaries of what is there."""

    def __init__(self, log: str, folder: Path) -> None:
        self._log = log
        self._random = Random(11)
        self.memories: dict[str, str] = {}
        self.rows: dict[int, str] = {}
        (folder / "migrations").mkdir()
        table = "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)"
        (folder / "migrations" / "1.sql").write_text(table)
        with SqlStorage(log, notify="none") as sql:
            sql.apply_migrations(folder / "migrations")

    def change(self, times: int) -> None:
        """Change memories and rows, each so many times."""
        with MemoryStore(self._log) as store, SqlStorage(self._log, notify="none") as sql:
            for number in range(times):
                name = self._random.choice("abcde")
                if self._random.random() < 0.3:
                    store.delete(name)
                    self.memories.pop(name, None)
                else:
                    store.store(memory(name, f"{number}"))
                    self.memories[name] = f"{number}"
                with sql.connection() as connection:
                    self._change_row(connection, number)

    def _change_row(self, connection: Any, number: int) -> None:
        key = self._random.randrange(5)
        connection.execute("DELETE FROM note WHERE id = ?", (key,))
        self.rows.pop(key, None)
        if self._random.random() < 0.7:
            connection.execute("INSERT INTO note VALUES (?, ?)", (key, f"{number}"))
            self.rows[key] = f"{number}"


def read_memories(url: str) -> dict[str, str]:
    at = list(memory_table.c).index(memory_table.c.memory)
    found = [decode_memory(str(row[at])) for row in read_table(url, memory_table)]
    return {one.id: one.content for one in found}


def read_notes(url: str) -> dict[int, str]:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as raw:
            return dict(raw.execute("SELECT id, text FROM note"))
    with psycopg.connect(url) as server:
        return dict(server.execute("SELECT id, text FROM note").fetchall())


@pytest.mark.slow
@pytest.mark.promise("moving")
def test_memories_and_tables_are_computed_from_nothing_after_each_trim(
    kind: str, log: str, tmp_path: Path
) -> None:
    notes = Notes(log, tmp_path)
    followed, files = place(kind, tmp_path, "followed"), tmp_path / "files"
    for number in range(2):
        notes.change(6)
        anyio.run(catch_up, log, MemoryTables().at(followed))
        notes.change(3)
        anyio.run(trim_half, log, tmp_path / f"{number}.export")
        new = place(kind, tmp_path, f"memories{number}")
        copy = place(kind, tmp_path, f"copy{number}")
        directory = memory_directory(tmp_path / f"new{number}")
        views = (MemoryTables().at(new), MemoryTables().at(followed), SqlCopy(copy), directory)
        anyio.run(catch_up, log, memory_directory(files), *views)
        with SqlStorage(log, notify="none") as sql:
            sql.rebuild()
        assert read_memories(new) == read_memories(followed) == notes.memories
        assert read_notes(copy) == read_notes(log) == notes.rows
        for root in (files, tmp_path / f"new{number}"):
            found = [json.loads(path.read_bytes()) for path in root.glob("*.json")]
            assert {one["id"]: one["content"] for one in found} == notes.memories


async def register(log: str, count: int) -> None:
    async with Registry(log, notify="none") as registry:
        for number in range(count):
            await registry.register(f"bot{number % 3}", {"n": number}, "active")
        await registry.deactivate("bot0")


class NextRegistry(RegistryTables):
    """Its next version."""

    version = 2


@pytest.mark.anyio
@pytest.mark.slow
async def test_a_new_version_is_built_and_swapped_on_a_trimmed_log(
    log: str, tmp_path: Path
) -> None:
    await register(log, 7)
    async with EventStore.open(log) as store:
        expected = read_table(log, bot_table)
        await store.trim(8, archive=tmp_path / "archive")
        assert await store.build_view(NextRegistry())
        assert await store.swap_view(NextRegistry())
        assert read_table(log, bot_table) == expected
    async with EventStore.open(log, inline=[NextRegistry()]) as store:
        await store.append("bot/bot0", [NewEvent("BotUnregistered", {"bot_id": "bot0"})])
        assert read_table(log, bot_table) == [row for row in expected if row[0] != "bot0"]


async def trim_as_before(store: EventStore, archive: Path) -> None:
    """Trim as versions did that kept nothing but rules."""
    needs = Needs([keep_rules], frozenset({"rules", "registry"}), ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trim, "read_needs", lambda _: needs)
        patch.setattr(trim, "VIEWS", "other")
        await store.trim(8, archive=archive)


@pytest.mark.anyio
async def test_a_log_that_was_trimmed_before_is_not_taken_for_whole(tmp_path: Path) -> None:
    log = f"sqlite:///{tmp_path}/events.db"
    await register(log, 7)
    async with EventStore.open(log) as store:
        await trim_as_before(store, tmp_path / "first")
        # A later trim that keeps what is needed does not bring back what has gone.
        await store.append("other/1", [NewEvent("Other", 1)])
        await store.trim(9, archive=tmp_path / "second")
        new = RegistryTables().at(f"sqlite:///{tmp_path}/new.db")
        with pytest.raises(HistoryGoneError, match="view 'registry' needs them"):
            await ProjectionRunner(store, new).catch_up()
        with pytest.raises(HistoryGoneError, match="view 'memories' needs them"):
            await ProjectionRunner(store, memory_directory(tmp_path / "d")).catch_up()
    with pytest.raises(HistoryGoneError, match="view 'memories' needs them"):
        async with EventStore.open(log, inline=[MemoryTables()]):
            pass
    with SqlStorage(log, notify="none") as sql, pytest.raises(HistoryGoneError, match="'sql'"):
        sql.rebuild()
    async with EventStore.open(log, inline=[RegistryTables()]):
        assert len(read_table(log, bot_table)) == 3, "tables that were there go on"


@serving("totals")
def keep_counted(events: Iterable[Event]) -> list[int]:
    return [event.position for event in events if event.type == "Counted"]


class KeptTotals(Totals):
    """Its program keeps every event that it counts."""

    from_snapshot = True
    named_by_trims = True

    def handle(self, connection: Connection, event: Event) -> None:
        """Count what is to be counted."""
        if event.type == "Counted":
            super().handle(connection, event)


@pytest.mark.anyio
async def test_a_program_keeps_for_its_own_view_and_others_are_named(tmp_path: Path) -> None:
    log = f"sqlite:///{tmp_path}/events.db"
    async with EventStore.open(log, inline=[KeptTotals()]) as store:
        for number in range(6):
            await store.append(f"n/{number % 2}", [NewEvent("Counted", number)])
        expected = read_totals(log)
        with pytest.raises(ViewNotKeptError, match="--forgo-rebuild totals"):
            await store.trim(4, archive=tmp_path / "a")
        assert not (tmp_path / "a").exists()
        await store.trim(4, archive=tmp_path / "a", keep=keep_counted)
        other = f"sqlite:///{tmp_path}/other.db"
        await ProjectionRunner(store, KeptTotals().at(other)).catch_up()
        assert read_totals(other) == expected
        # From here on the view is given up, and says so where it would be computed again.
        await store.trim(6, archive=tmp_path / "b", forgo_rebuild=["totals"])
        with pytest.raises(HistoryGoneError, match="archive"):
            await ProjectionRunner(store, KeptTotals().at(other)).rebuild()
        assert read_totals(other) == expected


@pytest.mark.anyio
@pytest.mark.promise("moving")
async def test_a_view_in_another_database_holds_a_trim_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.elsewhere.WAIT_SECONDS", 600.0)  # Also on a busy machine.
    other = f"sqlite:///{tmp_path}/other.db"
    async with EventStore.open(f"sqlite:///{tmp_path}/events.db") as store:
        for number in range(4):
            await store.append(f"n/{number % 2}", [NewEvent("Counted", number)])
            if number == 1:
                await ProjectionRunner(store, KeptTotals().at(other)).catch_up()
        with pytest.raises(
            HistoryHeldError, match=r"position 2 .*views drop totals --forget"
        ) as held:
            await store.trim(4, archive=tmp_path / "a", forgo_rebuild=["totals"])
        assert (held.value.consumer, held.value.place) == ("totals", other)
        await ProjectionRunner(store, KeptTotals().at(other)).catch_up()
        with pytest.raises(
            ViewNotKeptError, match=r"'totals' .* it is in sqlite.*other\.db"
        ) as refused:
            await store.trim(4, archive=tmp_path / "a")
        assert (refused.value.view, (tmp_path / "a").exists()) == ("totals", False)
        # One that is served by kept events needs not even be up.
        await store.append("n/1", [NewEvent("Counted", 7)])
        await store.trim(5, archive=tmp_path / "a", keep=keep_counted)
        await ProjectionRunner(store, KeptTotals().at(other)).catch_up()
        assert read_totals(other) == {"n/0": 0 + 2, "n/1": 1 + 3 + 7}
        await store.trim(6, archive=tmp_path / "b", forgo_rebuild=["totals"])
        await store.append("n/1", [NewEvent("Counted", 1)])
        assert await forget_elsewhere(store, "totals")
        await store.trim(8, archive=tmp_path / "c")


def install(monkeypatch: pytest.MonkeyPatch, manifest: Manifest) -> None:
    """Let a package be installed that has this manifest."""
    module = ModuleType("acme_manifest")
    vars(module).update(MANIFEST=manifest, keep_counted=keep_counted)
    monkeypatch.setitem(sys.modules, "acme_manifest", module)
    ours = find_entry_points(keepers.MANIFESTS)
    acme = EntryPoint("acme-things", "acme", "acme_manifest:MANIFEST")
    monkeypatch.setattr(keepers, "find_entry_points", lambda _: [*ours, acme])


@pytest.mark.anyio
async def test_a_view_of_a_package_that_declares_nothing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuild = Rebuild("totals", "acme_code:rebuild")
    async with EventStore.open(f"sqlite:///{tmp_path}/events.db") as store:
        await store.append("n/1", [NewEvent("Counted", 1), NewEvent("Counted", 2)])
        install(monkeypatch, Manifest(title="Acme", rebuilds=(rebuild,)))
        for dry_run in (True, False):
            with pytest.raises(ViewNotKeptError) as refused:
                await store.trim(3, archive=tmp_path / "a", dry_run=dry_run)
            assert refused.value.view == "totals"
        assert (await store.head()).position == 2
        declared = Keeper("acme_manifest:keep_counted")
        install(monkeypatch, Manifest(title="Acme", rebuilds=(rebuild,), keepers=(declared,)))
        assert (await store.trim(3, archive=tmp_path / "a")).kept == 2


class Sum(Fold[int]):
    """A sum, in memory."""

    name = "sum"

    def initial(self) -> int:
        """Begin with nothing."""
        return 0

    @handles("Counted")
    def counted(self, state: int, event: Event, data: int) -> int:
        """Add a number."""
        return state + data


@pytest.mark.anyio
async def test_the_snapshot_of_a_fold_has_to_reach_beyond_what_goes(tmp_path: Path) -> None:
    async with EventStore.open(f"sqlite:///{tmp_path}/events.db") as store:
        runner = FoldRunner(store, Sum())
        for number in range(1, 7):
            await store.append("n/1", [NewEvent("Counted", number)])
            if number == 2:
                await runner.catch_up()
                await runner.save()
        with pytest.raises(ViewNotKeptError, match=r"view 'sum'.*snapshot is as of 2"):
            await store.trim(5, archive=tmp_path / "a")
        await runner.catch_up()
        await runner.save()
        await store.trim(5, archive=tmp_path / "a")
        assert await FoldRunner(store, Sum()).catch_up() == 21
