"""What the routes of one server share: the store, who may do what, and who is being followed."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from eventstore.log.events import END, Cursor
from eventstore.log.operations import Query
from eventstore.server._access import ANYONE, Access
from eventstore.server._broadcasts import Broadcasts
from eventstore.server._cursors import page_body
from eventstore.server._hour_samples import LastHour
from eventstore.server._limits import Limits
from eventstore.server._metrics import ServerMetrics
from eventstore.server._problems import HttpError
from eventstore.server._shared_reads import SharedReads, SharedWaits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping

    from anyio.abc import TaskGroup
    from starlette.requests import HTTPConnection

    from eventstore.changes.subscription import Subscription
    from eventstore.log.events import Special
    from eventstore.metrics.model import Collector
    from eventstore.server.issuer import Issuer
    from eventstore.server.settings import ServerSettings
    from eventstore.server.tokens import Token
    from eventstore.store.event_store import EventStore


class Gateway:
    """The routes' common state, in one event loop."""

    def __init__(
        self,
        store: EventStore,
        settings: ServerSettings,
        *,
        anonymous_read: bool,
        issuer: Issuer | None = None,
        collectors: Mapping[str, Collector] | None = None,
    ) -> None:
        self.store = store
        self.settings = settings
        self.limits = Limits(settings, anyio.current_time)
        self.metrics = ServerMetrics(store, collectors or {})
        self.access = Access(store, self._end_revoked, anonymous_read=anonymous_read, issuer=issuer)
        self.reads = SharedReads(store.feed.page)
        self.sealed_reads = SharedReads(store.feed.log.sealed_page)
        """Reads for stores by URL, which check what they get."""
        self.waits = SharedWaits(self.reads, self.subscribe, page_body)
        self.broadcasts = Broadcasts(self.subscribe)
        self.hour = LastHour(store)
        self._tasks: TaskGroup | None = None
        self._stopping = False
        self._followers: set[Follower] = set()

    async def start(self, tasks: TaskGroup) -> None:
        """Begin, once the tokens are known: what follows the log runs in this task group."""
        self._tasks = tasks
        self.waits.start(tasks)
        self.broadcasts.start(tasks)
        await tasks.start(self.access.follow)
        tasks.start_soon(self.access.follow_issuer)
        tasks.start_soon(self.hour.follow)

    def run_beside(self, job: Callable[[], Coroutine[object, object, None]]) -> None:
        """Run a job that no request waits for; it is cancelled once the server stops."""
        assert self._tasks is not None  # noqa: S101 - requests come while the server runs
        self._tasks.start_soon(job)

    @property
    def followers(self) -> int:
        """How many requests follow the log now."""
        return len(self._followers)

    def client(self, request: HTTPConnection, token: Token | None) -> str:
        """Return whose limits a request counts towards: a token's, or an address's without one."""
        if token is not None and token is not ANYONE:
            return f"token {token.name}"
        return f"address {request.client.host if request.client is not None else ''}"

    def subscribe(self, query: Query, after: Cursor) -> Subscription:
        """Return a subscription to what a query filters."""
        return self.store.subscribe_changes(
            after=after,
            streams=query.streams,
            types=query.types,
            exclude_streams=query.exclude_streams or None,
            exclude_types=query.exclude_types or None,
        )

    @contextmanager
    def waiting(self, request: HTTPConnection, token: Token, seconds: float) -> Iterator[None]:
        """Let the block wait: it is cut short by its time, by its token's end, by the server's."""
        with anyio.move_on_after(seconds) as scope:

            async def end() -> None:
                scope.cancel()

            follower = self.enter(token, self.client(request, token), end)
            try:
                yield
            finally:
                self.leave(follower)

    async def place_of(self, after: Cursor | Special) -> Cursor:
        """Return the cursor that a request means, checked as by :meth:`check_history`."""
        if after is END:
            return (await self.store.head()).cursor
        if isinstance(after, Cursor):
            return await self.check_history(after)
        return (await self.store.feed.page(Query(after=0, until=0, oldest=True))).through

    async def check_history(self, cursor: Cursor) -> Cursor:
        """Return a cursor of this history; raise HistoryDivergedError or HistoryGoneError."""
        at = cursor.position
        await self.store.feed.page(Query(after=at, until=at, limit=1, expect=cursor))
        return cursor

    def enter(self, token: Token, client: str, end: Callable[[], Awaitable[None]]) -> Follower:
        """Note who follows; raise HttpError 429 for one too many, 503 once the server stops.

        ``end`` is called where the token is revoked, and where the server stops.
        """
        if self._stopping:
            raise HttpError(503, "the server stops: ask again", {"retry-after": "1"})
        self.limits.enter_stream(client)
        follower = Follower(token, client, end)
        self._followers.add(follower)
        return follower

    def leave(self, follower: Follower) -> None:
        """Forget who has followed."""
        if follower in self._followers:
            self._followers.remove(follower)
            self.limits.leave_stream(follower.client)

    async def stop(self) -> None:
        """End everyone that follows, and those who come."""
        self._stopping = True
        for follower in list(self._followers):
            await follower.end()

    async def _end_revoked(self) -> None:
        for follower in list(self._followers):
            if not self.access.holds(follower.token):
                await follower.end()


@dataclass(frozen=True, eq=False)
class Follower:
    """A request that follows the log, and how it is ended."""

    token: Token
    client: str
    end: Callable[[], Awaitable[None]]
