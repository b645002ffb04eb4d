"""``with`` and ``async with`` for what is opened and closed: written once, for every such class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from eventstore.errors import ForkedError
from eventstore.system.owners import Unpicklable

if TYPE_CHECKING:
    from typing import Self


class AsyncContext(Unpicklable, ABC):
    """Base of what ``async with`` opens, and closes at the end of the block, errors included."""

    @abstractmethod
    async def _enter(self) -> None:
        """Open it."""

    @abstractmethod
    async def _leave(self) -> None:
        """Close it."""

    async def __aenter__(self) -> Self:
        await self._enter()
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            await self._leave()
        except ForkedError:
            # In a forked child there is nothing to close, and the block's own error says more.
            if error is None:
                raise


class ClosingContext(Unpicklable, ABC):
    """Base of what ``with`` closes at the end of the block, errors included."""

    @abstractmethod
    def close(self) -> None:
        """Close it."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            self.close()
        except ForkedError:
            if error is None:
                raise


class BlockingContext(ClosingContext):
    """Base of what ``with`` opens, and closes at the end of the block, errors included."""

    @abstractmethod
    def open(self) -> Self:
        """Open it now rather than at the first use."""

    def __enter__(self) -> Self:
        return self.open()
