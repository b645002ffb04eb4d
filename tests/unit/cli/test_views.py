"""``views``: how each version of a view is, what is printed, and that nothing is made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from sqlalchemy import insert, update
from support.totals import DoubledTotals, Totals, append_numbers, reader_of

from eventstore import EventStore, NewEvent, ProjectionError
from projections import Fold, FoldRunner, ProjectionRunner
from projections.cli import views as command
from projections.cli.view_states import row_of
from projections.tables import view_facts
from projections.tables._builds import SEPARATOR
from projections.tables.checkpoints import (
    building_table,
    building_tables,
    failure_table,
    projection_table,
)
from projections.tables.snapshots import Snapshot, Snapshots
from projections.tables.view_model import Look, SavedFold, SetAside, Size, ViewVersion
from projections.tables.view_states import describe_views
from projections.troubles import Trouble

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Run

    from eventstore import Event

HOSTILE = "a\x1b[31m\u202e\x9b"


def view(position: int, version: int = 1, *, build: bool = False, **more: Any) -> ViewVersion:
    """Return a version of a view whose tables hold three rows."""
    given: dict[str, Any] = {
        "failed_at": None, "failure": None, "set_aside": (), "set_aside_count": 0,
        "tables": ("counts",), "size": None if build else Size(3, more=False, bytes=None),
        "is_build": build, "is_followed": False,
    }  # fmt: skip
    return ViewVersion("totals", version, position, **(given | more))


FAILING = Trouble("totals", "sqlite:///e.db", "host:1", "No space left on device")


@pytest.mark.parametrize(
    ("one", "before", "troubles", "state"),
    [
        (view(10), None, [], "live"),
        (view(9), None, [], "behind"),
        (view(11), None, [], "diverged"),
        (view(9, failed_at=10, failure="not 13"), None, [], "stopped"),
        (view(9, failed_at=10, failure="not 13"), None, [FAILING], "failing"),
        (view(4, 2, build=True), None, [], "paused"),
        (view(4, 2, build=True), view(4, 2, build=True), [FAILING], "paused"),
        (view(4, 2, build=True), view(2, 2, build=True), [], "building"),
        (view(10, 2, build=True), view(4, 2, build=True), [], "built"),
        (view(4, 1, build=True), None, [], "left over"),
    ],
)
def test_the_state_of_a_version(
    one: ViewVersion, before: ViewVersion | None, troubles: list[Trouble], state: str
) -> None:
    live = [view(10)] if one.is_build else []
    look = Look(10, [*live, one], 12.0)
    earlier = None if before is None else Look(9, [*live, before], 10.0)
    described = describe_views(look, earlier, troubles, FAILING.place)
    assert [values["state"] for values in described[len(live) :]] == [state]


def test_the_time_that_a_build_still_takes() -> None:
    looks = [
        Look(10, [view(1), view(at, 2, build=True)], seconds)
        for at, seconds in ((2, 5.0), (4, 7.0))
    ]
    _, values = describe_views(looks[1], looks[0], [], "")
    assert (values["events_per_second"], values["seconds_left"]) == (1.0, 6.0)
    assert row_of(values)[-1] == "40 %, 6.0 s left"


def test_a_view_of_another_place_is_listed_while_its_run_fails() -> None:
    elsewhere = Trouble("directory", "/srv/live", "host:2", "Not a directory")
    (values,) = describe_views(Look(10, [], 0.0), None, [elsewhere], "sqlite:///e.db")
    assert values["state"] == "failing"
    assert row_of(values)[-1] == (
        "in /srv/live: fails and is tried again by host:2: Not a directory"
    )


def test_sizes_and_events_set_aside_are_said() -> None:
    one = view(10, set_aside=(SetAside(3, "why"),), set_aside_count=7)
    row = row_of(describe_views(Look(10, [one], 0.0), None, [], "")[0])
    assert row[5:] == ("3 rows", "inline; 7 set aside, first 3: why")
    large = view(10, size=Size(100_000, more=True, bytes=5_300_000))
    assert row_of(describe_views(Look(10, [large], 0.0), None, [], "")[0])[5] == (
        "over 100000 rows, 5 MB"
    )


async def fill(url: str, *versions: type[Totals]) -> None:
    async with EventStore.open(url, notify="none") as store:
        await append_numbers(store, 5)
        for version in versions:
            await ProjectionRunner(store, version().at(url)).catch_up()
        await store.append("n/1", [NewEvent("Bad", 1)])
        for version in versions:
            with pytest.raises(ProjectionError):
                await ProjectionRunner(store, version().at(url)).catch_up()


class Seen(Fold[int]):
    """The number of events."""

    name, version = "seen", 3

    def initial(self) -> int:
        return 0

    def handle(self, state: int, event: Event) -> int:
        return state + 1


async def save(url: str) -> None:
    """Store a snapshot of a fold, and one of a stream, which is no fold of the log; go on."""
    async with EventStore.open(url, notify="none") as store:
        runner = FoldRunner(store, Seen())
        assert await runner.catch_up() == 6
        await runner.save()
        of_stream = Snapshot((await store.head()).cursor, 1, b"1")
        await Snapshots(store, "balance", 1).save(of_stream, "n/1")
        await store.append("n/1", [NewEvent("Bad", 1)])


def test_what_is_listed_is_json_and_a_table(run: Run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/eventstore.db"
    anyio.run(fill, url, Totals)
    before = sorted(path.name for path in tmp_path.iterdir())
    (line,) = run("views", "--json").stdout.splitlines()
    values = json.loads(line)
    shown = {key: values[key] for key in ("name", "version", "state", "kept", "position", "lag")}
    assert shown == {
        "name": "totals", "version": 1, "state": "stopped", "kept": "followed", "position": 5,
        "lag": 1,
    }  # fmt: skip
    assert (values["rows"], values["more_rows"], values["tables"]) == (3, False, ["counts"])
    assert values["failed_at"] == 6
    head, row = run("views").stdout.splitlines()
    assert head.split() == ["view", "version", "state", "position", "behind", "size", "notes"]
    assert row.split()[:6] == ["totals", "1", "stopped", "5", "1", "3"]
    assert "cannot apply 6: ZeroDivisionError" in row
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_build_is_looked_at_twice(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/eventstore.db"
    anyio.run(fill, url, Totals)
    engine = reader_of(url)
    key = f"totals{SEPARATOR}{DoubledTotals.version}"
    with engine.begin() as connection:
        building_tables.create_all(connection)
        row = {"name": key, "version": DoubledTotals.version, "epoch": 0, "position": 2}
        connection.execute(insert(building_table), row)

    async def go_on(seconds: float) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE projection_building SET position = 4")

    monkeypatch.setattr(command, "pause", go_on)
    live, build = (json.loads(line) for line in run("views", "--json").stdout.splitlines())
    engine.dispose()
    assert [(one["version"], one["state"]) for one in (live, build)] == [
        (1, "stopped"), (2, "building"),
    ]  # fmt: skip
    assert build["events_per_second"] > 0
    assert build["seconds_left"] >= 0


def test_rows_are_counted_up_to_a_limit(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_facts, "COUNTED_ROWS", 2)
    anyio.run(fill, f"sqlite:///{tmp_path}/eventstore.db", Totals)
    values = json.loads(run("views", "--json").stdout)
    assert (values["rows"], values["more_rows"]) == (2, True)


def test_a_name_of_the_database_steers_no_terminal(run: Run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/eventstore.db"
    anyio.run(fill, url, Totals)
    engine = reader_of(url)
    with engine.begin() as connection:
        connection.execute(update(projection_table).values(name=HOSTILE))
        connection.execute(update(failure_table).values(name=HOSTILE, reason=HOSTILE))
    engine.dispose()
    for words in (["views"], ["views", "--json"]):
        done = run(*words)
        assert (done.returncode, done.stderr) == (0, "")
        assert not {"\x1b", "\u202e", "\x9b"} & set(done.stdout)
    assert json.loads(done.stdout)["name"] == HOSTILE


def test_folds_are_listed_as_their_snapshots_tell(run: Run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/eventstore.db"
    anyio.run(fill, url, Totals)
    anyio.run(save, url)
    totals, fold = (json.loads(line) for line in run("views", "--json").stdout.splitlines())
    shown = {key: fold[key] for key in ("name", "version", "state", "kept", "position", "lag")}
    assert shown == {
        "name": "seen", "version": 3, "state": "saved", "kept": "fold", "position": 6, "lag": 1,
    }  # fmt: skip
    assert fold.keys() == totals.keys()
    assert run("views").stdout.splitlines()[-1].split() == [
        "seen", "3", "saved", "6", "1", "1", "bytes", "fold",
    ]  # fmt: skip


@pytest.mark.parametrize(("position", "is_of_log"), [(11, True), (10, False)])
def test_a_snapshot_of_another_log_is_no_saved_one(position: int, *, is_of_log: bool) -> None:
    fold = SavedFold("seen", 3, position, 1, is_of_log=is_of_log)
    (values,) = describe_views(Look(10, [], 0.0, [fold]), None, [], "")
    assert values["state"] == "diverged"


@pytest.mark.usefixtures("empty_log")
def test_a_log_without_views_says_so(run: Run) -> None:
    assert run("views").stdout.startswith("no views: ")
    assert run("views", "--json").stdout == ""
