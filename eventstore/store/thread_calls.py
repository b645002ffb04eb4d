"""What threads do with a store that an event loop has opened: they append, and ask its views.

A call is carried out in the thread that makes it, as by :class:`eventstore.sync.EventStore`: it
does not cross to the event loop and back, and does not wait for what that is busy with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from eventstore.log.events import ANY, StreamWrite
from eventstore.log.operations import Transact
from eventstore.log.validation import check_append

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eventstore.log.events import Appended, Expected, NewEvent
    from eventstore.log.operations import Head
    from eventstore.storage.driver import Query as Statement
    from eventstore.storage.driver import ViewRows
    from eventstore.store._log_access import LogAccess
    from eventstore.store._queries import Queries
    from eventstore.store._writer import Writer

T = TypeVar("T")


class ThreadCalls:
    """The calls of any thread. They raise StoreClosedError, ForkedError and StorageError."""

    def __init__(self, log: LogAccess, writer: Writer, queries: Queries) -> None:
        self._log = log
        self._writer = writer
        self._queries = queries

    def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: Expected = ANY
    ) -> Appended:
        """Append events to one stream; see :meth:`eventstore.EventStore.append`."""
        self._log.check_thread()
        return self._log.append_here(check_append([StreamWrite(stream, events, expected)]))

    def look(self, view: str, queries: Sequence[Statement], *, brief: bool = False) -> ViewRows:
        """Return the rows of queries on an inline projection's tables, all of one snapshot.

        They are ``brief`` where little is expected.
        """
        return self._queries.look_here(view, queries, brief=brief)

    def bring_up(self) -> None:
        """Bring the inline projections to the head."""
        self.transact(_do_nothing)

    def head(self) -> Head:
        """Return where the log begins and ends."""
        self._log.check_thread()
        return self._log.backend.head()

    def query(self, function: Callable[[Any, Head], T]) -> T:
        """Return ``function(connection, head)``; see :meth:`eventstore.EventStore.query`."""
        return self._queries.run_here(function)

    def transact(self, function: Callable[[Any], None]) -> None:
        """Call ``function(connection)``; see :meth:`eventstore.EventStore.transact`."""
        self._log.check_thread()
        self._writer.perform(Transact(function))


def _do_nothing(_connection: Any) -> None:
    """Change nothing: the projections have been brought up before this is called."""
