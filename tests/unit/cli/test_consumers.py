"""The commands on named consumers, and waiting for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest
from support.totals import Totals, project

from eventstore import NewEvent
from eventstore.log.clock import system_clock
from eventstore.sync import EventStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.commands import Run, Running

    Start = Callable[..., Running]


HOUR_SECONDS = 3600


def add_event(directory: Path) -> None:
    """Append an event to the log that commands use, recorded an hour ago."""
    earlier = system_clock() - HOUR_SECONDS * 1_000_000
    with EventStore.open(f"sqlite:///{directory}/eventstore.db", clock=lambda: earlier) as store:
        store.append("orders/1", [NewEvent("Placed", 1)])


@pytest.fixture
def two(run: Run, tmp_path: Path) -> Run:
    """Make a log with three events, an hour old; ``late`` has done one of them, ``-early`` all."""
    add_event(tmp_path)
    assert run("tail", "--no-follow", "--consumer", "late").returncode == 0
    add_event(tmp_path)
    add_event(tmp_path)
    assert run("tail", "--no-follow", "--consumer=-early").returncode == 0
    return run


def test_consumers_lists_the_slowest_first_with_lag_and_age(two: Run) -> None:
    listed = [json.loads(line) for line in two("consumers", "--json").stdout.splitlines()]
    shown = [(one["name"], one["position"], one["lag"]) for one in listed]
    assert shown == [("late", 1, 2), ("-early", 3, 0)]
    assert listed[0]["lag_seconds"] >= HOUR_SECONDS > listed[0]["seen_seconds_ago"]
    head, *rows = two("consumers").stdout.splitlines()
    assert head.split() == ["consumer", "position", "behind", "since", "seen", "owner"]
    assert [row.split()[:3] for row in rows] == [["late", "1", "2"], ["-early", "3", "-"]]


def test_a_consumer_is_removed_by_name_and_trims_go_on(two: Run) -> None:
    held = two("trim", "--before", "3")
    assert (held.returncode, "eventstore consumers remove" in held.stderr) == (1, True)
    done = two("consumers", "remove", "late")
    assert (done.returncode, done.stdout) == (
        0,
        "consumer late is removed; it was at position 1\n",
    )
    assert two("wait", "3", "--timeout", "0").returncode == 0


def test_a_consumer_whose_name_begins_with_a_dash_is_named_after_two(two: Run) -> None:
    assert two("consumers", "rewind", "--to", "2", "--", "-early").returncode == 0
    done = two("consumers", "remove", "--json", "--", "-early")
    assert json.loads(done.stdout)["position"] == 2
    assert two("consumers", "remove", "-early").returncode == 2


def test_a_rewound_consumer_prints_the_events_again(two: Run) -> None:
    done = two("consumers", "rewind", "late", "--to", "0")
    assert done.stdout.startswith("consumer late goes on after position 0; ")
    assert len(two("tail", "--no-follow", "--consumer", "late").stdout.splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["remove", "lates"], "'lates' is not known; the nearest known name is 'late'"),
        (["rewind", "x", "--to", "0"], "'x' is not known; the nearest known name is"),
        (["rewind", "late", "--to", "2"], "position 2: lies ahead of consumer 'late'"),
        (["rewind", "late", "--to", "99"], "position 99: lies ahead"),
        (["remove", "a\x07"], "contains a control character"),
        (["remove", ""], "must be a text that is not empty"),
    ],
)
def test_what_cannot_be_done_is_one_line(two: Run, words: list[str], said: str) -> None:
    done = two("consumers", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert said in done.stderr
    assert "\x07" not in done.stderr


@pytest.mark.parametrize("words", [["frob"], ["rewind", "late"], ["remove"]])
def test_wrong_usage_is_status_2(two: Run, words: list[str]) -> None:
    assert two("consumers", *words).returncode == 2


@pytest.mark.usefixtures("empty_log")
def test_waiting_without_consumers_is_a_failure_unless_allowed(run: Run) -> None:
    done = run("wait")
    assert (done.returncode, done.stdout) == (1, "")
    assert "--allow-none" in done.stderr
    done = run("wait", "--allow-none")
    assert (done.returncode, done.stdout) == (0, "position 0 is done: there are no consumers\n")
    assert run("consumers").stdout.startswith("no consumers: ")


def test_status_names_the_slowest_and_how_many_more_there_are(run: Run) -> None:
    assert run("state", "R1", "disabled").returncode == 0
    for number in range(12):
        assert run("tail", "--no-follow", "--consumer", f"w{number:02}").returncode == 0
    lines = run("status").stdout.splitlines()
    assert sum(line.startswith("consumer w") for line in lines) == 10
    assert "and 2 consumers that are not further behind: 'eventstore consumers'" in lines
    shown = run("status", "--all-consumers").stdout.splitlines()
    assert sum(line.startswith("consumer w") for line in shown) == 12


def test_status_says_where_it_did_not_search_all_consumers(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.cli.status.SEARCHED_CONSUMERS", 3)
    assert run("state", "R1", "disabled").returncode == 0
    for number in range(4):
        assert run("tail", "--no-follow", "--consumer", f"w{number}").returncode == 0
    said = "and more consumers: only the first 3 by name were searched"
    assert said in run("status").stdout
    facts = json.loads(run("status", "--json").stdout)
    assert (facts["consumer_count"], facts["more_consumers"]) == (3, True)
    strict = json.loads(run("status", "--strict", "--json").stdout)
    assert strict["consumer_count"] == 4
    assert "more_consumers" not in strict


def test_wait_counts_views_that_a_runner_follows(run: Run, tmp_path: Path) -> None:
    add_event(tmp_path)
    url = f"sqlite:///{tmp_path}/eventstore.db"
    anyio.run(project, url, url, Totals())
    done = run("wait", "--timeout", "0")
    assert (done.returncode, done.stdout) == (0, "position 1 is done by view totals\n")
    add_event(tmp_path)
    late = run("wait", "--timeout", "0", "--view", "totals")
    assert (late.returncode, "view totals is at 1" in late.stderr) == (1, True)
