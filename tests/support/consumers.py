"""What the log remembers of a consumer, and what its earlier owner can do no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from eventstore import EventStore, EventStoreError, Subscription
    from eventstore.log.operations import ConsumerState


async def stored(store: EventStore, name: str = "w") -> ConsumerState:
    """Return what the log remembers of a consumer."""
    return next(state for state in await store.consumers() if state.name == name)


async def assert_lost(subscription: Subscription, error: type[EventStoreError]) -> None:
    """Check that each acknowledgement to be stored is refused; then close the subscription."""
    for _ in range(2):
        with pytest.raises(error):
            await subscription.ack(flush=True)
    await subscription.ack()
    await subscription.aclose()
