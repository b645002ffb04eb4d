"""``append``, ``show``, ``streams`` and ``init``: the log itself on the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support import forked
from support.commands import Run, command, environment
from support.logs import LASTING, LOG_URLS

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


@pytest.fixture(params=LASTING)
def log(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name a log of each kind, not made yet, which the environment names to commands."""
    url = LOG_URLS[request.param](tmp_path)
    monkeypatch.setattr("support.commands.LOG", {"EVENTSTORE_URL": url})
    return url


def said(run: Run, *words: str) -> str:
    done = run(*words)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_init_creates_a_log_and_says_when_it_is_there(run: Run, log: str) -> None:
    assert "no log at " in said(run, "streams")
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
    assert "other content" in said(run, *other)
    late = said(run, "append", "order/1", "Paid", "--expected", "no-stream")
    assert "stream 'order/1' is at version 1, not 0" in late
    assert "not 7" in said(run, "append", "order/1", "Paid", "--expected", "7")
    assert "exists" in said(run, "append", "order/2", "Paid", "--expected", "exists")
    assert run("append", "order/1", "Paid", "--expected", "1").returncode == 0
    (last,) = run("show", "order/1", "--json").stdout.splitlines()
    assert (json.loads(last)["type"], json.loads(last)["data"]) == ("Paid", {})


def append_from_stdin(cwd: Path, text: str) -> subprocess.CompletedProcess[bytes]:
    return forked.run(
        command("append", "order/1", "Noted", "-"),
        said=text.encode(), cwd=cwd, env=environment(), stdout=-1, stderr=-1,
    )  # fmt: skip


def test_append_reads_its_data_from_stdin(run: Run, tmp_path: Path) -> None:
    long = {"text": "ü" * 100_000}
    assert append_from_stdin(tmp_path, json.dumps(long)).returncode == 0
    assert json.loads(run("show", "order/1", "--json").stdout)["data"] == long


@pytest.mark.promise("bad-input")
@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", "[Infinity]", '{"a": 1, "a": 2}', "[1e999]", "[" * 100_000, "1" * 5000],
)
def test_data_that_is_no_exact_json_is_refused(tmp_path: Path, text: str) -> None:
    done = append_from_stdin(tmp_path, text)
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: ")
    assert done.stderr.count(b"\n") == 1
    assert not (tmp_path / "eventstore.db").exists()


@pytest.mark.parametrize("stream", ["log/trims", "log/x", "nocategory", "a/\x07", ""])
def test_a_stream_that_is_reserved_or_no_name_is_refused(run: Run, stream: str) -> None:
    assert said(run, "append", stream, "Noted").startswith("error: stream")


@pytest.mark.parametrize("expected", ["soon", "-1", "²", "1.5", "9" * 40, ""])
def test_an_expected_version_that_is_none_is_wrong_usage(run: Run, expected: str) -> None:
    assert run("append", "a/1", "Noted", f"--expected={expected}").returncode == 2


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


def test_streams_of_trimmed_events_stay_listed(run: Run, tmp_path: Path) -> None:
    for stream in ("order/1", "order/2", "order/2"):
        run("append", stream, "Noted")
    assert run("trim", "--before", "3", "--force").returncode == 0
    rows = [json.loads(line) for line in run("streams", "order/", "--json").stdout.splitlines()]
    assert [(row["stream"], row["version"], row["position"]) for row in rows] == [
        ("order/1", 1, None), ("order/2", 2, 3),
    ]  # fmt: skip
    assert "trimmed" in run("streams", "order/1").stdout


def test_show_finds_a_rule_by_its_id(run: Run) -> None:
    run("state", "R1", "disabled", "--reason", "noisy")
    shown = run("show", "R1", "--utc").stdout
    assert "rule-state/R1" in shown
    assert "noisy" in shown
    assert "has no events" in said(run, "show", "R2")


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
