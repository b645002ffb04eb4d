"""A log of rule files, and a directory that follows it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from projections import DirectoryProjection
from support.rule_log import LOG_ID, RuleLog


@pytest.fixture
def log() -> RuleLog:
    """Return an empty log."""
    return RuleLog()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a path at which there is nothing yet."""
    return tmp_path / "live"


@pytest.fixture
def live(root: Path) -> Iterator[DirectoryProjection]:
    """Return an open projection that sets aside what it cannot apply."""
    projection = DirectoryProjection(root)
    projection.open(LOG_ID)
    yield projection
    projection.close()
