"""``views build``, ``swap`` and ``drop``: what they say and store, and what they refuse."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import anyio
import msgspec
import pytest
from support.commands import refused
from support.totals import DoubledTotals, Totals, append_numbers, read_totals

from eventstore import EventStore, NewEvent, Upcasters
from eventstore.cli.contributions import Contribution, contributions
from eventstore.cli.manifest import View
from projections.cli.view_builds import _reporter

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection
    from support.commands import Run

    from eventstore import Event

NEWER = "support.totals:DoubledTotals"

TRIPLING = Upcasters()
TRIPLING.register("Counted")(lambda data, _metadata: 3 * data)


class Broken(DoubledTotals):
    """A next version that cannot apply the third event."""

    def handle(self, connection: object, event: object) -> None:
        """Fail."""
        raise ZeroDivisionError


async def fill(url: str) -> dict[str, int]:
    async with EventStore.open(url, inline=[Totals()], notify="none") as store:
        return await append_numbers(store, 5)


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the log that commands use, with a view; restore the path of imports afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    url = f"sqlite:///{tmp_path}/eventstore.db"
    anyio.run(fill, url)
    return url


def listed(run: Run) -> list[tuple[object, object]]:
    found = [json.loads(line) for line in run("views", "--json").stdout.splitlines()]
    return [(one["version"], one["state"]) for one in found]


def test_a_version_is_built_swapped_and_dropped(
    run: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.cli.views.LOOK_SECONDS", 0)
    old = read_totals(url)
    done = run("views", "build", "totals", "--from", NEWER)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("version 2 of totals is built up to position 5: ")
    assert (listed(run), read_totals(url)) == ([(1, "live"), (2, "built")], old)
    assert (
        run("views", "drop", "totals@2").stdout == "the build of version 2 of totals is removed\n"
    )
    assert listed(run) == [(1, "live")]
    done = run("views", "swap", "totals", "--from", NEWER, "--json")
    assert json.loads(done.stdout) == {"view": "totals", "version": 2, "swapped": True}
    assert read_totals(url) == {key: 2 * total for key, total in old.items()}
    assert "nothing to build" in run("views", "build", "totals", "--from", NEWER).stdout
    assert "already" in run("views", "swap", "totals", "--from", NEWER).stdout
    assert run("views", "drop", "totals", "--yes").stdout == "view totals is removed\n"
    assert (listed(run), read_totals(url)) == ([], {})


@pytest.mark.usefixtures("url")
def test_what_cannot_be_built_or_dropped_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken_views.py").write_text("raise SystemExit(3)")
    totals = ["views", "build", "totals"]
    assert "say with --from" in refused(run, *totals)
    assert "'nowhere:X' cannot be imported" in refused(run, *totals, "--from", "nowhere:X")
    assert "SystemExit: 3" in refused(run, *totals, "--from", "broken_views:X")
    assert "is no TableProjection" in refused(run, *totals, "--from", "json:JSONDecoder")
    assert "is no TableProjection" in refused(run, *totals, "--from", "json:__name__")
    assert "is the view 'totals'" in refused(run, "views", "swap", "sums", "--from", NEWER)
    assert "--wait" in run("views", "swap", "totals", "--wait", "-1").stderr
    assert "--wait" in run("views", "drop", "totals", "--wait", "soon").stderr
    assert "there are totals" in refused(run, "views", "build", "rules")
    assert "of version 9 of totals: is not in" in refused(run, "views", "drop", "totals@9")
    assert "view 'x@y'" in refused(run, "views", "drop", "x@y")


def test_a_view_of_a_manifest_is_known_by_its_name(
    run: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = View("totals", NEWER, upcasters=f"{__name__}:TRIPLING")
    monkeypatch.setitem(contributions().views, "totals", Contribution(one, "acme", "Totals"))
    old = read_totals(url)
    assert run("views", "swap", "totals").returncode == 0
    assert read_totals(url) == {key: 6 * total for key, total in old.items()}
    twice = read_totals(url)
    run("append", "n/1", "Counted", "7")
    assert read_totals(url) == twice, "no program with the view has appended"
    assert run("rebuild", "totals").stdout.endswith(" is rebuilt, at position 6\n")
    assert read_totals(url) == twice | {"n/1": twice["n/1"] + 3 * 2 * 7}
    assert run("rebuild", "totals", "--to", "files").returncode == 2
    other = View("totals", "support.totals:nothing")
    monkeypatch.setitem(contributions().views, "totals", Contribution(other, "acme", "Totals"))
    said = refused(run, "views", "swap", "totals")
    assert "distribution 'acme': support.totals:nothing cannot be imported" in said


def test_a_build_that_fails_names_the_event(run: Run, url: str) -> None:
    old = read_totals(url)
    failed = refused(run, "views", "build", "totals", "--from", f"{__name__}:Broken")
    assert "projection 'totals' stopped at position 1: ZeroDivisionError" in failed
    assert (listed(run), read_totals(url)) == ([(1, "live")], old)


class Mended(Totals):
    """Counts what the first program could not, but for the fourth event."""

    def handle(self, connection: Connection, event: Event) -> None:
        """Add the number."""
        if event.position == 4:
            raise ZeroDivisionError("not yet")
        super().handle(connection, msgspec.structs.replace(event, type="Counted"))


async def set_aside(url: str) -> None:
    async with EventStore.open(url, inline=[Totals(on_error="set_aside")], notify="none") as store:
        for kind in ("Counted", "Bad", "Counted", "Bad"):
            await store.append("n/1", [NewEvent(kind, 1)])


@pytest.mark.parametrize("on_error", ["stop", "set_aside"])
def test_events_that_were_set_aside_are_applied_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_error: str
) -> None:
    url = f"sqlite:///{tmp_path}/eventstore.db"
    anyio.run(set_aside, url)
    monkeypatch.setattr(Mended.__init__, "__kwdefaults__", {"on_error": on_error})
    where = ["--from", f"{__name__}:Mended"]
    assert run("views", "retry", "totals", "--position", "4", *where).returncode == 1
    done = run("views", "retry", "totals", *where)
    assert (done.returncode, done.stdout) == (
        1,
        "1 events are applied now, 1 are still set aside\n4: ZeroDivisionError('not yet')\n",
    )
    assert read_totals(url) == {"n/1": 3}
    (line,) = run("views", "--json").stdout.splitlines()
    values = json.loads(line)
    assert (values["state"], values["position"]) == ("live", 4)
    assert [one["position"] for one in values["set_aside"]] == [4]
    again = json.loads(run("views", "retry", "totals", "--json", *where).stdout)
    assert (again["applied"], len(again["left"])) == ([], 1)


def test_the_rest_of_a_build_is_estimated_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, 2.0, 6.0, 7.0])
    monkeypatch.setattr("projections.cli.view_builds.monotonic", lambda: next(times))
    notes: list[str] = []
    report = _reporter(lambda *_: None, notes.append)
    for position in (100, 200, 600, 700):
        report(position, 1_600)
    assert notes == ["600 of 1600 events, about 10.0 s left"]
