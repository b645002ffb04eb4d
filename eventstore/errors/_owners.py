"""Errors of objects that are closed, or used outside of where they were opened."""

from __future__ import annotations

from eventstore.errors._root import EventStoreError


class StoreClosedError(EventStoreError):
    """The store or subscription is not open, or no longer."""


class WrongLoopError(EventStoreError):
    """An object was used outside the event loop that opened it; nothing was done.

    ``what`` names it. It belongs to the tasks of one event loop, also once that loop has ended.
    """

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} belongs to the event loop that opened it, and was used in another loop or "
            "thread, or after that loop ended: open one in each event loop, or call it from a "
            "thread by anyio.from_thread.run"
        )
        self.what = what


class ForkedError(StoreClosedError):
    """An object was used in a forked child of the process that opened it; nothing was done.

    ``what`` names it. The parent goes on using it.
    """

    def __init__(self, what: str, advice: str = "open it in the child, after the fork") -> None:
        super().__init__(
            f"{what} was opened before this process was forked, and belongs to the parent process: "
            f"{advice}"
        )
        self.what = what
