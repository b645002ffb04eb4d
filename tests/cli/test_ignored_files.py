"""Files that are ignored by their names are counted, and listed on request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest
from support.master import fill, ttp
from support.postgres import shared_server
from support.waiting import eventually

from eventstore import EventStore
from projections.rules import RuleSync
from projections.rules.sources.lease import ignored_counts
from projections.rules.sources.renaming import rename_source
from projections.rules.trim_policy import keep_rules

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.commands import Run, Running

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


def test_status_counts_what_a_master_ignores(
    run: Run, root: Path, start: Callable[..., Running]
) -> None:
    master = start("sync", "rules", "--source", "mine")
    master.lines_until("3 ignored")
    fill(root, {"b.yml": ttp("B")})  # The note of the first look is out before the second ends.
    master.lines_until("1 defined")
    assert "3 files ignored in source mine" in run("status").stdout


@pytest.mark.slow
def test_up_says_at_its_start_how_many_files_it_ignores(
    root: Path, start: Callable[..., Running]
) -> None:
    command = start("up", "--rules", "rules")
    assert command.lines_until("3 files ignored in rules")[0].endswith("following rules")


@pytest.fixture(params=["sqlite", "memory", pytest.param("postgres", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name an empty log on each backend."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/log.db"
    return "memory://" if request.param == "memory" else shared_server().fresh_schema()


@pytest.mark.anyio
async def test_the_count_of_a_single_look_is_kept_by_each_backend(
    root: Path, url: str, tmp_path: Path
) -> None:
    async with EventStore.open(url, notify="none") as store:

        async def look() -> int | None:
            return (await RuleSync(store, root, source="mine").sync_once()).position

        assert await look() == 2
        assert await ignored_counts(store) == {"mine": 3}
        assert await look() is None  # The log knows the number.
        (root / "README.md").unlink()
        assert await look() == 3
        await rename_source(store, "mine", "ours")
        assert await ignored_counts(store) == {"ours": 2}
        await store.trim(4, archive=tmp_path / "old.gz", keep=keep_rules)
        assert await ignored_counts(store) == {"ours": 2}


@pytest.mark.anyio
async def test_the_count_of_a_running_master_is_read_without_a_file(root: Path) -> None:
    async with EventStore.open("memory://") as store, anyio.create_task_group() as tasks:
        tasks.start_soon(RuleSync(store, root, source="mine").run)

        async def counted() -> bool:
            return await ignored_counts(store) == {"mine": 3}

        await eventually(counted)
        tasks.cancel_scope.cancel()
