"""Each command on good and bad input."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest
from support.commands import SAMPLES, Run, Running
from support.logs import LASTING, LOG_URLS
from support.waiting import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.postgres import Server


SECRET = "hush-hush"


@pytest.fixture(params=LASTING)
def log(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name an empty log of each kind, which the environment names to commands."""
    url = LOG_URLS[request.param](tmp_path)
    monkeypatch.setattr("support.commands.LOG", {"EVENTSTORE_URL": url})
    return url


@pytest.fixture
def rules(log: str, tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    shutil.copytree(SAMPLES, folder)
    return folder


def test_sync_once_reports_what_it_appended(run: Run, rules: Path) -> None:
    done = run("sync", "rules", "--once", "--json")
    report = json.loads(done.stdout)
    count = len(list(rules.iterdir()))
    assert (report["defined"], report["rejected"], report["position"]) == (count, 0, count)


def test_a_second_sync_appends_nothing(run: Run, rules: Path) -> None:
    run("sync", "rules", "--once")
    report = json.loads(run("sync", "rules", "--once", "--json").stdout)
    assert (report["defined"], report["position"]) == (0, None)
    assert report["unchanged"] == len(list(rules.iterdir()))


def test_rules_are_listed_with_their_states(run: Run, rules: Path) -> None:
    run("sync", "rules", "--once")
    run("state", "R1001", "clipped", "--confidence-max", "0.3", "--by", "ana", "--until", "2h")
    listed = [json.loads(line) for line in run("rules", "--json").stdout.splitlines()]
    states = {rule["rule_id"]: rule["state"] for rule in listed}
    assert len(states) == len(list(rules.iterdir()))
    assert states["R1001"]["state"] == "clipped"
    assert (states["R1001"]["confidence_max"], states["R1001"]["set_by"]) == (0.3, "ana")
    assert states["R1002"]["state"] == "enabled"


def test_history_shows_a_rule_and_its_states_in_order(run: Run, rules: Path) -> None:
    run("sync", "rules", "--once")
    run("state", "R1002", "disabled", "--reason", "noisy")
    lines = run("history", "R1002").stdout.splitlines()
    assert re.search(r"added +R1002", lines[0])
    assert re.search(r"state +R1002  disabled by .* \(noisy\)", lines[1])


def test_project_makes_the_tree_as_of_a_position(run: Run, rules: Path, tmp_path: Path) -> None:
    run("sync", "rules", "--once")
    before = len(list(rules.iterdir()))
    next(rules.iterdir()).unlink()
    run("sync", "rules", "--once")
    assert run("project", "now", "--once").returncode == 0
    assert run("project", "then", "--at", str(before)).returncode == 0
    count = {name: len(list((tmp_path / name).glob("*.yml"))) for name in ("now", "then")}
    assert count == {"now": before - 1, "then": before}


def test_tail_without_following_ends_at_the_head(run: Run, rules: Path) -> None:
    run("sync", "rules", "--once")
    lines = run("tail", "--no-follow", "--after", "10", "--json").stdout.splitlines()
    assert [json.loads(line)["position"] for line in lines] == list(
        range(11, len(list(rules.iterdir())) + 1)
    )


def test_a_consumer_resumes_where_it_left_off(run: Run, rules: Path) -> None:
    run("sync", "rules", "--once")
    assert run("tail", "--no-follow", "--consumer", "w1").stdout.count("added") == 16
    assert run("tail", "--no-follow", "--consumer", "w1").stdout == ""
    run("state", "R1001", "disabled")
    assert run("tail", "--no-follow", "--consumer", "w1").stdout.count("disabled") == 1


def test_status_shows_consumers_and_the_version_of_the_database(
    run: Run, rules: Path, log: str
) -> None:
    run("sync", "rules", "--once")
    run("tail", "--no-follow", "--consumer", "w1")
    facts = json.loads(run("status", "--json").stdout)
    version = facts["sqlite"] if log.startswith("sqlite") else facts["server"].split()[0]
    assert re.fullmatch(r"\d+(\.\d+)+", version)
    assert [(one["name"], one["lag"]) for one in facts["consumers"]] == [("w1", 0)]


@pytest.mark.promise("bad-input")
@pytest.mark.usefixtures("empty_log")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--url", "sqlite:////nowhere/at/all.db", "state", "R1", "enabled"], "does its directory"),
        (["--url", "mongodb://x", "status"], "begins with one of"),
        (["status", "--url", "sqlite://"], "names no file"),
        (["status", "--url", f"postgresql://u:{SECRET}@127.0.0.1:1/x"], "refused"),
        (["status", "--url", f"postgresql://u:{SECRET}@nowhere.invalid/x"], "nowhere.invalid"),
        (["status", "--url", f"postgresql://u:{SECRET}%@127.0.0.1/x"], "percent-encode"),
        (["status", "--url", f"postgresql://u:{SECRET}@127.0.0.1/x?nonsense=1"], "nonsense"),
        (["status", "--url", f"postgre://u:{SECRET}@127.0.0.1/x"], "begins with one of"),
        (["rebuild", "rules", "--database", f"postgresql://u:{SECRET}@127.0.0.1:1/x"], "refused"),
        (["sync", "missing", "--once"], "is not there"),
        (["sync", ".", "--format", "yara", "--once"], "known are raw, sigma, ttp"),
        (["history", "rule/unknown"], "has no events"),
        (["history", "a/\x07"], "control character"),
        (["state", "", "disabled"], "must be named category/key"),
        (["state", "R1", "enabled", "--confidence-max", "0.5"], "clipped"),
        (["tail", "--streams", "nocategory", "--no-follow"], "category/key"),
        (["tail", "--after", "99", "--no-follow"], "beyond the head"),
        (["--config", "missing.toml", "status"], "settings file missing.toml"),
    ],
)
def test_bad_input_is_one_clear_line_and_status_1(run: Run, words: list[str], said: str) -> None:
    done = run(*words)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert SECRET not in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [["frobnicate"], ["--utc"], ["tail", "--after", "-1"], ["state", "R1", "asleep"], ["up"],
     ["sync"], ["state", "R1", "disabled", "--until", "tomorrow"]],
)  # fmt: skip
def test_wrong_usage_is_status_2(run: Run, words: list[str]) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_wrong_password_is_one_clear_line_and_not_shown(run: Run, postgres: Server) -> None:
    parts = urlsplit(postgres.url())
    wrong = f"postgresql://{parts.username}:{SECRET}@{parts.hostname}:{parts.port}{parts.path}"
    done = run("status", "--url", wrong)
    assert (done.returncode, done.stdout) == (1, "")
    assert "password authentication failed" in done.stderr
    assert SECRET not in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.promise("bad-input")
def test_no_command_shows_the_password_of_the_log(
    run: Run, start: Callable[..., Running], postgres: Server, tmp_path: Path
) -> None:
    url = postgres.fresh_schema()
    password = urlsplit(url).password or ""
    shutil.copytree(SAMPLES, tmp_path / "rules")
    up = start("up", "--rules", "rules", "--url", url)
    shown = up.lines_until("    16  ")
    for words in (["status"], ["status", "--json"], ["rebuild", "rules"], ["rules"]):
        done = run(*words, "--url", url)
        assert done.returncode == 0, done.stderr
        shown += [done.stdout, done.stderr]
    assert up.interrupt() == 0
    assert len(password) > 8
    assert not [text for text in shown if password[:8] in text or unquote(password)[:8] in text]


def test_a_file_that_is_no_log_is_refused_and_left_alone(run: Run, tmp_path: Path) -> None:
    precious = tmp_path / "notes.txt"
    precious.write_text("this is not a database, and it matters to somebody" * 50)
    before = precious.read_bytes()
    done = run("--url", "sqlite:///notes.txt", "status")
    assert done.returncode == 1
    assert "not a database" in done.stderr
    assert precious.read_bytes() == before


def test_the_environment_names_the_log(run: Run, tmp_path: Path) -> None:
    run("state", "R1", "disabled", EVENTSTORE_URL="sqlite:///other.db")
    assert (tmp_path / "other.db").exists()
    assert not (tmp_path / "eventstore.db").exists()


def test_a_settings_file_in_its_usual_place_is_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "eventstore.toml").write_text('url = "sqlite:///named.db"\n')
    run("state", "R1", "disabled")
    assert (tmp_path / "named.db").exists()


def test_names_that_would_steer_a_terminal_are_shown_harmless(run: Run, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a\x1b[31mred").write_text("x")
    run("sync", "raw", "--format", "raw", "--once")
    done = run("tail", "--no-follow")
    assert "\x1b" not in done.stdout
    assert "rejected" in done.stdout


def test_a_reader_that_goes_away_ends_the_command_quietly(
    start: object, run: Run, rules: Path, tmp_path: Path
) -> None:
    run("sync", "rules", "--once")
    tail = Running(["tail"], tmp_path)
    tail.line()
    assert tail.process.stdout is not None
    tail.process.stdout.close()
    run("state", "R1001", "disabled")
    assert tail.process.wait(DEADLINE) == 0
    assert tail.process.stderr is not None
    assert tail.process.stderr.read() == ""
    tail.process.stderr.close()


def test_wait_tells_whether_every_consumer_has_done_a_change(run: Run, rules: Path) -> None:
    run("sync", "rules", "--once")
    run("tail", "--no-follow", "--consumer", "w1")
    done = run("wait", "16", "--consumer", "w1")
    assert (done.returncode, done.stdout) == (0, "position 16 is done by w1\n")
    late = run("wait", "16", "--consumer", "w1", "--consumer", "w2", "--timeout", "0.1")
    assert late.returncode == 1
    assert late.stderr == "error: position 16 is not done after 0.1 s: w2 was never seen\n"
