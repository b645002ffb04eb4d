"""Exports and backups through pipes, and of users who may only read."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.commands import Run, command, environment, log_of_samples

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.slow


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
    return log_of_samples(run, tmp_path)


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
