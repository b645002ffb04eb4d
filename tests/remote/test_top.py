"""``top`` on a log behind a server draws the same report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.screens import drawn, screen_of, shown

from eventstore import EventStore, NewEvent

if TYPE_CHECKING:
    from support.served import Served

pytestmark = pytest.mark.anyio


async def test_the_screen_of_a_log_behind_a_server_shows_no_token(served: Served) -> None:
    async with EventStore.open(served.new_url("only-for-this", "read", "append", "ack")) as store:
        await store.append("order/1", [NewEvent("Placed", number) for number in range(3)])
        async with store.subscribe_changes(consumer="billing", follow=False) as changes:
            read = [event async for event in changes]
        async with shown(screen_of(store)) as pilot:
            screen = drawn(pilot.app)
    assert f"position {read[-1].position}" in " ".join(screen.split())
    assert f"consumer billing: position {read[-1].position}, up to date" in screen
    assert store.url in screen
    assert "@" not in store.url or "***@" in store.url
