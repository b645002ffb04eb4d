from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.recorded_spans import spans

from eventstore import EventStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.recorded_spans import Recorded

__all__ = ["spans"]


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio: what is current is kept by context variables, which both loops have."""
    return "asyncio"


@pytest.fixture
async def store(url: str, spans: Recorded) -> AsyncIterator[EventStore]:
    """Give an open store on a SQLite file."""
    async with EventStore.open(url) as store:
        yield store
