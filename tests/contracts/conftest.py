"""Every test of this directory runs on every backend, on every event loop, and in threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.logs import LOG_URLS
from support.threaded import ThreadedStore

from eventstore import EventStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.logs import FakeClock


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


@pytest.fixture(params=sorted(LOG_URLS))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name a log that is not there yet."""
    return LOG_URLS[request.param](tmp_path)


@pytest.fixture
async def store(runner: str, url: str, clock: FakeClock) -> AsyncIterator[EventStore]:
    """Give an open store on an empty log."""
    kind: Any = ThreadedStore if runner == "threads" else EventStore
    async with kind.open(url, clock=clock) as store:
        yield store
