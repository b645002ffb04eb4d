"""A log in a real file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a database file that is not there yet."""
    return tmp_path / "events.db"


@pytest.fixture
def url(path: Path) -> str:
    """Name the same file as a URL."""
    return f"sqlite:///{path}"
