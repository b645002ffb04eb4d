"""What the routes of one server share: the store, who may do what, and who is being followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from eventstore.log.operations import Query
from eventstore.server._access import ANYONE, Access
from eventstore.server._limits import Limits
from eventstore.server._metrics import Metrics
from eventstore.server._problems import HttpError

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from eventstore.changes.subscription import Subscription
    from eventstore.log.events import Cursor, Special
    from eventstore.server.settings import ServerSettings
    from eventstore.server.tokens import Token
    from eventstore.store.event_store import EventStore


class Gateway:
    """The routes' common state, in one event loop."""

    def __init__(
        self, store: EventStore, settings: ServerSettings, *, anonymous_read: bool
    ) -> None:
        self.store = store
        self.settings = settings
        self.limits = Limits(settings, anyio.current_time)
        self.metrics = Metrics()
        self.access = Access(store, self._end_revoked, anonymous_read=anonymous_read)
        self._stopping = False
        self._following: dict[Subscription, tuple[Token, str]] = {}

    @property
    def followers(self) -> int:
        """How many requests follow the log now."""
        return len(self._following)

    def client(self, request: HTTPConnection, token: Token | None) -> str:
        """Return whose limits a request counts towards: a token's, or an address's without one."""
        if token is not None and token is not ANYONE:
            return f"token {token.name}"
        return f"address {request.client.host if request.client is not None else ''}"

    def following(
        self, request: HTTPConnection, token: Token, query: Query, after: Cursor | Special
    ) -> Following:
        """Return a subscription that also ends with its token and with the server."""
        changes = self.store.subscribe_changes(
            after=after,
            streams=query.streams,
            types=query.types,
            exclude_streams=query.exclude_streams or None,
            exclude_types=query.exclude_types or None,
        )
        return Following(self, token, self.client(request, token), changes)

    async def check_history(self, cursor: Cursor) -> Cursor:
        """Return a cursor of this history; raise HistoryDivergedError or HistoryGoneError."""
        at = cursor.position
        await self.store.feed.page(Query(after=at, until=at, limit=1, expect=cursor))
        return cursor

    def enter(self, changes: Subscription, token: Token, client: str) -> None:
        """Note who follows; raise HttpError 429 for one too many, 503 once the server stops."""
        if self._stopping:
            raise HttpError(503, "the server stops: ask again", {"retry-after": "1"})
        self.limits.enter_stream(client)
        self._following[changes] = token, client

    def leave(self, changes: Subscription) -> None:
        """Forget who has followed."""
        if (known := self._following.pop(changes, None)) is not None:
            self.limits.leave_stream(known[1])

    async def stop(self) -> None:
        """End everyone that follows, and those who come."""
        self._stopping = True
        for changes in list(self._following):
            await changes.aclose()

    async def _end_revoked(self) -> None:
        for changes, (token, _) in list(self._following.items()):
            if not self.access.holds(token):
                await changes.aclose()


class Following:
    """An async context: the subscription of one request."""

    def __init__(self, gateway: Gateway, token: Token, client: str, changes: Subscription) -> None:
        self._gateway = gateway
        self._token = token
        self._client = client
        self._changes = changes

    @property
    def in_force(self) -> bool:
        """Whether the request's token is neither revoked nor expired."""
        return self._gateway.access.holds(self._token)

    async def __aenter__(self) -> Subscription:
        self._gateway.enter(self._changes, self._token, self._client)
        try:
            return await self._changes.__aenter__()
        except BaseException:
            self._gateway.leave(self._changes)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._gateway.leave(self._changes)
        await self._changes.aclose()
