"""What commands print of hostile names, on consoles of any encoding and on terminals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.commands import REPOSITORY, Run, command, environment, on_terminal

from eventstore.system.printable import escape

if TYPE_CHECKING:
    from pathlib import Path


def test_json_is_not_escaped_a_second_time(run: Run, tmp_path: Path) -> None:
    name = "a\x7f\x9b31m\u202e"
    run("state", "R1", "disabled", "--reason", name)
    (line,) = run("tail", "--no-follow", "--json").stdout.splitlines()
    assert json.loads(line)["data"]["state"]["reason"] == name
    assert escape(name) in run("history", "R1").stdout


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_that_lacks_a_character_shows_its_escape(
    run: Run, tmp_path: Path, encoding: str
) -> None:
    run("state", "R1", "disabled", "--reason", "Ω is enough")
    for words in (["--help"], ["tail", "--no-follow"], ["status", "--consumer", "Ω"]):
        done = subprocess.run(
            command(*words),
            cwd=tmp_path,
            env=environment(PYTHONIOENCODING=encoding),
            capture_output=True,
            check=False,
        )
        assert b"Traceback" not in done.stderr
        text = (done.stdout + done.stderr).decode(encoding)
        assert "--help" in words or r"\u03a9" in text
    done = subprocess.run(
        command("tail", "--no-follow", "--json"),
        cwd=tmp_path,
        env=environment(PYTHONIOENCODING=encoding),
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["data"]["state"]["reason"] == "Ω is enough"


def test_wrong_usage_shows_no_foreign_sequence(run: Run) -> None:
    done = run("tail", "--no-follow", "\x1b[31mextra\nforged")
    assert done.returncode == 2
    assert "\x1b" not in done.stderr
    assert "\nforged" not in done.stderr


def test_a_file_whose_name_is_hostile_is_one_line_in_check(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    name = os.fsdecode(b"rules/\xff\x1b[31m\nx.yml")
    (tmp_path / name).write_text("no rule")
    done = run("check", "rules", "--format", "raw")
    assert (done.returncode, done.stdout.count("\n")) == (1, 1)
    assert done.stdout.startswith(r"rules/\udcff\x1b[31m\nx.yml: ")
    done = run("check", "rules", "--format", "raw", "--json")
    finding, totals = [json.loads(line) for line in done.stdout.splitlines()]
    assert finding["file"] == r"rules/\udcff\x1b[31m\nx.yml"
    assert totals == {"good": 0, "findings": 1, "ignored": 0}


def test_a_progress_bar_shows_foreign_text_as_it_is(run: Run, tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "config" / "rules" / "ttp", tmp_path / "rules")
    run("sync", "rules", "--once")
    name = "live{x}[red]\x1b[5m"
    status, sent = on_terminal(["project", name, "--once"], tmp_path)
    assert status == 0, sent
    assert r"projecting live{x}[red]\x1b[5m" in sent
    assert "\x1b[5m" not in sent
