"""Commands on a view in another database than the log's: found as its runner told the log."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING
from urllib.parse import unquote

import anyio
import pytest
from support.commands import refused
from support.totals import Totals, append_numbers, read_totals

from eventstore import EventStore, NewEvent, ProjectionError
from eventstore.cli.contributions import Contribution, contributions
from eventstore.cli.manifest import View
from projections import ProjectionRunner

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Run

NEWER = ["--from", "support.totals:DoubledTotals"]


async def fill(url: str, *targets: str) -> dict[str, int]:
    async with EventStore.open(url, notify="none") as store:
        totals = await append_numbers(store, 5)
        for target in targets:
            await ProjectionRunner(store, Totals().at(target)).catch_up()
    return totals


async def fail(url: str, target: str) -> None:
    async with EventStore.open(url, notify="none") as store:
        await store.append("n/1", [NewEvent("Bad", 1)])
        with pytest.raises(ProjectionError):
            await ProjectionRunner(store, Totals().at(target)).catch_up()


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name the log that commands use; restore the path of imports afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("projections.cli.views.LOOK_SECONDS", 0)
    monkeypatch.setattr("projections.elsewhere.WAIT_SECONDS", 600.0)  # Also on a busy machine.
    return f"sqlite:///{tmp_path}/eventstore.db"


@pytest.fixture
def target(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/reports of a & b.db"


def listed(run: Run, *words: str) -> list[tuple[object, ...]]:
    found = [json.loads(line) for line in run("views", "--json", *words).stdout.splitlines()]
    return [(one["version"], one["state"], one["lag"], one["place"]) for one in found]


def test_a_view_elsewhere_is_listed_with_its_lag_and_its_poison(
    run: Run, url: str, target: str
) -> None:
    anyio.run(fill, url, target)
    assert listed(run) == [(1, "live", 0, target)]
    assert listed(run, "--database", target) == [(1, "live", 0, None)]
    anyio.run(fail, url, target)
    assert listed(run) == [(1, "stopped", 1, target)]
    row = run("views").stdout.splitlines()[1]
    assert f"in {target}; told " in row
    assert "cannot apply 6: ZeroDivisionError" in row
    (line,) = [line for line in run("status").stdout.splitlines() if line.startswith("view ")]
    assert line.startswith(
        f"view totals: version 1, stopped, position 5; 1 behind; followed; in {target}"
    )
    assert run("status", "--strict").returncode == 1
    (entry,) = json.loads(run("status", "--json").stdout)["elsewhere"]
    assert (entry["name"], entry["failed_at"], entry["place"]) == ("totals", 6, target)


def test_a_version_elsewhere_is_built_swapped_and_dropped(
    run: Run, url: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = anyio.run(fill, url, target)
    done = run("views", "build", "totals", *NEWER)
    assert (done.returncode, done.stderr) == (0, "")
    assert [one[:2] for one in listed(run)] == [(1, "live"), (2, "built")]
    assert run("views", "drop", "totals@2").returncode == 0
    assert [one[:2] for one in listed(run)] == [(1, "live")]
    assert run("views", "swap", "totals", *NEWER, "--database", target).returncode == 0
    assert read_totals(target) == {key: 2 * total for key, total in old.items()}
    assert listed(run) == [(2, "live", 0, target)]
    assert run("views", "retry", "totals", *NEWER).returncode == 0
    one = Contribution(View("totals", NEWER[1]), "acme", "Totals")
    monkeypatch.setitem(contributions().views, "totals", one)
    done = run("rebuild", "totals", "--json")
    assert unquote(json.loads(done.stdout)["place"]) == target
    assert run("views", "drop", "totals", "--yes").stdout == "view totals is removed\n"
    assert (listed(run), read_totals(target)) == ([], {})
    assert "is in no other database" in refused(run, "views", "drop", "totals", "--forget")


def test_what_cannot_be_reached_is_named_without_its_password(
    run: Run, url: str, target: str, tmp_path: Path
) -> None:
    anyio.run(fill, url, target)
    secret = "postgresql://ana:hunter22@127.0.0.1:1/reports"
    said = refused(run, "views", "build", "totals", *NEWER, "--database", secret)
    assert "127.0.0.1" in said
    assert "hunter22" not in said
    assert "is no such file" in refused(run, "views", "--database", "sqlite:///nothing.db")
    (tmp_path / "reports of a & b.db").rename(tmp_path / "moved.db")
    said = refused(run, "views", "swap", "totals", *NEWER)
    assert "which cannot be opened without more" in said
    assert "give its URL with --database" in said
    moved = f"sqlite:///{tmp_path}/moved.db"
    assert run("views", "swap", "totals", *NEWER, "--database", moved).returncode == 0
    assert [one[3] for one in listed(run)] == [moved, target]
    assert "say with --database in which" in refused(run, "views", "swap", "totals", *NEWER)
    assert (
        run("views", "drop", "totals", "--forget").stdout == "the log has forgotten view totals\n"
    )
    assert listed(run) == []
