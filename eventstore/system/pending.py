"""The outcome of work that another thread does, for a thread or an event loop that waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Pending(Generic[T]):
    """An outcome to come. Lighter than a future: one thread settles it, one caller waits.

    ``complete`` and ``fail`` give it an outcome; the callback runs where :meth:`tell` is called.
    """

    __slots__ = ("_error", "_value", "cancelled", "on_settled", "settled")

    def __init__(self) -> None:
        self.settled = False
        """Whether there is an outcome."""
        self.cancelled = False
        """Whether the caller has cancelled, which has an effect only before the work begins."""
        self.on_settled: Callable[[], Any] | None = None
        """What :meth:`tell` calls."""
        self._value: Any = None
        self._error: BaseException | None = None

    def complete(self, value: T) -> None:
        """Give it a result."""
        self._value = value
        self.settled = True

    def fail(self, error: BaseException) -> None:
        """Give it an error, which its caller raises."""
        self._error = error
        self.settled = True

    def tell(self) -> None:
        """Call the callback, where there is one; called once, after it was settled."""
        if self.on_settled is not None:
            self.on_settled()

    def cancel(self) -> None:
        """Give up waiting."""
        self.cancelled = True

    def result(self) -> T:
        """Return the result, or raise the error, of one that is settled."""
        if self._error is not None:
            raise self._error
        value: T = self._value
        return value
