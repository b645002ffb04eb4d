"""``project --check`` names what differs from the log and touches nothing; ``--atomic``."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from support.commands import refused

from projections.cli import directory_check

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Run

STRANGE = "strange\u202e \\ é.yml"
FILES = {"a.yml": "1", "d/b.yml": "2", "d/c.yml": "3", STRANGE: "4", "e.yml": "5"}


@pytest.fixture
def live(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a directory that is made from a log of five files."""

    async def at_once(_: float) -> None:
        """Look again without a pause: nothing else is at work."""

    monkeypatch.setattr(directory_check, "pause", at_once)
    for path, content in FILES.items():
        (tmp_path / "rules" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "rules" / path).write_text(content)
    assert run("sync", "rules", "--once", "--format", "raw").returncode == 0
    assert run("project", "live", "--once").returncode == 0
    return tmp_path / "live"


def state_of(tmp_path: Path) -> dict[str, tuple[int, int, int, int]]:
    """Return the status of each path, without the access times, which reading changes."""
    found = {}
    for path in sorted(tmp_path.rglob("*")):
        if path.name.startswith("eventstore.db"):
            continue  # Reading a log may checkpoint it.
        status = path.lstat()
        found[str(path)] = status.st_ino, status.st_mode, status.st_size, status.st_ctime_ns
    return found


def test_without_drift_the_status_is_0(run: Run, live: Path, tmp_path: Path) -> None:
    before = state_of(tmp_path)
    done = run("project", "live", "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "live is what the log says at position 5: 5 files\n"
    assert state_of(tmp_path) == before


def test_each_kind_of_drift_is_a_line_and_nothing_is_touched(
    run: Run, live: Path, tmp_path: Path
) -> None:
    (live / "a.yml").write_text("6")
    (live / "d/b.yml").unlink()
    (live / "d/c.yml").unlink()
    (live / "d/c.yml").symlink_to("../a.yml")
    (live / "e.yml").chmod(0o755)
    os.close(os.open(bytes(live) + b"/new\xff.yml", os.O_CREAT))
    (live / "empty").mkdir()
    (live / STRANGE).unlink()
    (live / STRANGE / "inside").mkdir(parents=True)
    (live / STRANGE / "inside/new.yml").touch()
    before = state_of(tmp_path)
    done = run("--json", "project", "live", "--check")
    *found, totals = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["file"], one["drift"]) for one in found] == [
        ("live/a.yml", "changed"),
        ("live/d/b.yml", "missing"),
        ("live/d/c.yml", "type"),
        ("live/e.yml", "mode"),
        ("live/empty/", "extra"),
        ("live/new\\udcff.yml", "extra"),
        (f"live/{STRANGE}", "type"),
    ]
    assert totals == {"directory": "live", "position": 5, "files": 5, "drift": 7}
    assert (done.returncode, done.stderr) == (1, "")
    assert state_of(tmp_path) == before
    done = run("project", "live", "--check")
    assert done.stdout.startswith("live/a.yml: changed: is not what the log says\n")
    assert done.stderr == "7 paths differ from the log at position 5\n"


def test_what_is_in_the_place_of_a_folder_is_not_looked_through(
    run: Run, live: Path, tmp_path: Path
) -> None:
    (live / "d").rename(tmp_path / "elsewhere")
    (live / "d").symlink_to(tmp_path / "elsewhere")
    before = state_of(tmp_path)
    done = run("project", "live", "--check")
    assert (done.returncode, done.stdout.splitlines()) == (
        1,
        [
            "live/d: extra: is not in the log",
            "live/d/b.yml: missing: is missing",
            "live/d/c.yml: missing: is missing",
        ],
    )
    assert state_of(tmp_path) == before


def test_a_manifest_that_was_changed_with_its_file_hides_nothing(run: Run, live: Path) -> None:
    manifest = json.loads((live / ".eventstore.json").read_text())
    manifest["files"]["a.yml"]["sha256"] = manifest["files"]["e.yml"]["sha256"]
    (live / ".eventstore.json").write_text(json.dumps(manifest))
    shutil.copy(live / "e.yml", live / "a.yml")
    done = run("project", "live", "--check")
    assert (done.returncode, done.stdout) == (1, "live/a.yml: changed: is not what the log says\n")


def test_a_directory_that_is_behind_has_no_drift(run: Run, live: Path, tmp_path: Path) -> None:
    (tmp_path / "rules/a.yml").write_text("7")
    assert run("sync", "rules", "--once", "--format", "raw").returncode == 0
    done = run("project", "live", "--check")
    assert (done.returncode, done.stdout[-11:]) == (0, "5: 5 files\n")


def test_what_is_no_projected_directory_is_an_error(run: Run, live: Path, tmp_path: Path) -> None:
    assert "nothing projects it" in refused(run, "project", "rules", "--check")
    assert "No such file" in refused(run, "project", "gone", "--check")
    manifest = json.loads((live / ".eventstore.json").read_text())
    (live / ".eventstore.json").write_text(json.dumps({**manifest, "log_id": "another"}))
    assert "another" in refused(run, "project", "live", "--check")
    assert run("project", "live", "--check", "--once").returncode == 2


def test_an_atomic_directory_is_switched_checked_and_made_plain_again(
    run: Run, live: Path, tmp_path: Path
) -> None:
    atomic = {"EVENTSTORE_PROJECTION_FORM": "atomic"}
    assert run("project", "live", "--once", "--no-atomic", **atomic).returncode == 0
    assert not live.is_symlink()
    assert run("project", "live", "--once", **atomic).returncode == 0
    assert str(live.readlink()).startswith(".live.generations/")
    assert run("project", "live", "--once").returncode == 0
    done = run("project", "live", "--check")
    assert (done.returncode, done.stdout[-11:]) == (0, "5: 5 files\n")
    (live / "a.yml").chmod(0o644)
    (live / "new.yml").touch()
    before = state_of(tmp_path)
    done = run("project", "live", "--check")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "live/a.yml: mode: has mode 0644: a program may write into it",
        "live/new.yml: extra: is not in the log",
    ]
    assert state_of(tmp_path) == before
    (live / "new.yml").unlink()
    assert run("rebuild", "directory", "--to", "live").returncode == 0
    assert live.is_symlink()
    plain = {"EVENTSTORE_PROJECTION_FORM": "plain"}
    assert run("rebuild", "directory", "--to", "live", **plain).returncode == 0
    assert not live.is_symlink()
    assert run("project", "live", "--check").returncode == 0
    assert run("project", "live", "--check", "--atomic").returncode == 2
    assert "go with --to" in run("up", "--rules", "rules", "--atomic").stderr
