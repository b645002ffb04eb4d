"""A short read of a SQLite file waits for nothing: what would is left to a thread."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from eventstore.errors import FileChangedError
from eventstore.storage.sqlite._brief_reads import BriefReads
from projections.registry import Registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.promise("registry")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with Registry(f"sqlite:///{tmp_path}/bots.db") as found:
        await found.register("a", {"n": 1})
        yield found


def look(registry: Registry, sql: str = "SELECT key FROM bot") -> Any:
    return registry.log._backend.look_briefly("registry", [(sql, [])])


async def test_it_reads_the_rows_with_head_and_checkpoint(registry: Registry) -> None:
    found = look(registry)
    head = (await registry.log.head()).cursor
    assert (found.rows, found.head, found.position) == ([[("a",)]], head, head.position)


async def test_a_long_statement_is_given_up_and_answered_by_a_thread(registry: Registry) -> None:
    long = (
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) "
        "SELECT count(*) FROM n"
    )
    assert look(registry, long) is None
    found = await registry.log.queries.look(
        "registry", [(long, [])], lambda rows: rows.rows, brief=True
    )
    assert found == [[(100_000,)]]
    assert look(registry) is not None


async def test_a_short_statement_is_never_given_up_however_often_it_is_asked(
    registry: Registry,
) -> None:
    some = (
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) "
        "SELECT count(*) FROM n"
    )
    assert [look(registry, some).rows for _ in range(60)] == [[[(500,)]]] * 60


async def test_a_statement_that_was_given_up_is_compiled_once_again_and_not_at_each_call(
    registry: Registry,
) -> None:
    rows = (
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        "SELECT count(*) FROM n"
    )
    backend: Any = registry.log._backend
    assert backend.look_briefly("registry", [(rows, [100_000])]) is None
    compiled: list[int] = []
    assert backend.look_briefly("registry", [(rows, [10])]) is not None

    def note(*_: object) -> int:
        compiled.append(1)
        return sqlite3.SQLITE_OK

    backend._brief._driver._raw.set_authorizer(note)
    assert backend.look_briefly("registry", [(rows, [10])]) is not None
    known = len(compiled)
    assert backend.look_briefly("registry", [(rows, [10])]) is not None
    assert len(compiled) == known


async def test_a_lock_is_not_waited_for(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "bots.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert look(registry).rows == [[("a",)]]
        writer.execute("ROLLBACK")
    await registry.close()
    reads = BriefReads(path, lambda: None)
    with closing(sqlite3.connect(path, isolation_level=None)) as alone:
        alone.execute("PRAGMA locking_mode=EXCLUSIVE")
        alone.execute("BEGIN IMMEDIATE")
        assert reads.look("registry", [("SELECT key FROM bot", [])]) is None
    found = reads.look("registry", [("SELECT key FROM bot", [])])
    assert found is not None
    assert found.rows == [[("a",)]]
    reads.close()


async def test_other_tasks_run_beside_a_task_that_reads_without_a_pause(registry: Registry) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        reads = 0
        while turns < 3:
            await registry.get_config("a")
            reads += 1
            assert reads < 50_000
        tasks.cancel_scope.cancel()


async def test_it_writes_nothing(registry: Registry) -> None:
    assert look(registry, "DELETE FROM bot RETURNING key") is None
    assert look(registry).rows == [[("a",)]]


async def test_it_sees_that_the_file_was_replaced(registry: Registry, tmp_path: Path) -> None:
    assert look(registry) is not None
    path = tmp_path / "bots.db"
    path.rename(tmp_path / "moved.db")
    with pytest.raises(FileChangedError):
        await registry.get("a")
    (tmp_path / "moved.db").rename(path)
    assert (await registry.get_config("a")) == {"n": 1}


async def test_a_closed_store_reads_nothing(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/bots.db")
    await registry.initialize()
    backend: Any = registry.log._backend
    assert backend.look_briefly("registry", [("SELECT key FROM bot", [])]) is not None
    await registry.close()
    assert backend.look_briefly("registry", [("SELECT key FROM bot", [])]) is None
