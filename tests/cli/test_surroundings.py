"""Commands in surroundings that lack something end in one line, never in a traceback."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.commands import command, environment

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Run


pytestmark = pytest.mark.slow


PRINTING = (["tail", "--no-follow"], ["status"], ["streams"], ["status", "--json"], ["--help"],
            ["tail", "--help"], ["--version"], ["export", "-"])  # fmt: skip


def shell(cwd: Path, words: list[str], rest: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a command with a shell's redirections after it."""
    return subprocess.run(
        ["/bin/bash", "-c", f"{shlex.join(command(*words))} {rest}"],
        cwd=cwd, env=environment(**extra), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.fixture
def some(run: Run) -> None:
    """Make a log of one event."""
    assert run("append", "order/1", "Noted", '{"text": "Ω"}').returncode == 0


@pytest.mark.promise("bad-input")
@pytest.mark.usefixtures("some")
@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
def test_stdout_that_takes_nothing_is_one_line_and_status_1(
    tmp_path: Path, words: list[str]
) -> None:
    for rest, said in ((">/dev/full", "No space left"), (">&-", "Bad file descriptor")):
        done = shell(tmp_path, words, rest)
        assert done.returncode == 1, (rest, done)
        assert said in done.stderr
        assert done.stderr.startswith('{"type":' if "--json" in words else "error: ")
        assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
def test_a_pipe_without_a_reader_ends_quietly(tmp_path: Path, words: list[str]) -> None:
    done = shell(tmp_path, words, "| true; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize("rest", ["2>&-", "2>/dev/full", "2>&- >/dev/null", "<&- 2>&- >/dev/null"])
def test_stderr_that_takes_nothing_changes_no_status(tmp_path: Path, rest: str) -> None:
    for words, status in ((["streams"], 0), (["history", "a/1"], 1), (["nonsense"], 2)):
        assert shell(tmp_path, words, rest).returncode == status
    assert shell(tmp_path, ["streams", "-v"], rest).returncode == 0


def test_no_database_takes_the_place_of_a_closed_stream(run: Run, tmp_path: Path) -> None:
    done = shell(tmp_path, ["append", "a/1", "Noted"], "<&- 2>&- >&-")
    assert done.returncode == 1
    assert shell(tmp_path, ["streams"], "2>&-").stdout.count("a/1") == 1
    assert run("verify").returncode == 0


@pytest.mark.usefixtures("some")
def test_a_console_that_cannot_encode_shows_escapes(tmp_path: Path) -> None:
    extra = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for words in (["tail", "--no-follow"], ["show", "order/1"]):
        done = shell(tmp_path, words, "", **extra)
        assert (done.returncode, done.stderr) == (0, "")
        assert r"\u03a9" in done.stdout
    refused = shell(tmp_path, ["history", "Ω/1"], "", **extra)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr


BARE = """
import getpass, os, pwd, sys
def unknown(*_):
    raise KeyError("uid not found")
pwd.getpwuid = pwd.getpwnam = unknown
from eventstore.cli import main
sys.argv = ["eventstore", "state", "R1", "disabled", "--json"]
main()
"""


def test_a_user_without_an_entry_is_named_by_number(tmp_path: Path) -> None:
    gone = {"LOGNAME", "USER", "LNAME", "USERNAME", "HOME"}
    env = {name: value for name, value in environment().items() if name not in gone}
    done = subprocess.run(
        [sys.executable, "-c", BARE], cwd=tmp_path, env=env, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    assert json.loads(done.stdout)["data"]["state"]["set_by"] == f"uid {os.getuid()}"


def test_a_directory_that_was_removed_is_one_line(tmp_path: Path) -> None:
    for words in ("status", "append a/1 Noted", "sync rules --once", "check rules", "init"):
        (tmp_path / "gone").mkdir()
        line = f"cd gone && rmdir ../gone && {shlex.join(command(*words.split()))}"
        done = subprocess.run(
            ["/bin/bash", "-c", line], cwd=tmp_path, env=environment(), capture_output=True,
            text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode in {1, 2}, done
        assert done.stderr.startswith("error: "), done
        assert done.stderr.count("\n") == 1, done


@pytest.mark.usefixtures("some")
def test_a_missing_home_is_no_matter(tmp_path: Path) -> None:
    env = {name: value for name, value in environment().items() if name != "HOME"}
    for words in (["streams"], ["--help"], ["state", "R1", "disabled"]):
        done = subprocess.run(
            command(*words), cwd=tmp_path, env=env, capture_output=True, check=False, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, b"")


FAULTY = """
import sys
from eventstore.cli import main, streams
def broken(*_, **__):
    raise ZeroDivisionError("division by zero\\nof something")
import eventstore.cli.session
eventstore.cli.session.Session.open_store = broken
sys.argv = ["eventstore", *{words}]
main()
"""


@pytest.mark.parametrize(
    "words", [["streams"], ["streams", "-v"], ["-v", "streams"], ["streams", "--json"]]
)
def test_a_fault_of_the_program_is_called_one(tmp_path: Path, words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAULTY.format(words=words)],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "this is a fault of the program" in done.stderr
    assert ("Traceback" in done.stderr) == ("-v" in words)
    if "-v" not in words:
        assert done.stderr.count("\n") == 1
        assert "-v shows the traceback" in done.stderr


@pytest.mark.usefixtures("some")
def test_times_are_in_the_zone_of_the_computer_or_in_utc(tmp_path: Path) -> None:
    for line in (["--utc", "tail", "--no-follow"], ["tail", "--no-follow", "--utc"]):
        done = shell(tmp_path, line, "", TZ="Asia/Tokyo")
        assert re.search(r"\d\d:\d\d:\d\d\+00:00  Noted", done.stdout)
    assert "+09:00  Noted" in shell(tmp_path, ["tail", "--no-follow"], "", TZ="Asia/Tokyo").stdout
