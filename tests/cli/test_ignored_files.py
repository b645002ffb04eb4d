"""What a running master ignores is counted, on each backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.master import fill, ttp
from support.postgres import shared_server

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
