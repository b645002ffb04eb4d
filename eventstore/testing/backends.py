"""What every backend promises: a suite for those who write one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from eventstore import EventStore
from eventstore.testing._backend_appends import AppendContract
from eventstore.testing._backend_reads import ReadContract, RepeatContract

if TYPE_CHECKING:
    from eventstore.testing._backend_parts import OpenStore


class BackendContract(AppendContract, RepeatContract, ReadContract):
    """Subclass it as ``class TestMine(BackendContract)``, with a fixture ``event_store_url``.

    The fixture names a log that is not there yet, each time another one. The tests use the fixtures
    of the pytest plugin, so ``event_store_options`` may be overridden as well. They are marked
    ``anyio``: override ``anyio_backend`` to run them on one event loop.
    """

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def open_event_store(self) -> OpenStore:
        """Give what opens another store on a log."""
        return EventStore.open

    @pytest.fixture
    def lasting_event_store_url(self, event_store_url: str) -> str:
        """Name a log that is there also when no store is open, and for other processes.

        To be overridden by a ``pytest.skip`` where the backend has none.
        """
        return event_store_url

    @pytest.fixture
    async def start(self, event_store: EventStore) -> int:
        """Return the position at which the log ends before a test."""
        return (await event_store.head()).position
