"""The screen of ``top``, drawn in memory and driven by textual's pilot."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from eventstore.cli.status_report import read_report
from eventstore.cli.top_screen import TopScreen
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from textual.app import App
    from textual.pilot import Pilot

    from eventstore import EventStore
    from eventstore.cli.top_panels import Rates


def screen_of(store: EventStore, rates: Rates | None = None) -> TopScreen:
    read = partial(read_report, store, within=30.0, limit=100, among=1_000)
    return TopScreen(store.url, read, 3_600.0, rates)


def drawn(screen: App[Any]) -> str:
    """Return what stands on the screen, line by line."""
    return "\n".join(strip.text for strip in screen.screen._compositor.render_strips())


@asynccontextmanager
async def shown(screen: TopScreen) -> AsyncIterator[Pilot[None]]:
    """Draw a screen for the block, once it has looked at the log."""
    async with screen.run_test(size=(160, 60)) as pilot:
        await until(lambda: screen.looks)
        await pilot.pause()
        yield pilot


async def look(screen: TopScreen, pilot: Pilot[None]) -> str:
    """Have a screen look again; return what stands there then."""
    looks = screen.looks
    await pilot.press("r")
    await until(lambda: screen.looks > looks)
    await pilot.pause()
    return drawn(screen)
