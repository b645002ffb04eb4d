"""``append``, ``show``, ``streams`` and ``init`` on each database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.commands import refused
from support.logs import LASTING, LOG_URLS

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Run


@pytest.fixture(params=LASTING)
def log(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name a log of each kind, not made yet, which the environment names to commands."""
    url = LOG_URLS[request.param](tmp_path)
    monkeypatch.setattr("support.commands.LOG", {"EVENTSTORE_URL": url})
    return url


def test_init_creates_a_log_and_says_when_it_is_there(run: Run, log: str) -> None:
    assert "no log at " in refused(run, "streams")
    assert json.loads(run("init", "--json").stdout)["created"] is True
    assert run("streams").returncode == 0
    again = json.loads(run("init", "--json").stdout)
    assert (again["created"], again["position"]) == (False, 0)
    run("append", "order/1", "Placed")
    assert run("init").stdout.endswith(" is there already, at position 1\n")


def test_append_checks_the_version_and_knows_ids(run: Run, log: str) -> None:
    first = ("append", "order/1", "Placed", '{"total": 12}', "--expected", "no-stream", "--id", "a")
    assert run(*first).stdout == "order/1 is at version 1, position 1\n"
    again = json.loads(run(*first, "--json").stdout)
    assert (again["position"], again["duplicate"]) == (1, True)
    other = ("append", "order/1", "Placed", '{"total": 13}', "--id", "a")
    assert "other content" in refused(run, *other)
    late = refused(run, "append", "order/1", "Paid", "--expected", "no-stream")
    assert "stream 'order/1' is at version 1, not 0" in late
    assert "not 7" in refused(run, "append", "order/1", "Paid", "--expected", "7")
    assert "exists" in refused(run, "append", "order/2", "Paid", "--expected", "exists")
    assert run("append", "order/1", "Paid", "--expected", "1").returncode == 0
    (last,) = run("show", "order/1", "--json").stdout.splitlines()
    assert (json.loads(last)["type"], json.loads(last)["data"]) == ("Paid", {})


def test_streams_lists_names_versions_and_last_changes(run: Run, log: str) -> None:
    for stream in ("order/2", "order/1", "order/1", "ledger/1", "orders/9"):
        run("append", stream, "Noted")
    rows = [json.loads(line) for line in run("streams", "--json").stdout.splitlines()]
    assert [(row["stream"], row["version"], row["position"]) for row in rows] == [
        ("ledger/1", 1, 4), ("order/1", 2, 3), ("order/2", 1, 1), ("orders/9", 1, 5),
    ]  # fmt: skip
    names = [line.split()[0] for line in run("streams", "order/").stdout.splitlines()]
    assert names == ["stream", "order/1", "order/2"]
    assert run("streams", "order/%").stderr == "no stream begins with 'order/%'\n"


def test_an_event_that_a_package_acts_on_is_stored_with_a_warning(run: Run, log: str) -> None:
    done = run("append", "rule/R1", "RuleRemoved", "[]")
    assert done.returncode == 0
    assert "RuleRemoved in rule/ is an event of 'ruletide'" in done.stderr
    assert run("append", "order/1", "RuleRemoved", "[]").stderr == ""


def test_an_event_that_cannot_be_described_is_shown_raw_and_spoils_no_other(
    run: Run, log: str
) -> None:
    run("append", "rule-state/R1", "RuleStateSet", '{"state": "bogus"}')
    run("append", "rule-state/R1", "RuleStateSet", '{"state": {"state": ["a"]}}')
    assert run("state", "R1", "disabled", "--by", "ana").returncode == 0
    for words in (("tail", "--no-follow"), ("history", "rule-state/R1")):
        done = run(*words)
        first, *_, last = done.stdout.splitlines()
        assert (done.returncode, 'bogus"}' in first) == (0, True)
        assert "R1  disabled by ana" in last
