"""Delivering one event: attempts, pauses between them, and when it is given up."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio

from eventstore.errors import ConfigError, CorruptEventError, EventStoreError, InvalidInputError
from eventstore.log.events import Event
from eventstore.log.validation import check_seconds
from eventstore.system.backoff import Backoff
from eventstore.system.secret_text import conceal

if TYPE_CHECKING:
    from anyio import CapacityLimiter

log = logging.getLogger(__name__)

Deliver: TypeAlias = Callable[[Event], Awaitable[None]]
"""Delivers one event: returning means that it has arrived, raising that it has not."""

MOST_CHARACTERS: Final = 1_000
"""Characters of an error's text that a dead letter keeps."""


class UndeliverableError(EventStoreError):
    """Raised by a delivery: the event is given up at once, because no retry would help."""


class RetryLaterError(EventStoreError):
    """Raised by a delivery: the next attempt is made after ``seconds`` at the earliest."""

    def __init__(self, seconds: float, reason: str) -> None:
        super().__init__(reason)
        self.seconds = seconds


@dataclass(eq=False)
class Delivery:
    """Delivers events, each in a number of attempts, as :class:`eventstore.outbox.Outbox` says.

    Raises InvalidInputError for numbers that make no sense, and ConfigError for what is no
    function.
    """

    name: str
    function: Deliver
    _: KW_ONLY
    attempts: int
    concurrency: int
    timeout: float
    pauses: tuple[float, float]
    sleep: Callable[[float], Awaitable[None]]
    _slots: CapacityLimiter | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        for what, count in (("attempts", self.attempts), ("concurrency", self.concurrency)):
            if type(count) is not int or count < 1:
                raise InvalidInputError(f"{what}={count!r:.40}", "use an int from 1 on")
        for what, seconds in (
            ("timeout", self.timeout),
            ("first_pause", self.pauses[0]),
            ("longest_pause", self.pauses[1]),
        ):
            check_seconds(what, seconds, zero=what != "timeout")
        if not callable(self.function):
            raise ConfigError(f"outbox {self.name!r} needs an async function of one event")

    async def deliver(self, event: Event) -> str | None:
        """Deliver an event; return why it is given up, or None once it has arrived.

        ``concurrency`` attempts run at the same time; a pause between two takes no such place.
        """
        backoff = Backoff(*self.pauses)
        while True:
            try:
                await self._attempt(event)
            except (UndeliverableError, CorruptEventError) as error:
                return _text(error)
            except ConfigError:
                raise  # A fault of the program's own: no event is to blame for it.
            except Exception as error:
                pause = max(backoff.next(), getattr(error, "seconds", 0.0))
                if backoff.failures >= self.attempts:
                    return f"after {backoff.failures} attempts: {_text(error)}"
                log.info("outbox %r: event %d: %s", self.name, event.position, _text(error))
                await self.sleep(pause)
            else:
                return None

    async def _attempt(self, event: Event) -> None:
        if self._slots is None:
            self._slots = anyio.CapacityLimiter(self.concurrency)
        async with self._slots:
            with anyio.fail_after(self.timeout):
                result: Any = self.function(event)
                if not inspect.isawaitable(result):
                    raise ConfigError(f"outbox {self.name!r} needs an async function")
                await result


def _text(error: Exception) -> str:
    return conceal(str(error) or type(error).__name__)[:MOST_CHARACTERS]
