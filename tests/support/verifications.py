"""A verification that has checked the first of four events, and waits until it is cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from eventstore.cli import integrity_routes

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


class Held:
    """Takes the place of what verifies a log."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(integrity_routes, "check_log", self._check)

    async def _check(
        self, _store: object, _anchor: object, progress: Callable[[int, int], None]
    ) -> None:
        progress(1, 4)
        await anyio.sleep_forever()
