"""The pytest plugin: a store per test, and a clock. It imports nothing until a test asks for it.

Which databases the stores are on is said by the ini option ``event_stores``, or on the command line
by ``--event-store``, once for each: ``memory`` (the default), ``sqlite``, or the URL of a
PostgreSQL database, in which each test has a schema of its own. A test that asks for a store is run
on each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from eventstore import EventStore
    from eventstore.sync import EventStore as BlockingStore
    from eventstore.testing.clock import FakeClock


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what says on which databases tests run."""
    text = "memory, sqlite, or the URL of a PostgreSQL database: where the stores of tests are"
    parser.addini("event_stores", text, type="args", default=["memory"])
    group = parser.getgroup("eventstore")
    group.addoption("--event-store", action="append", metavar="DATABASE", help=text)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for a store on each database, unless it says on which itself."""
    name = "event_store_database"
    marks = metafunc.definition.iter_markers("parametrize")
    chosen = any(name in str(mark.args[0]).split(",") for mark in marks if mark.args)
    if name not in metafunc.fixturenames or chosen:
        return
    given = metafunc.config.getoption("event_store") or metafunc.config.getini("event_stores")
    # A URL may hold a password, and ids are printed.
    ids = ["postgresql" if "://" in database else database for database in given]
    metafunc.parametrize(name, given, ids=ids)


@pytest.fixture
def event_clock() -> FakeClock:
    """Give a clock that stands still until the test moves it; it is that of the test's store."""
    from eventstore.testing.clock import FakeClock

    return FakeClock()


@pytest.fixture
def event_store_url(event_store_database: str, tmp_path: Path) -> Iterator[str]:
    """Name a log that is not there yet; of PostgreSQL it is removed after the test."""
    from eventstore.testing.databases import fresh_log

    with fresh_log(event_store_database, tmp_path) as url:
        yield url


@pytest.fixture
def event_store_options() -> dict[str, Any]:
    """Give further arguments of ``EventStore.open``, such as ``inline``: override it for them."""
    return {}


@pytest.fixture
async def event_store(
    event_store_url: str, event_clock: FakeClock, event_store_options: dict[str, Any]
) -> AsyncIterator[EventStore]:
    """Give an open store on an empty log, to a test that is marked ``anyio``."""
    from eventstore import EventStore

    options = {"clock": event_clock, "notify": "none", **event_store_options}
    async with EventStore.open(event_store_url, **options) as store:
        yield store


@pytest.fixture
def blocking_event_store(
    event_store_url: str, event_clock: FakeClock, event_store_options: dict[str, Any]
) -> Iterator[BlockingStore]:
    """Give an open blocking store on an empty log, to a test that is a plain function."""
    from eventstore.sync import EventStore

    options = {"clock": event_clock, "notify": "none", **event_store_options}
    with EventStore.open(event_store_url, **options) as store:
        yield store
