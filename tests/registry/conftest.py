"""Every test that takes a registry runs on every backend, and on both event loops where cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.pairs import anyio_backend, clock, lasting_pair, lasting_url, pair, url

from projections.registry import Registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.logs import FakeClock

__all__ = ["anyio_backend", "clock", "lasting_pair", "lasting_url", "pair", "url"]


@pytest.fixture
async def registry(url: str, clock: FakeClock) -> AsyncIterator[Registry]:
    """Give an open registry on an empty log."""
    async with Registry(url, by="tests", notify="none", clock=clock) as registry:
        yield registry
