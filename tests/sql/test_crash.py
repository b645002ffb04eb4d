"""Three programs' tables, worked on by eight threads and killed again and again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import anyio
import pytest
from support.postgres import shared_server
from support.processes import ROOT
from support.sql_databases import computed_tables, tables_of
from support.sql_tables import read_log
from support.sql_work import MIGRATIONS

from eventstore import EventStore
from projections import ProjectionRunner
from projections.sql import SqlCopy, SqlStorage

if TYPE_CHECKING:
    from pathlib import Path

FEW = [4.0, 4.0]
MANY = [60.0, *[4.0] * 30]
"""Seconds from the start of each process to its end; the first one or two it begins."""


def work_and_kill(url: str, seconds: float, said: Path) -> list[str]:
    """Return what the workers said was committed before they were killed."""
    with said.open("w+") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "support.sql_work", url],
            cwd=ROOT / "tests",
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=output,
        )
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(seconds)
        finally:
            process.kill()
            process.wait()
        # The last line may have been cut off.
        return said.read_text().rpartition("\n")[0].splitlines()


async def check_log(url: str) -> int:
    async with EventStore.open(url) as store:
        report = await store.verify()
        assert report.findings == ()
        return report.cursor.position


async def copy_tables(url: str, copy: str) -> None:
    async with EventStore.open(url) as store:
        await ProjectionRunner(store, SqlCopy(copy)).catch_up()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "rounds", [FEW, pytest.param(MANY, marks=pytest.mark.soak)], ids=["few", "many"]
)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_killed_again_and_again_log_and_tables_agree(
    kind: str, rounds: list[float], tmp_path: Path
) -> None:
    path = tmp_path / "log.db"
    url = f"sqlite:///{path}" if kind == "sqlite" else shared_server().fresh_schema()
    with SqlStorage(url) as storage:
        storage.apply_migrations(MIGRATIONS)
    transactions = 0
    for seconds in rounds:
        said = [line.split() for line in work_and_kill(url, seconds, tmp_path / "said")]
        transactions += len(said)
        with SqlStorage(url) as storage, storage.connection() as c:
            for table in ("fact", "task", "move"):
                found = {row[0] for row in c.execute(f"SELECT uid FROM {table}")}
                assert {uid for name, uid in said if name == table} <= found
            assert c.execute("SELECT sum(cents) FROM account").fetchone()[0] == 400_000
    assert transactions
    head = anyio.run(check_log, url)
    begun = time.perf_counter()
    before = tables_of(url)
    assert computed_tables(url) == before
    with SqlStorage(url) as storage:
        rebuilding = time.perf_counter()
        storage.rebuild()
        took = time.perf_counter() - rebuilding
        assert tables_of(url) == before
        assert storage.apply_migrations(MIGRATIONS) == []
    if kind == "sqlite":
        anyio.run(copy_tables, url, f"sqlite:///{tmp_path / 'copy.db'}")
        assert tables_of(f"sqlite:///{tmp_path / 'copy.db'}") == before
    rows = [event for event in read_log(url) if event.type == "RowsChanged"]
    print(f"{kind}: {transactions} said, {len(rows)} events, head {head}, rebuilt in {took:.1f} s, "
          f"checked in {time.perf_counter() - begun:.1f} s")  # fmt: skip
