"""What the stateful tests of asynchronous seams share: one thread's loop, restarts, rebuilds."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from anyio.from_thread import start_blocking_portal
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from eventstore import EventStore
from projections import ProjectionRunner
from projections.testing.scenarios import in_order, read_rows
from support.logs import LOG_URLS

if TYPE_CHECKING:
    from collections.abc import Callable

    from projections import TableProjection


def make_folder(path: Path) -> Path:
    """Return a directory that is made."""
    path.mkdir()
    return path


class SeamModel(RuleBasedStateMachine):
    """Calls a seam one call after the other; a subclass compares its answers with a dictionary."""

    backend: ClassVar[str] = "sqlite"
    seam: ClassVar[Callable[..., Any]]
    tables: ClassVar[type[TableProjection]]
    setup: ClassVar[str]
    """The name of the method that a program calls first."""

    def __init__(self) -> None:
        super().__init__()
        self._portal_context = start_blocking_portal()
        self._portal = self._portal_context.__enter__()
        self._directory = tempfile.TemporaryDirectory()
        self.url = LOG_URLS[self.backend](Path(self._directory.name))
        self.view = self.tables()
        self._trims = 0

    @initialize()
    def start(self) -> None:
        self.opened = type(self).seam(self.url, notify="none")
        self.call(self.setup)

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        """Return what a method of the seam gives, or raise what it raises."""

        async def run() -> Any:
            return await getattr(self.opened, method)(*args, **options)

        return self._portal.call(run)

    @rule()
    def restart(self) -> None:
        self.call("close")
        self.start()

    @rule()
    def rebuild(self) -> None:
        async def run() -> None:
            view = self.tables().at(self.url)
            async with EventStore.open(self.url, notify="none") as store:
                await ProjectionRunner(store, view).rebuild()

        self.call("close")
        self._portal.call(run)
        self.start()

    @rule(share=st.floats(0.1, 1))
    def trim(self, share: float) -> None:
        """Trim the log, and compute the tables from nothing: in another database, they are equal.

        Those in the log are at the head, and are left as they are or computed again at the next
        start: the calls that follow show that.
        """
        self._trims += 1
        folder = Path(self._directory.name)

        async def run() -> None:
            async with EventStore.open(self.url, notify="none", inline=[self.tables()]) as store:
                before = await store.query(lambda connection, _: read_rows(connection, self.view))
                head = await store.head()
                lasting = head.position + 1 - head.first_position
                await store.trim(
                    head.first_position + round(share * lasting),
                    archive=folder / f"{self._trims}.export",
                )
                other = LOG_URLS[self.backend](make_folder(folder / f"other{self._trims}"))
                await ProjectionRunner(store, self.tables().at(other)).catch_up()
            async with EventStore.open(other, notify="none") as store:
                after = await store.query(lambda connection, _: read_rows(connection, self.view))
            for table, rows in before.items():
                assert in_order(after[table]) == in_order(rows)

        self.call("close")
        self._portal.call(run)
        self.start()

    def teardown(self) -> None:
        try:
            if hasattr(self, "opened"):
                self.call("close")
        finally:
            self._portal_context.__exit__(None, None, None)
            self._directory.cleanup()
