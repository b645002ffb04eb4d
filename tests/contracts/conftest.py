"""Every test of this directory runs on every backend, on every event loop, and in threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.logs import LOG_URLS, some
from support.served import serving_log
from support.threaded import ThreadedStore

from eventstore import EventStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from eventstore.testing import FakeClock


RUNNERS = ("asyncio", "trio", "threads")
"""What runs the tests: an event loop, or blocking calls in threads, which asyncio waits for."""


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run each asynchronous test on both event loops, and with the blocking store in threads."""
    if request.param == "threads":
        monkeypatch.setattr(request.module, "EventStore", ThreadedStore, raising=False)
    return str(request.param)


@pytest.fixture
def anyio_backend(runner: str) -> str:
    """Return the event loop of a runner."""
    return "asyncio" if runner == "threads" else runner


NOT_SERVED = {
    "backend": "query_is_of_one_moment",
    "beside": "query transact transaction",
    "clock_set_ahead": "time_that_no_event trim_by_time",
    "consumer_life": "holds_back_neither below_the_first_position",
    "damaged_exports": "",
    "export": "",
    "inline": "",
    "opening": "not_there",
    "queries": "",
    "redact": "",
    "strange_values": "head_that_no_log missing_twice first_findings",
    "trim": "",
    "upcasting": "inline",
    "upcasting_errors": "inline",
    "verify": "",
    "whole_and_trimmed": "",
}
"""Contracts that no server offers, by module, and words of the tests' names; empty for all.

They are about the log's database: its tables, its file, its clock, and where a log begins. What
their calls raise on a store by URL is tested in tests/remote/test_refusals.py.
"""


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[str]:
    """Name a log that is not there yet; with ``http`` one in memory, behind a server."""
    if request.param != "http":
        yield LOG_URLS[request.param](tmp_path)
        return
    with serving_log("memory://", with_token=False, clock=clock) as served:
        yield served.url


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the logs of a test, and run what asks for an open store on a trimmed log, too.

    A test of an empty log, or of a first trim, is marked ``from_one`` and runs on a whole log
    alone, as does one whose result no event of the log can change (``any_past``). The runs on a
    trimmed one are left to the slow lane, with asyncio, on SQLite and on PostgreSQL.
    """
    if "url" in metafunc.fixturenames:
        logs = [*sorted(LOG_URLS), *(["http"] if _is_served(metafunc) else [])]
        metafunc.parametrize("url", logs, indirect=True)
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    if "past" in metafunc.fixturenames and not marks & {"from_one", "any_past"}:
        metafunc.parametrize("past", ["whole", "trimmed"], indirect=True)


def _is_served(metafunc: pytest.Metafunc) -> bool:
    module = metafunc.module.__name__.rpartition(".test_")[2]
    words = NOT_SERVED.get(module)
    return words is None or (
        words != "" and not any(word in metafunc.function.__name__ for word in words.split())
    )


@pytest.fixture
def past(request: pytest.FixtureRequest) -> str:
    """Say what the log was before a test: ``whole``, so that it is empty, or ``trimmed``."""
    return str(getattr(request, "param", "whole"))


@pytest.fixture
async def store(
    runner: str, url: str, clock: FakeClock, past: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[EventStore]:
    """Give an open store on an empty log, or on one of which two trims have left the notice."""
    kind: Any = ThreadedStore if runner == "threads" else EventStore
    async with kind.open(url, clock=clock) as store:
        for number in range(2 if past == "trimmed" else 0):
            await store.append("past/1", some(5))
            before = (await store.head()).position + 1
            archive = tmp_path_factory.mktemp("archives") / f"{number}.export"
            await store.trim(before, archive=archive)
        yield store


@pytest.fixture
async def start(store: EventStore) -> int:
    """Return the position at which the log ends before a test: 0 for a whole one."""
    return (await store.head()).position
