"""Views computed again: equal to what they were, and left alone when that is interrupted."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import anyio
import pytest
from support.commands import REPOSITORY, Run

from eventstore.cli import rebuilding
from eventstore.cli.run import Session
from eventstore.config import Settings
from projections import runner

if TYPE_CHECKING:
    from pathlib import Path

    from projections.runner import Progress as Told

SAMPLES = REPOSITORY / "config" / "rules" / "ttp"
COUNT = len(list(SAMPLES.iterdir()))


@pytest.fixture
def log(run: Run, tmp_path: Path) -> Path:
    """Give a log of the sample rules."""
    shutil.copytree(SAMPLES, tmp_path / "rules")
    assert run("sync", "rules", "--once").returncode == 0
    return tmp_path / "eventstore.db"


def query(file: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as connection, connection:
        return list(connection.execute(sql))


def test_tables_are_rebuilt_in_another_database(run: Run, log: Path, tmp_path: Path) -> None:
    for _ in range(2):
        done = run("rebuild", "rules", "--database", "sqlite:///views.db", "--json")
        assert json.loads(done.stdout)["position"] == COUNT
        assert query(tmp_path / "views.db", "SELECT count(*) FROM rule") == [(COUNT,)]
        query(tmp_path / "views.db", "DELETE FROM rule")


def test_tables_are_rebuilt_in_the_logs_own_file_by_default(run: Run, log: Path) -> None:
    run("state", "R1001", "disabled")
    assert run("rebuild", "rules").returncode == 0
    assert query(log, "SELECT rule_id, state FROM rule_state") == [("R1001", "disabled")]


def test_a_directory_is_rebuilt(run: Run, log: Path, tmp_path: Path) -> None:
    for _ in range(2):
        done = run("rebuild", "directory", "--to", "live")
        assert done.stdout == f"directory in live is rebuilt, at position {COUNT}\n"
        live = {path.name: path.read_bytes() for path in (tmp_path / "live").glob("*.yml")}
        assert live == {path.name: path.read_bytes() for path in SAMPLES.iterdir()}
        next((tmp_path / "live").glob("*.yml")).unlink()


def test_a_view_that_is_not_known_is_one_line_with_those_that_are(run: Run) -> None:
    done = run("rebuild", "ruels")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: view 'ruels': is not known; known are directory, rules\n"


@pytest.mark.parametrize(
    "words",
    [[], ["directory"], ["rules", "--to", "live"],
     ["directory", "--to", "live", "--database", "sqlite:///v.db"]],
)  # fmt: skip
def test_a_place_that_is_not_the_views_own_is_wrong_usage(run: Run, words: list[str]) -> None:
    done = run("rebuild", *words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.anyio
@pytest.mark.parametrize("name", rebuilding.VIEWS)
async def test_an_interrupted_rebuild_leaves_the_old_view(
    run: Run,
    log: Path,
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    session = Session(Settings(url=f"sqlite:///{log}"), json=False)
    to = tmp_path / "live" if name == "directory" else None
    database = None if to else f"sqlite:///{tmp_path}/views.db"
    await rebuilding.rebuild(session, name, to, database)
    before = view_of(tmp_path)
    shutil.rmtree(tmp_path / "rules")
    (tmp_path / "rules").mkdir()
    run("sync", "rules", "--once", "--allow-empty")
    monkeypatch.setattr(runner, "BATCH_EVENTS", 1)
    with anyio.CancelScope() as scope:
        cancel_after_some(scope, monkeypatch)
        await rebuilding.rebuild(session, name, to, database)
    assert scope.cancelled_caught
    assert "stays as it was" in capsys.readouterr().err
    assert view_of(tmp_path) == before
    monkeypatch.undo()
    await rebuilding.rebuild(session, name, to, database)
    assert view_of(tmp_path) != before


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


def view_of(folder: Path) -> object:
    """Return the view's content, whichever it is."""
    if (folder / "views.db").exists():
        return query(folder / "views.db", "SELECT rule_id, rule FROM rule ORDER BY rule_id")
    return {path.name: path.read_bytes() for path in (folder / "live").glob("*.yml")}
