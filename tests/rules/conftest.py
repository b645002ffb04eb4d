"""What tests of the master and of the rule store share: a log, a clock, a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.logs import LOG_URLS

from eventstore import EventStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.logs import FakeClock


@pytest.fixture(params=["memory", "postgresql"])
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name an empty log of each kind; one in a file differs from memory in its name only."""
    return LOG_URLS[request.param](tmp_path)


@pytest.fixture
async def store(log_url: str, clock: FakeClock) -> AsyncIterator[EventStore]:
    """Give an open store on an empty log of each kind."""
    async with EventStore.open(log_url, clock=clock) as store:
        yield store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give an empty directory for rules."""
    root = tmp_path / "rules"
    root.mkdir()
    return root
