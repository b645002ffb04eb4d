"""Every test of this directory runs on every backend and on every event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.logs import LOG_URLS

from eventstore import EventStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.logs import FakeClock


@pytest.fixture(params=sorted(LOG_URLS))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name a log that is not there yet."""
    return LOG_URLS[request.param](tmp_path)


@pytest.fixture
async def store(url: str, clock: FakeClock) -> AsyncIterator[EventStore]:
    """Give an open store on an empty log."""
    async with EventStore.open(url, clock=clock) as store:
        yield store
