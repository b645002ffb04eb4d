"""Commands on a log that is not there: those that read create nothing, a few begin one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.commands import make_log
from support.master import fill, ttp

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Run


READING = (
    ["tail"],
    ["tail", "--no-follow", "--consumer", "w"],
    ["history", "R1"],
    ["status"],
    ["status", "--consumer", "w"],
    ["wait"],
    ["wait", "5", "--timeout", "0"],
    ["verify"],
    ["redact", "1", "--reason", "x"],
    ["rebuild", "rules"],
    ["rebuild", "sql"],
    ["rebuild", "directory", "--to", "live"],
    ["rebuild", "memories", "--to", "memories"],
    ["rebuild", "rules", "--database", "sqlite:///tables.db"],
    ["export", "all.export"],
    ["backup", "copy.db"],
    ["trim", "--before", "9"],
    ["project", "live", "--once"],
    ["project", "live"],
    ["rules"],
    ["views"],
    ["views", "build", "rules"],
    ["views", "drop", "rules"],
)


@pytest.mark.promise("creates-nothing")
@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_reading_a_log_that_is_not_there_leaves_nothing_behind(
    run: Run, tmp_path: Path, words: list[str]
) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: no log at {tmp_path}/eventstore.db\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["status"], ["rules"], ["tail", "--no-follow"]])
def test_a_log_in_a_directory_that_is_not_there_makes_no_directory(
    run: Run, tmp_path: Path, words: list[str]
) -> None:
    done = run(*words, "--url", "sqlite:///below/events.db")
    assert done.stderr == f"error: no log at {tmp_path}/below/events.db\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [["state", "R1", "disabled"], ["sync", "rules", "--once"], ["import", "all.export"]],
    ids=lambda words: words[0],
)
def test_a_command_whose_job_is_to_begin_a_log_begins_it(
    run: Run, tmp_path: Path, words: list[str]
) -> None:
    fill(tmp_path / "rules", {"A.yml": ttp("A")})
    other = f"sqlite:///{tmp_path}/other.db"
    make_log(other)
    assert run("export", "all.export", "--url", other).returncode == 0
    done = run(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "position" in json.loads(run("status", "--json").stdout)


@pytest.mark.promise("creates-nothing")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["import", "none"], "no file at {here}/none"),
        (["import", "folder"], "Is a directory"),
        (["import", "text"], "it is no export of a log"),
        (["import", "empty"], "it is no export of a log"),
        (["restore", "none"], "no file at {here}/none"),
        (["restore", "folder"], "it is no file"),
        (["restore", "text"], "not a database"),
        (["append", "", "T"], "not empty"),
        (["append", "a/1", ""], "not empty"),
        (["append", "a/1", "T", "{"], "is no JSON"),
        (["state", "", "disabled"], "must be named"),
        (["sync", "none", "--once"], "{here}/none: is not there"),
        (["sync", "text", "--once"], "{here}/text: it cannot be listed"),
        (["sync", "folder", "none", "--once"], "{here}/none: is not there"),
        (["sync", "folder", "--format", "odd"], "unknown rule format 'odd'"),
        (["up", "--rules", "folder", "--format", "odd"], "unknown rule format 'odd'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_that_fails_before_its_first_write_leaves_no_log(
    run: Run, tmp_path: Path, words: list[str], said: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("text")
    (tmp_path / "empty").touch()
    done = run(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert said.format(here=tmp_path) in done.stderr
    assert "Errno" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "folder", "text"]
