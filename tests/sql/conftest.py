"""A storage, and a directory for the test's migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.sql_databases import fresh_url
from support.sql_tables import Migrations

from projections.sql import SqlStorage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """Name the database: the module's KIND; one whose tests run on several names them instead."""
    return str(getattr(request.module, "KIND", "sqlite"))


@pytest.fixture
def url(kind: str, tmp_path: Path) -> str:
    """Name a log that is not there yet."""
    return fresh_url(kind, tmp_path)


@pytest.fixture
def storage(url: str) -> Iterator[SqlStorage]:
    """Give an open storage without tables."""
    with SqlStorage(url) as storage:
        yield storage


@pytest.fixture
def migrations(tmp_path: Path) -> Migrations:
    """Give a directory to write migrations into."""
    return Migrations(tmp_path / "migrations")
