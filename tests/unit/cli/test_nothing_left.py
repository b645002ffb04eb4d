"""Commands that fail leave nothing new behind, and readers are told what a writer has to do."""

from __future__ import annotations

import gzip
import io
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest
from support.commands import REPOSITORY
from support.master import fill, ttp

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from support.commands import Run


class Pipe(io.FileIO):
    """A file that cannot go back, as a pipe."""

    def seekable(self) -> bool:
        return False


def only_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this user, who may write everything, be one who may read only."""
    monkeypatch.setattr(
        "eventstore.storage.sqlite.backend.is_read_only", lambda path: path.exists()
    )


def check_refused(done: subprocess.CompletedProcess[str], *reasons: str) -> None:
    """Check that a command failed with one line, which says all of this."""
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    for reason in reasons:
        assert reason in line


@pytest.fixture
def log(run: Run, tmp_path: Path) -> Path:
    """Make a log of three events."""
    for number in range(3):
        assert run("append", "order/1", "Noted", str(number)).returncode == 0
    return tmp_path / "eventstore.db"


def test_an_older_log_that_may_only_be_read_is_one_line_that_says_what_to_do(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = REPOSITORY / "tests" / "data" / "logs" / "schema-1.db.gz"
    (tmp_path / "eventstore.db").write_bytes(gzip.decompress(old.read_bytes()))
    only_readable(monkeypatch)
    for command in (["tail", "--no-follow"], ["status"], ["rules"]):
        done = run(*command)
        check_refused(
            done,
            "its schema is of an older version, and this user may not change it",
            "open it once as a user who may write there",
        )


def test_a_log_whose_writer_crashed_is_one_line_that_says_what_to_do(
    run: Run, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = sqlite3.connect(log)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE more (n)")
    writer.commit()
    crashed = log.with_name("crashed.db")
    for suffix in ("", "-wal"):
        shutil.copy(f"{log}{suffix}", f"{crashed}{suffix}")
    writer.close()
    only_readable(monkeypatch)
    # As where the memory of the write-ahead log cannot be made: a directory of another user.
    crashed.with_name("crashed.db-shm").symlink_to("missing/shm")
    done = run("tail", "--no-follow", "--url", f"sqlite:///{crashed}")
    check_refused(
        done, "its last writer has ended without closing it", "open it once as such a user"
    )


def test_a_trim_of_a_log_that_may_only_be_read_leaves_no_archive(
    run: Run, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name for path in log.parent.iterdir()}
    only_readable(monkeypatch)
    for more in (["--archive", "old.export"], []):
        done = run("trim", "--before", "3", *more)
        assert (done.returncode, done.stdout) == (1, "")
        assert "this user may read this log, not write to it" in done.stderr
    assert {path.name for path in log.parent.iterdir()} == before


@pytest.mark.parametrize("file", ["bad.export", "-"])
def test_a_damaged_export_makes_no_log(
    run: Run, log: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    assert run("export", "whole.export").returncode == 0
    bad = log.with_name("bad.export")
    monkeypatch.setattr(
        "eventstore.cli.archives.binary_stdin", lambda: io.BufferedReader(Pipe(bad))
    )
    content = log.with_name("whole.export").read_bytes()
    for damaged in (content[:-20], content[:-1] + bytes([content[-1] ^ 1])):
        bad.write_bytes(damaged)
        done = run("import", file, "--url", "sqlite:///new.db")
        assert done.returncode == 1
        assert not list(log.parent.glob("new.db*"))
    bad.write_bytes(content)
    done = run("import", file, "--url", "sqlite:///new.db")
    assert (done.returncode, done.stderr) == (0, "")
    assert run("tail", "--no-follow", "--url", "sqlite:///new.db").stdout.count("\n") == 3


def test_a_projected_directory_makes_no_log(run: Run, tmp_path: Path) -> None:
    fill(tmp_path / "rules", {"a.yml": ttp("A")})
    assert run("sync", "rules", "--once").returncode == 0
    assert run("project", "rules/live", "--once").returncode == 0
    for place in ("rules/live", "rules"):
        done = run("sync", place, "--once", "--url", "sqlite:///new.db")
        assert done.returncode == 1
        assert "is a projected directory" in done.stderr
        assert not list(tmp_path.glob("new.db*"))
