"""Appends with an inline view on PostgreSQL: in how many exchanges, and beside other programs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from support.memories import some as memory
from support.totals import read_table

from eventstore import EventStore, NewEvent
from eventstore.storage.postgres._driver import PostgresDriver
from projections.memories import MemoryTables
from projections.memories.events import MEMORY_STORED, encode_memory
from projections.memories.tables import memory_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres import Server

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List what is sent to the server and waited for: a statement, or several together."""
    sent: list[str] = []
    pipeline, send = PostgresDriver._pipeline, PostgresDriver._send
    together = False

    @contextmanager
    def noted_pipeline(self: PostgresDriver) -> Iterator[None]:
        nonlocal together
        sent.append("several")
        together = True
        try:
            with pipeline(self):
                yield
        finally:
            together = False

    def noted_send(self: PostgresDriver, sql: str, parameters: Any) -> Any:
        if not together:
            sent.append(sql)
        return send(self, sql, parameters)

    monkeypatch.setattr(PostgresDriver, "_pipeline", noted_pipeline)
    monkeypatch.setattr(PostgresDriver, "_send", noted_send)
    return sent


def stored(memory_id: str, content: str = "x") -> tuple[str, list[NewEvent]]:
    data = encode_memory(memory(memory_id, content))
    return f"memory/{memory_id}", [NewEvent(MEMORY_STORED, data)]


async def test_an_append_with_a_view_that_knows_its_statements_takes_two_exchanges(
    postgres: Server, exchanges: list[str]
) -> None:
    url = postgres.fresh_schema()
    async with EventStore.open(url, inline=[MemoryTables()], notify="none") as store:
        for memory_id in ("m-1", "m-2"):
            await store.append(*stored(memory_id))
        for memory_id in ("m-1", "m-2", "m-3"):  # Known streams, and a new one.
            exchanges.clear()
            await store.append(*stored(memory_id, "newer"))
            assert len(exchanges) == 2, exchanges
    assert {str(row[-3]).count("newer") for row in read_table(url, memory_table)} == {1}


async def test_a_view_that_another_program_left_behind_is_brought_up(postgres: Server) -> None:
    url = postgres.fresh_schema()
    async with (
        EventStore.open(url, inline=[MemoryTables()], notify="none") as store,
        EventStore.open(url, notify="none") as stranger,
    ):
        await store.append(*stored("m-1"))
        for number in range(3):
            await stranger.append(*stored("m-1", f"stranger {number}"))
            await stranger.append(*stored(f"n-{number}"))
            await store.append(*stored(f"k-{number}"))
        found = {str(row[0]): row for row in read_table(url, memory_table)}
    assert sorted(found) == ["k-0", "k-1", "k-2", "m-1", "n-0", "n-1", "n-2"]
    assert "stranger 2" in str(found["m-1"])
