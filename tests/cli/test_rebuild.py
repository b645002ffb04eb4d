"""Views computed again: equal to what they were, and left alone when that is interrupted."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from sqlalchemy import create_engine, inspect, text
from support.commands import SAMPLES, Run
from support.journals import fill
from support.logs import LASTING, LOG_URLS
from support.sql_tables import Migrations

from eventstore.cli.contributions import contributions
from eventstore.cli.output import Output
from eventstore.cli.rebuild import Rebuilt, Target, names, rebuild
from eventstore.cli.session import Session
from eventstore.config import Settings
from projections import _view_run, runner
from projections.journal import Journal
from projections.memories import Memory, MemoryStore, Namespace
from projections.rules import RuleTables
from projections.seams.background_loop import close_background_loop
from projections.sql import SqlCopy, SqlStorage
from projections.sql._dialect import SqlDialect
from projections.tables.followed import FollowedTables

if TYPE_CHECKING:
    from pathlib import Path

    from projections.protocol import Projection
    from projections.runner import Progress as Told

pytestmark = pytest.mark.slow
COUNT = len(list(SAMPLES.iterdir()))


@pytest.fixture(params=LASTING)
def log(
    request: pytest.FixtureRequest, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Give a log of the sample rules, which the environment names."""
    url = LOG_URLS[request.param](tmp_path)
    monkeypatch.setattr("support.commands.LOG", {"EVENTSTORE_URL": url})
    shutil.copytree(SAMPLES, tmp_path / "rules")
    assert run("sync", "rules", "--once").returncode == 0
    return url


@pytest.fixture
def views(log: str, tmp_path: Path) -> str:
    """Name another database of the log's kind."""
    (tmp_path / "views").mkdir()
    return LOG_URLS[log.partition(":")[0]](tmp_path / "views")


def query(url: str, sql: str) -> list[tuple[object, ...]]:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        found = connection.execute(text(sql))
        rows = [tuple(row) for row in found] if found.returns_rows else []
    engine.dispose()
    return rows


def test_tables_are_rebuilt_in_another_database(run: Run, log: str, views: str) -> None:
    for _ in range(2):
        done = run("rebuild", "rules", "--database", views, "--json")
        told = json.loads(done.stdout)
        assert told["position"] == COUNT
        assert told["place"] == FollowedTables(RuleTables(), views).place
        assert query(views, "SELECT count(*) FROM rule") == [(COUNT,)]
        query(views, "DELETE FROM rule")


def test_tables_are_rebuilt_in_the_logs_own_database_by_default(run: Run, log: str) -> None:
    run("state", "R1001", "disabled")
    assert run("rebuild", "rules").returncode == 0
    assert query(log, "SELECT rule_id, state FROM rule_state") == [("R1001", "disabled")]


def test_a_directory_is_rebuilt(run: Run, log: str, tmp_path: Path) -> None:
    for _ in range(2):
        done = run("rebuild", "directory", "--to", "live")
        assert done.stdout == f"directory in live is rebuilt, at position {COUNT}\n"
        live = {path.name: path.read_bytes() for path in (tmp_path / "live").glob("*.yml")}
        assert live == {path.name: path.read_bytes() for path in SAMPLES.iterdir()}
        next((tmp_path / "live").glob("*.yml")).unlink()


def test_a_view_that_is_not_known_is_one_line_with_those_that_are(run: Run) -> None:
    done = run("rebuild", "ruels")
    assert (done.returncode, done.stdout) == (1, "")
    known = ", ".join(names())
    assert done.stderr == f"error: view 'ruels': is not known; known are {known}\n"
    assert "journal" in known


@pytest.mark.anyio
@pytest.mark.parametrize("name", sorted(names()))
async def test_each_name_stands_for_the_view_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    rebuilt = []

    async def record(_session: Session, projection: Projection, place: str) -> Rebuilt:
        rebuilt.append(projection.name)
        return Rebuilt(place, 0)

    monkeypatch.setattr("projections.cli.rebuilds.rebuild_projection", record)
    url = f"sqlite:///{tmp_path}/views.db"
    target = Target(tmp_path, None) if name == "directory" else Target(None, url)
    found = contributions().rebuilds[name]
    await found.load(found.item.path)(Session(Settings(), Output()), target)
    assert rebuilt == [name]


def test_the_journal_is_rebuilt_where_the_log_is(run: Run, log: str) -> None:
    async def fill_it() -> None:
        async with Journal(log) as journal:
            await fill(journal, 3)

    anyio.run(fill_it)
    query(log, "UPDATE journal_entry SET agent = 'spoiled'")
    done = run("rebuild", "journal")
    assert (done.returncode, done.stderr) == (0, "")
    assert query(log, "SELECT DISTINCT agent FROM journal_entry") == [("ana",)]


def lose_items(log: str, migrations: Path) -> None:
    """Make a table of a program's own with one row, and drop it behind the log's back."""
    Migrations(migrations).write("1", "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
    with SqlStorage(log, notify="none") as storage:
        storage.apply_migrations(migrations)
        with storage.connection() as c:
            c.execute("INSERT INTO item VALUES (?, ?)", (1, "ana"))
    query(log, "DROP TABLE item")


def test_tables_of_ones_own_are_rebuilt_here_and_elsewhere(
    run: Run, log: str, views: str, tmp_path: Path
) -> None:
    lose_items(log, tmp_path / "migrations")
    done = run("rebuild", "sql")
    place = SqlCopy(log).place
    assert done.stdout == f"sql in {place} is rebuilt, at position {COUNT + 2}\n"
    assert query(log, "SELECT * FROM item") == [(1, "ana")]
    for _ in range(2):
        done = run("rebuild", "sql", "--database", views, "--json")
        told = {"view": "sql", "place": SqlCopy(views).place, "position": COUNT + 2}
        assert json.loads(done.stdout) == told
        assert query(views, "SELECT * FROM item") == [(1, "ana")]
    done = run("rebuild", "sql", "--database", log)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {place} is no copy of these tables, and holds ")
    assert query(log, "SELECT * FROM item") == [(1, "ana")]


@pytest.mark.parametrize(
    "words",
    [[], ["directory"], ["rules", "--to", "live"], ["journal", "--to", "live"],
     ["sql", "--to", "live"], ["directory", "--to", "live", "--database", "sqlite:///v.db"]],
)  # fmt: skip
def test_a_place_that_is_not_the_views_own_is_wrong_usage(run: Run, words: list[str]) -> None:
    done = run("rebuild", *words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.promise("projection")
@pytest.mark.anyio
@pytest.mark.parametrize("name", ["directory", "rules"])
async def test_an_interrupted_rebuild_leaves_the_old_view(
    run: Run,
    log: str,
    views: str,
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    session = Session(Settings(url=log), Output())
    to = tmp_path / "live" if name == "directory" else None
    database = None if to else views
    await rebuild(session, name, to=to, database=database)
    before = view_of(tmp_path, database)
    shutil.rmtree(tmp_path / "rules")
    (tmp_path / "rules").mkdir()
    run("sync", "rules", "--once", "--allow-empty")
    monkeypatch.setattr(_view_run, "BATCH_EVENTS", 1)
    with anyio.CancelScope() as scope:
        cancel_after_some(scope, monkeypatch)
        await rebuild(session, name, to=to, database=database)
    assert scope.cancelled_caught
    assert "stays as it was" in capsys.readouterr().err
    assert view_of(tmp_path, database) == before
    monkeypatch.undo()
    await rebuild(session, name, to=to, database=database)
    assert view_of(tmp_path, database) != before


def cancel_after_some(scope: anyio.CancelScope, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancel once a rebuild has told of a few batches, as Ctrl-C would."""
    real = runner.ProjectionRunner.__init__

    def begin(self: runner.ProjectionRunner, *args: object, progress: Told, **rest: object) -> None:
        def told(done: int, total: int) -> None:
            progress(done, total)
            if done > 3:
                scope.cancel()

        real(self, *args, progress=told, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(runner.ProjectionRunner, "__init__", begin)


def view_of(folder: Path, database: str | None) -> object:
    """Return the content of the view: rows or files."""
    if database is not None:
        return query(database, "SELECT rule_id, rule FROM rule ORDER BY rule_id")
    return {path.name: path.read_bytes() for path in (folder / "live").glob("*.yml")}


def test_memories_are_rebuilt_as_tables_and_as_files(run: Run, log: str, tmp_path: Path) -> None:
    root = tmp_path / "memories"
    with MemoryStore(log, directory=root) as memories:
        for memory_id in ("one", "two"):
            memories.store(Memory(memory_id, "x", Namespace.HELP))
        memories.delete("one")
    close_background_loop()
    query(log, "DELETE FROM memory")
    (root / "two.json").unlink()
    assert run("rebuild", "memories").returncode == 0
    assert run("rebuild", "memories", "--to", root).returncode == 0
    assert query(log, "SELECT id, namespace FROM memory") == [("two", "help")]
    assert [path.name for path in root.glob("[!.]*.json")] == ["two.json"]
    both = run("rebuild", "memories", "--to", root, "--database", log)
    assert (both.returncode, "--to or --database" in both.stderr) == (2, True)


def has_table(url: str, name: str) -> bool:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    found = inspect(engine).has_table(name)
    engine.dispose()
    return found


def cancelling(scope: anyio.CancelScope, real: Any, *, first: bool) -> Any:
    """Return a function that cancels ``scope`` before its first call of ``real``, or after it."""

    def call(*arguments: Any) -> Any:
        if first:
            anyio.from_thread.run_sync(scope.cancel)
        done = real(*arguments)
        if not first:
            anyio.from_thread.run_sync(scope.cancel)
        return done

    return call


@pytest.mark.anyio
@pytest.mark.parametrize("place", ["recompute", "rebuild"])
async def test_tables_that_are_rebuilt_where_they_are_stay_whole_or_old(
    log: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
) -> None:
    lose_items(log, tmp_path / "migrations")
    session = Session(Settings(url=log), Output())
    with anyio.CancelScope() as scope:
        real = getattr(SqlDialect, place)
        monkeypatch.setattr(SqlDialect, place, cancelling(scope, real, first=place == "recompute"))
        await rebuild(session, "sql", to=None, database=None)
    said = capsys.readouterr()
    if place == "recompute":
        assert scope.cancelled_caught
        assert "interrupted: the tables stay as they were" in said.err
        assert not has_table(log, "item")
    else:
        assert not scope.cancelled_caught
        assert "is rebuilt" in said.out
        assert query(log, "SELECT * FROM item") == [(1, "ana")]
