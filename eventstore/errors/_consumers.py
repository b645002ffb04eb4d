"""Errors of consumers, sources and other things that have one owner at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.errors._root import EventStoreError

if TYPE_CHECKING:
    from collections.abc import Mapping


class TakenOverError(EventStoreError):
    """Another owner has opened this consumer, source or projection."""

    def __init__(self, name: str, owner: str) -> None:
        super().__init__(f"{name!r} was taken over by {owner}: only the newest opener goes on")
        self.name, self.owner = name, owner


class ConsumerRemovedError(TakenOverError):
    """A consumer was removed while it was open; what it has done since is not stored."""

    def __init__(self, name: str, owner: str) -> None:
        super().__init__(name, owner)
        self.args = (f"consumer {name!r} was removed: open it again to begin anew",)


class UnknownConsumerError(EventStoreError):
    """No consumer has this name; ``nearest`` is the known name that is most like it, or empty."""

    def __init__(self, name: str, nearest: str = "") -> None:
        hint = f"; the nearest known name is {nearest!r}" if nearest else ""
        super().__init__(f"consumer {name!r} is not known{hint}")
        self.name, self.nearest = name, nearest


class ChangeRejectedError(EventStoreError):
    """A consumer has rejected an event; ``reason`` is the consumer's own text."""

    def __init__(self, consumer: str, position: int, reason: str) -> None:
        super().__init__(f"consumer {consumer!r} rejected the event at {position}: {reason}")
        self.consumer, self.position, self.reason = consumer, position, reason


class NotAppliedError(EventStoreError, TimeoutError):
    """Some consumers or views have not done a change within the timeout.

    ``behind`` gives the position of each of them, None for one that the log does not know. A view's
    name has ``view`` before it.
    """

    def __init__(self, position: int, behind: Mapping[str, int | None], timeout: float) -> None:
        places = ", ".join(
            f"{name} is at {at}" if at is not None else f"{name} was never seen"
            for name, at in behind.items()
        )
        super().__init__(f"position {position} is not done after {timeout:g} s: {places}")
        self.position = position
        self.behind = dict(behind)
