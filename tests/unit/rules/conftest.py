"""A directory for rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give an empty directory for rules."""
    root = tmp_path / "rules"
    root.mkdir()
    return root
