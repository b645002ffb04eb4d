"""Every test that takes a journal runs on every backend, and on both event loops where cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.pairs import anyio_backend, clock, lasting_pair, lasting_url, pair, url

from projections.journal import Journal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.logs import FakeClock

__all__ = ["anyio_backend", "clock", "lasting_pair", "lasting_url", "pair", "url"]


@pytest.fixture
async def journal(url: str, clock: FakeClock) -> AsyncIterator[Journal]:
    """Give an open journal on an empty log."""
    async with Journal(url, by="tests", notify="none", clock=clock) as journal:
        yield journal
