"""What tests of the master and of the rule store share: a log, a clock, a directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from support.logs import LOG_URLS

from eventstore import EventStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.logs import FakeClock

SIGMA_HISTORY: Final = "EVENTSTORE_SIGMA_HISTORY"
"""Environment variable: a file with a history of Sigma rules, if there is one."""


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
def history() -> Path:
    """Name a history of Sigma rules, or skip where there is none on this machine."""
    path = os.environ.get(SIGMA_HISTORY)
    if not path:
        pytest.skip(f"{SIGMA_HISTORY} does not name a history of Sigma rules")
    return Path(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give an empty directory for rules."""
    root = tmp_path / "rules"
    root.mkdir()
    return root
