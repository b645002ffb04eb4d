"""Queries of a store's callers, and looks at the tables of inline projections."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from anyio.lowlevel import checkpoint

from eventstore.storage import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eventstore.log.operations import Head
    from eventstore.storage.driver import Driver, ViewRows
    from eventstore.storage.driver import Query as Statement
    from eventstore.storage.query_limit import QueryLimit

T = TypeVar("T")

TURN_SECONDS: Final = 0.001
"""How long one short look may follow the other before other tasks of the event loop run.

To let them run takes as long as SQLite needs for a row.
"""


class Looks(ABC):
    """What :class:`eventstore.storage.protocols.Backend` promises of queries and looks."""

    _turn_ends = 0.0

    def query(self, function: Callable[[Any, Head], T], limit: QueryLimit) -> T:
        """Return ``function(connection, head)`` from one snapshot, ended by ``limit``."""

        def ask(driver: Driver) -> T:
            head, connection = reading.read_head(driver), driver.connection
            with limit.between_statements(connection):
                return function(connection, head)

        return limit.within(partial(self._query, ask, limit))

    @abstractmethod
    def _query(self, function: Callable[[Driver], T], limit: QueryLimit) -> T:
        """Call ``function`` in a snapshot, on a connection for queries."""

    def look(self, view: str, queries: Sequence[Statement], limit: QueryLimit) -> ViewRows:
        """Return the rows of queries of this package's own, with head and checkpoint."""
        return limit.within(partial(self._look, lambda driver: driver.look(view, queries), limit))

    def look_briefly(
        self,
        view: str,  # noqa: ARG002
        queries: Sequence[Statement],  # noqa: ARG002
    ) -> ViewRows | None:
        """Return ``None``: the answer of a server is waited for."""
        return None

    async def look_in_loop(
        self,
        view: str,
        queries: Sequence[Statement],
        seconds: float,  # noqa: ARG002
    ) -> ViewRows | None:
        """Return what :meth:`look_briefly` returns; let other tasks run first, if it is time."""
        if time.monotonic() >= self._turn_ends:
            await checkpoint()
            self._turn_ends = time.monotonic() + TURN_SECONDS
        return self.look_briefly(view, queries)

    @abstractmethod
    def _look(self, function: Callable[[Driver], T], limit: QueryLimit) -> T:
        """Call ``function``, which changes no setting of the connection, in a snapshot."""
