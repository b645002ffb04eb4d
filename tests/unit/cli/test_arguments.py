"""Arguments and settings that make no sense are refused, in one line and without a change."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eventstore import EventStore, NewEvent

if TYPE_CHECKING:
    from support.commands import Run


HUGE = "9" * 40


@pytest.fixture
def three(tmp_path: Path) -> None:
    """Make a log of three commits of one event each."""

    async def make() -> None:
        async with EventStore.open(f"sqlite:///{tmp_path}/eventstore.db", notify="none") as store:
            for _ in range(3):
                await store.append("order/1", [NewEvent("Noted", {"secret": 1})])

    asyncio.run(make())


def one_line(done: subprocess.CompletedProcess[str], *statuses: int) -> str:
    assert done.returncode in statuses, done
    assert done.stderr.startswith("error: "), done
    assert done.stderr.count("\n") == 1, done
    return done.stderr


@pytest.mark.promise("bad-input")
@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trim", "--before", "5"], "beyond the head, 3"),
        (["trim", "--before", HUGE], "beyond the head, 3"),
        (["trim", "--before", "9999-12-31"], "in the future"),
        (["trim", "--before", "0001-01-01T00:00+00:00"], "before the first event"),
        (["trim", "--before", "90d"], "before the first event"),
        (["trim", "--before", "99999999d"], "before the year 1"),
        (["trim", "--before", HUGE + "d"], "before the year 1"),
        (["project", "live", "--at", "4"], "beyond the head, which is 3"),
        (["project", "live", "--at", HUGE], "beyond the head, which is 3"),
        (["state", "R1", "disabled", "--until", "2020-01-01T00:00+00:00"], "has passed"),
        (["state", "R1", "disabled", "--until", "0s"], "has passed"),
        (["state", "R1", "disabled", "--until", "0001-01-01"], "has passed"),
        (["trim", "--before", "0001-01-01"], "before the first event"),
        (["export", "."], "error: . is a directory: name a file in it"),
        (["export", ".", "--replace"], "error: . is a directory: name a file in it"),
        (["backup", "."], "error: . is a directory: name a file in it"),
        (["export", "none/x"], "/none/x: no directory at "),
        (["backup", "none/x"], "/none/x: no directory at "),
        (["state", "R1", "disabled", "--until", "99999999d"], "after the year 9999"),
        (["state", "R1", "disabled", "--until", HUGE + "d"], "after the year 9999"),
        (["state", "R1", "clipped"], "--confidence-max"),
        (["state", "R1", "clipped", "--confidence-max", "1.01"], "from 0 to 1"),
        (["state", "R1", "clipped", "--confidence-max", "-0.1"], "from 0 to 1"),
        (["state", "R1", "clipped", "--confidence-max", "nan"], "from 0 to 1"),
        (["state", "R1", "clipped", "--confidence-max", "inf"], "from 0 to 1"),
        (["state", "R1", "disabled", "--confidence-max", "0.5"], "clipped"),
        (["tail", "--after", HUGE, "--no-follow"], "beyond the head"),
        (["redact", HUGE, "--reason", "x"], "no event is there"),
        (["redact", "4", "--reason", "x", "--dry-run"], "no event is there"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Run, words: list[str], said: str) -> None:
    assert said in one_line(run(*words), 1)
    assert json.loads(run("status", "--json").stdout)["position"] == 3


@pytest.mark.promise("bad-input")
@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    "words",
    [
        ["state", "R1", "disabled", "--until", "²d"],
        ["state", "R1", "disabled", "--until", "٣d"],
        ["state", "R1", "disabled", "--until", "0001-01-01"],
        ["state", "R1", "disabled", "--until", "9999-12-31T23:59:59-14:00"],
        ["trim", "--before", "0001-01-01"],
        ["trim", "--before", "²"],
        ["trim", "--before", "9" * 5000],
        ["trim", "--before", "-1"],
        ["wait", "--timeout", "nan"],
        ["wait", "--timeout", "-1"],
        ["wait", "-1"],
        ["redact", "-5", "--reason", "x"],
        ["status", "--within", "nan"],
        ["project", "live", "--at=-1"],
        ["state", "R1", "clipped", "--confidence-max", "much"],
    ],
)
def test_a_number_or_time_that_is_none_is_one_line(run: Run, words: list[str]) -> None:
    one_line(run(*words), 1, 2)


@pytest.mark.promise("bad-input")
@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("seconds", ["inf", "nan", "-inf", "1e400", "31536001", "-0.1", "soon"])
@pytest.mark.parametrize(
    "words",
    [
        ["wait", "9", "--timeout"],
        ["status", "--within"],
        ["tail", "--no-follow", "--wait-for-log"],
    ],
    ids=lambda words: words[0],
)
def test_a_time_to_wait_has_an_end(run: Run, words: list[str], seconds: str) -> None:
    said = one_line(run(*words, seconds), 2)
    assert f"'{seconds}' is no number of seconds from 0 to 31,536,000" in said


@pytest.mark.usefixtures("three")
def test_the_last_day_of_the_calendar_is_a_time(run: Run) -> None:
    until = "9999-12-31T23:59:59+00:00"
    done = run("state", "R1", "disabled", "--until", until, "--utc")
    assert (done.returncode, done.stderr) == (0, "")
    assert "until 9999-12-31 23:59:59+00:00" in done.stdout
    assert run("rules", "--utc").returncode == 0


@pytest.mark.usefixtures("three")
def test_a_dry_run_of_trim_and_redact_changes_nothing(run: Run, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    planned = json.loads(run("trim", "--before", "3", "--dry-run", "--json").stdout)
    assert (planned["dry_run"], planned["events"], planned["first_position"]) == (True, 2, 3)
    assert not Path(planned["archive"]).exists()
    assert "2 events would go into " in run("trim", "--before", "3", "--dry-run").stdout
    for reason in (["--reason", "x"], []):
        assert run("redact", "2", *reason, "--dry-run").stdout.startswith("would erase")
    assert "--reason" in one_line(run("redact", "2"), 2)
    assert sorted(tmp_path.iterdir()) == before
    facts = json.loads(run("status", "--json").stdout)
    assert (facts["first_position"], facts["position"]) == (1, 3)
    done = json.loads(run("trim", "--before", "3", "--json").stdout)
    same = ("first_position", "events", "kept", "archive")
    assert [done[name] for name in same] == [planned[name] for name in same]


@pytest.mark.usefixtures("three")
def test_an_unknown_variable_is_a_warning_with_the_nearest_name(run: Run) -> None:
    done = run("streams", EVENTSTORE_POL_SECONDS="3", EVENTSTORE_PORT="tcp://10.0.0.1:8080")
    assert done.returncode == 0
    (warning,) = done.stderr.splitlines()
    assert " WARNING " in warning
    assert "EVENTSTORE_POL_SECONDS is no setting" in warning
    assert "EVENTSTORE_POLL_SECONDS" in warning


@pytest.mark.usefixtures("three")
def test_a_projection_that_is_not_there_is_one_finding_that_names_it_once(
    run: Run, tmp_path: Path
) -> None:
    done = run("verify", "--view", "none")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"view none: {tmp_path}/none: No such file or directory",
        "3 events up to position 3: 1 finding",
    ]


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tail", "--after", "x"], "'--after': it is no whole number; see"),
        (["tail", "--after", "-5"], "'--after': it must be greater than or equal to 0; see"),
        (["state", "R1", "nosuch"], "'state': 'nosuch' is not one of"),
        (["source"], "Missing argument 'action': one of rename; see"),
        (["source", "rename", "a", "b"], "no source has been synced yet"),
        (["--config", "nofile", "status"], "settings file nofile: No such file or directory\n"),
    ],
)
def test_wrong_usage_is_said_in_plain_words(run: Run, words: list[str], said: str) -> None:
    assert said in one_line(run(*words), 1, 2)
