"""How much one client may ask for: requests a second, requests at once, live streams.

A client is a token, or an address where a request has none. What is above a limit is answered by
429 and ``Retry-After``; what is above the limit of all clients together by 503.
"""

from __future__ import annotations

import math
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from eventstore.server._problems import HttpError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eventstore.server.settings import ServerSettings

MOST_CLIENTS: Final = 10_000
"""Clients whose rate is remembered; past it those with nothing to remember are forgotten."""


class Rate:
    """A token bucket for each client: ``rate`` requests a second, twice as many at once."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._most = max(2 * rate, 1.0)
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, client: str) -> float:
        """Take one request; return 0.0, or the seconds after which there is one again."""
        now = self._clock()
        left, since = self._left.get(client, (self._most, now))
        left = min(self._most, left + (now - since) * self._rate)
        taken = left >= 1
        self._left[client] = (left - 1 if taken else left, now)
        if len(self._left) > MOST_CLIENTS:
            self._forget(now)
        return 0.0 if taken else (1 - left) / self._rate

    def _forget(self, now: float) -> None:
        """Forget clients that may ask for as much as new ones; all of them where none may."""
        kept = {
            client: (left, since)
            for client, (left, since) in self._left.items()
            if left + (now - since) * self._rate < self._most
        }
        self._left = kept if len(kept) < MOST_CLIENTS else {}


class Limits:
    """The limits of one server, and what counts towards them."""

    def __init__(self, settings: ServerSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._rate = Rate(settings.rate, clock)
        self._requests: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()

    @contextmanager
    def request(self, client: str) -> Iterator[None]:
        """Answer a request; raise HttpError 429."""
        if seconds := self._rate.take(client):
            raise _too_many("requests a second", self._settings.rate, math.ceil(seconds))
        if self._requests[client] >= self._settings.token_requests:
            raise _too_many("requests at once", self._settings.token_requests, 1)
        with _counted(self._requests, client):
            yield

    def enter_stream(self, client: str) -> None:
        """Begin a live stream or a wait; raise HttpError 429 or 503."""
        if self._streams.total() >= self._settings.streams:
            raise HttpError(503, "the server has no room for streams", {"retry-after": "5"})
        if self._streams[client] >= self._settings.token_streams:
            raise _too_many("streams at once", self._settings.token_streams, 5)
        self._streams[client] += 1

    def leave_stream(self, client: str) -> None:
        """End one."""
        _uncount(self._streams, client)


@contextmanager
def _counted(counts: Counter[str], client: str) -> Iterator[None]:
    counts[client] += 1
    try:
        yield
    finally:
        _uncount(counts, client)


def _uncount(counts: Counter[str], client: str) -> None:
    counts[client] -= 1
    if counts[client] <= 0:
        del counts[client]


def _too_many(what: str, limit: float, seconds: int) -> HttpError:
    reason = f"this client may have {limit:g} {what}: ask again in {seconds} s"
    return HttpError(429, reason, {"retry-after": str(seconds)})
