"""What tests of the master and of the rule store share: a log, a clock, a directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from support.logs import LOG_URLS
from support.projected_rules import Master, a_master

from eventstore import EventStore
from projections.rules import RuleSync

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.master import Sync

    from eventstore.testing import FakeClock
    from projections.rules import SyncReport

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


@pytest.fixture
def sync(store: EventStore, root: Path) -> Sync:
    """Look at the root once, as a master that has just been started."""

    async def look(**settings: Any) -> SyncReport:
        return await RuleSync(store, root, **{"source": "test"} | settings).sync_once()

    return look


@pytest.fixture
def watched_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the watched place more often than a server needs to."""
    monkeypatch.setattr("eventstore.system.directory_watch.RETRY_SECONDS", 0.05)
    monkeypatch.setattr("eventstore.system.directory_watch.CHECK_MS", 50)


@pytest.fixture
async def master(tmp_path: Path) -> AsyncIterator[Master]:
    """Give a master without rules."""
    async with a_master(tmp_path) as master:
        yield master
