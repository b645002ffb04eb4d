"""Log and tables agree after processes with eight writing threads were killed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio
import pytest
from programs.sql_work import MIGRATIONS
from support.processes import lines_until_killed
from support.sql_databases import computed_tables, fresh_url, tables_of
from support.sql_tables import read_log

from eventstore import EventStore
from projections import ProjectionRunner
from projections.sql import SqlCopy, SqlStorage

if TYPE_CHECKING:
    from pathlib import Path

FEW = [100, 30]
SOME = [300, 300, 60]
MANY = [20_000, *[300] * 30]
"""Transactions that each process commits before it is killed."""


async def check_log(url: str) -> int:
    async with EventStore.open(url) as store:
        report = await store.verify()
        assert report.findings == ()
        return report.cursor.position


async def copy_tables(url: str, copy: str) -> None:
    async with EventStore.open(url) as store:
        await ProjectionRunner(store, SqlCopy(copy)).catch_up()


@pytest.mark.promise("sql")
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(FEW, id="few"),
        pytest.param(SOME, id="some", marks=pytest.mark.slow),
        pytest.param(MANY, id="many", marks=pytest.mark.soak),
    ],
)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_killed_again_and_again_log_and_tables_agree(
    kind: str, rounds: list[int], tmp_path: Path
) -> None:
    url = fresh_url(kind, tmp_path)
    with SqlStorage(url) as storage:
        storage.apply_migrations(MIGRATIONS)
    transactions = 0
    for count in rounds:
        printed = [line.split() for line in lines_until_killed(count, "sql_work", url)]
        transactions += len(printed)
        with SqlStorage(url) as storage, storage.connection() as c:
            for table in ("fact", "task", "move"):
                found = {row[0] for row in c.execute(f"SELECT uid FROM {table}")}
                assert {uid for name, uid in printed if name == table} <= found
            assert c.execute("SELECT sum(cents) FROM account").fetchone()[0] == 400_000
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
    print(f"{kind}: {transactions} printed, {len(rows)} events, head {head}, "
          f"rebuilt in {took:.1f} s, checked in {time.perf_counter() - begun:.1f} s")  # fmt: skip
