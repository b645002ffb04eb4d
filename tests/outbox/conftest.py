"""A log in memory: what an outbox needs of a log is what the contracts promise on every backend."""

from collections.abc import AsyncIterator

import pytest

from eventstore import EventStore


@pytest.fixture
async def store() -> AsyncIterator[EventStore]:
    async with EventStore.open("memory://") as store:
        yield store
