"""Servers of logs in memory, for stores by URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.served import Served, serving_log

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio: the contracts run on trio too."""
    return "asyncio"


@pytest.fixture
def served() -> Iterator[Served]:
    with serving_log("memory://") as served:
        yield served
