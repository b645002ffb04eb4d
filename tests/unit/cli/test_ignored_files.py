"""Files that are ignored by their names are counted, and listed on request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest
from support.master import fill, ttp
from support.waiting import eventually

from eventstore import EventStore
from projections.rules import RuleSync
from projections.rules.sources.lease import ignored_counts

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Run


FILES = {"a.yml": ttp("A"), "README.md": "", ".git/config": "", "b.yml~": ttp("B")}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fill(tmp_path / "rules", FILES)


def test_sync_check_and_status_count_what_is_ignored(run: Run, root: Path) -> None:
    assert run("check", "rules").stdout == "1 rule is good; 3 ignored\n"
    assert json.loads(run("--json", "check", "rules").stdout)["ignored"] == 3
    done = run("sync", "rules", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 defined, 0 removed, 0 rejected, 0 unchanged, 3 ignored" in done.stdout
    assert f"3 files ignored in source {root}\n" in run("status").stdout
    facts = json.loads(run("--json", "status").stdout)
    assert facts["ignored"] == [{"source": str(root), "ignored": 3}]
    for name in ("README.md", "b.yml~"):
        (root / name).unlink()
    run("sync", "rules", "--once")
    assert f"1 file ignored in source {root}\n" in run("status").stdout


@pytest.mark.parametrize("words", [["check", "rules"], ["sync", "rules", "--once"]])
def test_each_ignored_file_is_listed_with_its_rule_on_request(
    run: Run, root: Path, words: list[str]
) -> None:
    assert run(*words, "--ignored").stdout.splitlines()[:3] == [
        "rules/.git/: ignored, it is hidden",
        "rules/README.md: ignored, it has no ending of the format 'ttp'",
        "rules/b.yml~: ignored, it is a backup",
    ]
    listed = run("--json", *words, "--ignored").stdout.splitlines()
    assert json.loads(listed[1]) == {
        "file": "rules/README.md",
        "ignored": "has no ending of the format 'ttp'",
    }


def test_a_directory_of_which_every_file_is_ignored_is_spoken_of(run: Run, tmp_path: Path) -> None:
    fill(tmp_path / "rules", {"a.yar": "", "b.json": "", "c/d.txt": ""})
    done = run("sync", "rules", "--once")
    assert done.returncode == 0
    assert "0 defined, 0 removed, 0 rejected, 0 unchanged, 3 ignored" in done.stdout
    assert done.stderr.startswith("warning: rules: no file is a rule, all 3 are ignored")
    checked = run("check", "rules")
    assert checked.returncode == 1
    assert "holds no file that the format 'ttp' reads (3 ignored)" in checked.stderr


@pytest.mark.anyio
async def test_the_count_of_a_running_master_is_read_without_a_file(root: Path) -> None:
    async with EventStore.open("memory://") as store, anyio.create_task_group() as tasks:
        tasks.start_soon(RuleSync(store, root, source="mine").run)

        async def counted() -> bool:
            return await ignored_counts(store) == {"mine": 3}

        await eventually(counted)
        tasks.cancel_scope.cancel()
