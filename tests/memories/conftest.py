"""Every place where memories may be kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.memories import KINDS, LASTING, Place

from projections.seams.background_loop import close_background_loop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from projections.memories import MemoryStore


@pytest.fixture(autouse=True)
def background() -> Iterator[None]:
    """Close what a test has left open."""
    yield
    close_background_loop()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Name a place that is empty."""
    return Place(request.param, tmp_path)


@pytest.fixture(params=LASTING)
def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Name a place that can be opened again."""
    return Place(request.param, tmp_path)


@pytest.fixture
def files(tmp_path: Path) -> Place:
    """Name a place with a directory."""
    return Place("files", tmp_path)


@pytest.fixture
def memories(place: Place) -> Iterator[MemoryStore]:
    """Give an open store without memories."""
    with place.open() as store:
        yield store
