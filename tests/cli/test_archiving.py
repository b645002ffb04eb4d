"""Moving, copying and trimming a log by commands."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from support.commands import REPOSITORY, Run, command, environment

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

SAMPLES = REPOSITORY / "config" / "rules" / "ttp"
COUNT = len(list(SAMPLES.iterdir()))


UNPRIVILEGED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")


def as_plain_owner(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command as the user of this process, without root's right to open any file."""
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("there is no setpriv to give root's rights up")
    return subprocess.run(
        [*(UNPRIVILEGED if os.getuid() == 0 else ()), *command(*words)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def log(run: Run, tmp_path: Path) -> Path:
    """Give a log of the sample rules, one of which was removed again."""
    shutil.copytree(SAMPLES, tmp_path / "rules")
    assert run("sync", "rules", "--once").returncode == 0
    (tmp_path / "rules" / "encoded_powershell.yml").unlink()
    assert run("sync", "rules", "--once").returncode == 0
    return tmp_path / "eventstore.db"


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


@pytest.mark.parametrize("mode", [0o444, 0o400], ids=oct)
@pytest.mark.parametrize("folder", [0o755, 0o555], ids=oct)
def test_a_log_that_its_owner_may_only_read_is_exported_and_backed_up(
    run: Run, log: Path, tmp_path: Path, mode: int, folder: int
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    log.rename(kept / log.name)
    (kept / log.name).chmod(mode)
    kept.chmod(folder)
    url = f"sqlite:///kept/{log.name}"
    for words in (["export", "y.exp"], ["backup", "copy.db"]):
        for more in ([], ["--replace"]):
            done = as_plain_owner(tmp_path, *words, *more, "--url", url)
            assert (done.returncode, done.stderr) == (0, ""), words
        assert stat.S_IMODE((tmp_path / words[1]).stat().st_mode) == mode
    kept.chmod(0o755)
    told = json.loads(run("verify", "--json", "--url", "sqlite:///copy.db").stdout.splitlines()[-1])
    assert told["findings"] == 0
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize(
    "words",
    [["export", "old", "--replace"], ["backup", "old", "--replace"]],
    ids=lambda words: words[0],
)
def test_a_file_that_its_owner_may_only_read_is_replaced_when_asked(
    log: Path, tmp_path: Path, words: list[str]
) -> None:
    assert log.exists()
    old = tmp_path / "old"
    old.write_text("old")
    old.chmod(0o444)
    done = as_plain_owner(tmp_path, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert old.stat().st_size > 100
    assert stat.S_IMODE(old.stat().st_mode) == 0o444


def test_a_log_goes_through_a_pipe(run: Run, log: Path, tmp_path: Path) -> None:
    out = subprocess.run(
        command("export", "-"), cwd=tmp_path, env=environment(), capture_output=True, check=True
    ).stdout
    subprocess.run(
        command("import", "-", "--url", "sqlite:///new.db"),
        cwd=tmp_path,
        env=environment(),
        input=out,
        capture_output=True,
        check=True,
    )
    assert run("export", "again", "--url", "sqlite:///new.db").returncode == 0
    assert (tmp_path / "again").read_bytes() == out


def test_a_damaged_file_is_one_line_and_leaves_nothing(run: Run, log: Path, tmp_path: Path) -> None:
    run("export", "log.export")
    content = (tmp_path / "log.export").read_bytes()
    (tmp_path / "log.export").write_bytes(content[:-50])
    done = run("import", "log.export", "--url", "sqlite:///new.db")
    assert (done.returncode, done.stdout) == (1, "")
    assert "log.export, byte " in done.stderr
    assert json.loads(run("status", "--json", "--url", "sqlite:///new.db").stdout)["position"] == 0


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
