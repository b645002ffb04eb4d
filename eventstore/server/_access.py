"""Who asks, and whether they may: tokens of requests, kept up with the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import anyio

from eventstore.errors import EventStoreError
from eventstore.log.validation import TOKENS
from eventstore.server._problems import HttpError
from eventstore.server.tokens import IssuedToken, Token, read_tokens

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskStatus
    from starlette.requests import HTTPConnection

    from eventstore.server.issuer import Issuer
    from eventstore.server.tokens import Scope, TokenBook
    from eventstore.store.event_store import EventStore

log = logging.getLogger(__name__)

COOKIE: Final = "eventstore_session"
"""The name of the cookie that has a browser's token."""

_READING: Final = frozenset({"GET", "HEAD"})

ANYONE: Final = Token("(anyone)", "", frozenset({"read"}))
"""Who asks without a token, where reading is open to all."""


class Access:
    """The tokens in force, followed as the log tells of them.

    ``on_change`` is called after each change. ``issuer`` signs further ones.
    """

    def __init__(
        self,
        store: EventStore,
        on_change: Callable[[], Awaitable[None]],
        *,
        anonymous_read: bool,
        issuer: Issuer | None = None,
    ) -> None:
        self._store = store
        self._issuer = issuer
        self._on_change = on_change
        self._anonymous_read = anonymous_read
        self._book: TokenBook | None = None

    async def follow(self, *, task_status: TaskStatus[None]) -> None:
        """Keep up with the log until cancelled; started once the tokens are known.

        Where that ends by an error, as with a log that was restored from another copy, nothing
        is known of tokens any more: no token is in force from then on.
        """
        start = (await self._store.head()).cursor
        self._book, _ = await read_tokens(self._store)
        task_status.started()
        try:
            async with self._store.subscribe_changes(after=start, streams=TOKENS) as changes:
                async for _event in changes:
                    # Read anew: what lies between the two reads may have been applied already.
                    self._book, _ = await read_tokens(self._store)
                    await self._on_change()
        except EventStoreError:
            log.exception("tokens are not followed any more, every request is refused")
        finally:
            self._book = None
            with anyio.CancelScope(shield=True):
                await self._on_change()

    async def follow_issuer(self) -> None:
        """Keep up with the keys of the issuer, if there is one, until cancelled."""
        if self._issuer is not None:
            await self._issuer.follow(self._on_change)

    def check(self) -> None:
        """Raise HttpError 503 where tokens are not known: start the server again."""
        if self._book is None:
            raise HttpError(503, "the tokens of the log cannot be followed: restart the server")

    def require(self, request: HTTPConnection, *scopes: Scope) -> Token:
        """Return who asks; raise HttpError 401 without a token, 403 without one of the scopes."""
        token = self.identify(request)
        if token is None:
            raise HttpError(401, "give a token: Authorization: Bearer …", CHALLENGE)
        if not any(map(token.allows, scopes)):
            wanted = " or ".join(map(repr, scopes))
            raise HttpError(403, f"this token has not the scope {wanted}")
        return token

    def require_streams(self, request: HTTPConnection, scope: Scope, streams: str | None) -> Token:
        """Do the same for a stream or a category; for all of the log where that is None."""
        token = self.require(request, scope)
        if not token.covers(streams):
            own = ", ".join(token.streams)
            raise HttpError(403, f"this token is for {own} only: name one of them by streams=")
        return token

    def identify(self, request: HTTPConnection, *, cookies: bool = True) -> Token | None:
        """Return the token of a request that is in force; None where there is none.

        It is that of ``Authorization``, or without that header the one of a browser's cookie.
        Raises HttpError 403 where a page of another site makes a browser send the cookie.
        """
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme:
            return self.find(secret.strip()) if scheme.lower() == "bearer" else None
        found = None
        if cookies and (kept := request.cookies.get(COOKIE)):
            if request.scope["method"] not in _READING and not is_own_page(request):
                raise HttpError(403, "a page of another site asks for this change")
            found = self.find(kept)
        return found or (ANYONE if self._anonymous_read else None)

    def find(self, secret: str) -> Token | None:
        """Return the token with this secret that is in force; None where there is none."""
        self.check()
        now = self._store.clock()
        if self._issuer is not None and secret.count(".") == 2:
            return self._issuer.identify(secret, now)  # Tokens of the log have no dot.
        return self._book.find(secret, now) if self._book else None

    def holds(self, token: Token) -> bool:
        """Whether a token that was found before is still in force."""
        if token is ANYONE:
            return True
        now = self._store.clock()
        if self._issuer is not None and isinstance(token, IssuedToken):
            return self._issuer.holds(token, now)
        return self._book is not None and self._book.holds(token, now)


def is_own_page(request: HTTPConnection) -> bool:
    """Whether a page of this server sent a request, as the browser itself says it.

    Browsers set ``Sec-Fetch-Site`` for this host and for encrypted connections; older ones and
    other connections have ``Origin``, which is compared with the host that was asked. No page can
    set either (Fetch standard, forbidden request headers).
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin", "")
    return bool(origin) and origin.partition("://")[2] == request.headers.get("host")


CHALLENGE: Final = {"www-authenticate": 'Bearer realm="eventstore"'}
