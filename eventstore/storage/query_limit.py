"""When a caller's query has to end: after a time, or with its cancelled caller."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from eventstore.errors import QueryTimeoutError
from eventstore.system.event_loop import check_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

T = TypeVar("T")

GRACE_SECONDS: Final = 1.0
"""How much longer a server may take: it is asked to end the statement before it does so itself."""


class QueryLimit:
    """The limit of one query. :meth:`is_over` is called in its thread while a statement runs.

    ``where`` names the log. The time, ``seconds``, begins with this object. ``check_cancelled``
    raises in the thread of a query whose caller is cancelled.
    """

    def __init__(
        self, where: str, seconds: float, check_cancelled: Callable[[], None] = check_cancelled
    ) -> None:
        self._where = where
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._check_cancelled = check_cancelled
        self._ended = False
        self._reason: BaseException | None = None

    @property
    def left(self) -> float:
        """The seconds that are left, at least a thousandth."""
        return max(0.001, self._until - time.monotonic())

    @property
    def interrupted(self) -> bool:
        """Whether a statement was told to end."""
        return self._reason is not None

    def end(self) -> None:
        """End the query at its next statement or step of one; called from any thread."""
        self._ended = True

    def is_over(self) -> bool:
        """Whether the statement has to end now."""
        try:
            if time.monotonic() >= self._until:
                self._reason = self.timeout()
            elif self._ended:
                self._reason = QueryTimeoutError(self._where, self._seconds, "its caller has gone")
            else:
                self._check_cancelled()
        except BaseException as error:  # A driver would swallow it, KeyboardInterrupt too.
            self._reason = error
        return self.interrupted

    @contextmanager
    def between_statements(self, connection: Connection) -> Iterator[None]:
        """Begin no statement of the block once the query has to end.

        A driver looks only during long ones.
        """
        from sqlalchemy import event  # noqa: PLC0415 - most of what opens a log asks no queries

        def check(*_: object) -> None:
            # SQLAlchemy drops a connection for any other than an ordinary exception, and with the
            # connection of a log in memory the log. ``translate`` gives the reason itself.
            if self.is_over():
                raise QueryTimeoutError(self._where, self._seconds, "it was told to end")

        event.listen(connection, "before_cursor_execute", check)
        try:
            yield
        finally:
            event.remove(connection, "before_cursor_execute", check)

    def within(self, query: Callable[[], T]) -> T:
        """Return what a query returns; raise why it was ended where it was."""
        try:
            result = query()
        except BaseException as error:
            reason = self.translate(error)
            if reason is error:
                raise
            raise reason from error
        if self.interrupted:  # A function has gone on without the statement that was ended.
            raise self.timeout()
        return result

    def timeout(self) -> QueryTimeoutError:
        """Return the error of a query that has taken too long."""
        return QueryTimeoutError(self._where, self._seconds)

    def translate(self, error: BaseException) -> BaseException:
        """Return what to raise for an error of the query."""
        if self._reason is not None:
            return self._reason
        late = getattr(error, "timed_out", False) and time.monotonic() >= self._until
        return self.timeout() if late else error
