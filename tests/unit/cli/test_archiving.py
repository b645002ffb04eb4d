"""The commands that move a whole log, or a part of it."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from support.commands import SAMPLES, log_of_samples

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Run


pytestmark = pytest.mark.slow


COUNT = len(list(SAMPLES.iterdir()))


@pytest.fixture
def log(run: Run, tmp_path: Path) -> Path:
    return log_of_samples(run, tmp_path)


def test_a_log_is_exported_and_imported(run: Run, log: Path, tmp_path: Path) -> None:
    done = run("export", "log.export", "--json")
    checksum = sha256((tmp_path / "log.export").read_bytes()).hexdigest()
    assert json.loads(done.stdout) == {
        "file": "log.export", "position": COUNT + 1, "events": COUNT + 1, "sha256": checksum,
    }  # fmt: skip
    assert run("import", "log.export", "--url", "sqlite:///new.db").returncode == 0
    was, now = (run("tail", "--no-follow", "--json", "--url", url).stdout
                for url in (f"sqlite:///{log}", "sqlite:///new.db"))  # fmt: skip
    assert now == was
    assert now.count("\n") == COUNT + 1
    again = run("import", "log.export", "--url", "sqlite:///new.db")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("error: ")
    assert again.stderr.count("\n") == 1


def test_a_damaged_file_is_one_line_and_leaves_nothing(run: Run, log: Path, tmp_path: Path) -> None:
    run("export", "log.export")
    content = (tmp_path / "log.export").read_bytes()
    (tmp_path / "log.export").write_bytes(content[:-50])
    done = run("import", "log.export", "--url", "sqlite:///new.db")
    assert (done.returncode, done.stdout) == (1, "")
    assert "log.export, byte " in done.stderr
    assert not (tmp_path / "new.db").exists()


def test_a_backup_comes_back(run: Run, log: Path, tmp_path: Path) -> None:
    assert run("backup", "log.copy").stdout == f"log.copy is at position {COUNT + 1}\n"
    run("state", "R1002", "disabled")
    refused = run("restore", "log.copy")
    assert refused.returncode == 1
    assert "--replace" in refused.stderr
    assert run("restore", "log.copy", "--replace").returncode == 0
    assert json.loads(run("status", "--json").stdout)["position"] == COUNT + 1


def test_trimming_tells_where_the_log_starts_and_how_to_go_on(
    run: Run, log: Path, tmp_path: Path
) -> None:
    assert run("tail", "--no-follow", "--consumer", "old").returncode == 0
    run("state", "R1002", "disabled")
    held = run("trim", "--before", str(COUNT + 3))
    assert held.returncode == 1
    assert "'old' is at position 17" in held.stderr
    assert "--force" in held.stderr
    done = json.loads(
        run("trim", "--before", str(COUNT + 3), "--force", "--by", "ana", "--json").stdout
    )
    assert (done["first_position"], done["events"]) == (COUNT + 3, COUNT + 2)
    # What stands, the removal of what went, and the state.
    assert done["kept"] == COUNT - 1 + 1 + 1
    assert run("import", done["archive"], "--url", "sqlite:///old.db").returncode == 0
    gone = run("tail", "--no-follow", "--consumer", "old")
    assert gone.returncode == 1
    assert f"starts at {COUNT + 3}" in gone.stderr
    assert "--skip-gone" in gone.stderr
    kept = run("tail", "--no-follow", "--consumer", "old", "--kept").stdout
    assert "state     R1002" in kept
    assert "removed   R1001" in run("tail", "--no-follow", "--kept").stdout
    rest = run("tail", "--no-follow", "--json").stdout.splitlines()
    assert [json.loads(line)["type"] for line in rest] == ["HistoryTrimmed"]
    assert len(json.loads(run("rules", "--json").stdout.splitlines()[0])) > 5
    assert "removed   R1001" in run("history", "R1001").stdout
    assert run("project", "live", "--once").returncode == 0
    assert len(list((tmp_path / "live").glob("*.yml"))) == COUNT - 1


def test_a_consumer_that_was_passed_over_is_moved_on(run: Run, log: Path) -> None:
    run("tail", "--no-follow", "--consumer", "old")
    run("state", "R1002", "disabled")
    run("trim", "--before", str(COUNT + 3), "--force")
    moved = run("tail", "--no-follow", "--consumer", "old", "--skip-gone", "--json")
    assert [json.loads(line)["type"] for line in moved.stdout.splitlines()] == ["HistoryTrimmed"]
    assert run("tail", "--no-follow", "--consumer", "old").stdout == ""


@pytest.mark.parametrize(
    "words",
    [["trim"], ["trim", "--before", "yesterday"], ["trim", "--before", "0"],
     ["tail", "--skip-gone"], ["tail", "--skip-gone", "--consumer", "w", "--kept"]],
)  # fmt: skip
def test_wrong_usage_is_status_2(run: Run, words: list[str]) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_an_archive_is_verified_beside_the_log_that_it_was_cut_from(
    run: Run, log: Path, tmp_path: Path
) -> None:
    run("redact", "2", "--reason", "a request", "--yes")
    run("trim", "--before", str(COUNT + 1), "--yes", "--archive", "first.export")
    archive = ("--url", "sqlite:///archive.db")
    assert run("import", "first.export", *archive).returncode == 0
    assert run("verify", *archive).returncode == 1
    done = run("verify", *archive, "--redactions", f"sqlite:///{log}")
    assert (done.returncode, "all as written" in done.stdout) == (0, True)
    assert run("init", "--url", "sqlite:///other.db").returncode == 0
    refused = run("verify", *archive, "--redactions", "sqlite:///other.db")
    assert (refused.returncode, "is another log" in refused.stderr) == (1, True)
