"""A log, and another database for followed projections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.logs import LOG_URLS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """Name the kind of database that log and projection live in."""
    return str(request.param)


@pytest.fixture
def log(kind: str, tmp_path: Path) -> str:
    """Name a log that does not exist yet."""
    return LOG_URLS[kind](tmp_path)


@pytest.fixture
def target(kind: str, tmp_path: Path) -> str:
    """Name the database of a followed projection, another one than the log's."""
    folder = tmp_path / "target"
    folder.mkdir()
    return LOG_URLS[kind](folder)
