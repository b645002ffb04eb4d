"""The fixtures of the pytest plugin, on each database."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.totals import Totals, append_numbers, counts

from eventstore import ConfigError, EventStore, NewEvent
from eventstore.testing import START_US, FakeClock
from eventstore.testing.databases import fresh_log

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import Server

    from eventstore.sync import EventStore as BlockingStore


@pytest.fixture
def event_store_options() -> dict[str, Any]:
    """Give what the stores of this module are opened with."""
    return {"inline": [Totals()]}


@pytest.mark.anyio
@pytest.mark.parametrize("event_store_database", ["memory", "sqlite"])
async def test_a_test_has_a_store_of_its_own_with_a_clock_and_options(
    event_store: EventStore, event_clock: FakeClock, event_store_database: str
) -> None:
    assert event_store.url.partition(":")[0] == event_store_database
    event_clock.advance(timedelta(days=1))
    totals = await append_numbers(event_store, 5)
    rows = await event_store.query(lambda connection, _: connection.execute(counts.select()).all())
    assert dict(map(tuple, rows)) == totals
    assert {event.recorded_at async for event in event_store.read()} == {
        datetime.fromtimestamp(START_US / 1e6, UTC) + timedelta(days=1)
    }


def test_a_plain_function_has_a_blocking_store(
    blocking_event_store: BlockingStore, event_clock: FakeClock
) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    event_clock.set(moment)
    blocking_event_store.append("a/1", [NewEvent("Counted", 1)])
    assert [event.recorded_at for event in blocking_event_store.read()] == [moment]


def _schemas(postgres: Server) -> set[str]:
    rows = postgres.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'test\\_%'")
    return {name for (name,) in rows}


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_on_postgresql_a_log_has_a_schema_that_is_dropped(
    postgres: Server, tmp_path: Path
) -> None:
    before = _schemas(postgres)
    given = f"{postgres.url()}?options=-cstatement_timeout%3D60000"
    with fresh_log(given, tmp_path) as first, fresh_log(given, tmp_path) as second:
        for url in (first, second):
            async with EventStore.open(url, notify="none") as store:
                assert (await store.append("a/1", [NewEvent("Counted", 1)])).position == 1
        assert len(_schemas(postgres) - before) == 2
    assert _schemas(postgres) == before


def test_an_unknown_database_is_refused_without_its_password(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="is no database for tests") as caught,
        fresh_log("mysql://ana:secret@host/db", tmp_path),
    ):
        pass
    assert "secret" not in str(caught.value)


def test_the_plugin_imports_nothing_until_a_test_asks_for_it() -> None:
    code = "import sys, eventstore.testing.plugin; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {name for name in run.stdout.split() if name.startswith(("eventstore.", "projections"))}
    parts = {name.split(".")[1] for name in ours}
    assert parts <= {"testing", "errors", "picklable", "system"}
    assert not {"sqlalchemy", "msgspec", "hypothesis", "anyio"} & set(run.stdout.split())
