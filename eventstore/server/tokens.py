"""Access tokens: who may do what over HTTP, as the log's stream ``audit/tokens`` says.

A token is random, shown once, and stored as its SHA-256: 256 random bits need no slow hash.
Creation and revocation are events, so every process that serves the log knows of them as it knows
of any event. A token is of one copy of a log: where an export was imported or a backup restored,
no token that came with it opens the log.
"""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

import msgspec

from eventstore import limits
from eventstore.errors import ConflictError, EventStoreError, InvalidInputError
from eventstore.log.events import NewEvent, StreamWrite
from eventstore.log.names import check_name
from eventstore.log.validation import TOKENS, check_append, check_streams

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from eventstore.log.events import JSON, Event
    from eventstore.store.event_store import EventStore

Scope: TypeAlias = Literal["read", "append", "ack", "state", "admin"]
"""What a token may do: ``admin`` is everything, with the tokens themselves."""

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

TOKEN_CREATED: Final = "TokenCreated"  # noqa: S105 - an event's type
TOKEN_REVOKED: Final = "TokenRevoked"  # noqa: S105 - an event's type

SECRET_BYTES: Final = 32


class UnknownTokenError(EventStoreError):
    """No token of this name is in force."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no token {name!r} is in force: 'eventstore tokens list' shows them")
        self.name = name


class _Created(msgspec.Struct, frozen=True):
    """The data of a creation."""

    name: str
    sha256: str
    scopes: frozenset[Scope]
    streams: tuple[str, ...] = ()
    expires_us: int | None = None
    by: str = ""
    incarnation: str = ""


class Token(_Created, frozen=True):
    """A token as the log has it, without its secret.

    ``streams`` are the categories and streams that it is for; empty is all of them. Times are in
    microseconds since the epoch.
    """

    created_us: int = 0

    def allows(self, scope: Scope) -> bool:
        """Whether it has a scope."""
        return scope in self.scopes or "admin" in self.scopes

    def covers(self, streams: str | None) -> bool:
        """Whether a stream, or all of a category, is among its streams; None is all of the log."""
        if not self.streams:
            return True
        if streams is None:
            return False
        return any(
            streams.startswith(own) if own.endswith("/") else streams == own for own in self.streams
        )


class IssuedToken(Token, frozen=True):
    """What a token of an issuer allows; the log knows nothing of it.

    ``key_id`` names the key that has signed it.
    """

    key_id: str = ""


class _Revoked(msgspec.Struct):
    name: str


class TokenBook:
    """The tokens in force: the fold of their events, for one copy of the log."""

    def __init__(self, incarnation: str) -> None:
        self._incarnation = incarnation
        self._by_name: dict[str, Token] = {}
        self._by_hash: dict[str, Token] = {}

    def apply(self, event: Event) -> None:
        """Apply an event of :data:`TOKENS`; data of another shape give no access."""
        try:
            if event.type == TOKEN_CREATED:
                self._create(msgspec.convert(event.data, _Created), event.recorded_us)
            elif event.type == TOKEN_REVOKED:
                self._forget(msgspec.convert(event.data, _Revoked).name)
        except msgspec.ValidationError:
            return

    def _create(self, data: _Created, created_us: int) -> None:
        if data.incarnation != self._incarnation or data.name in self._by_name:
            return
        token = Token(**msgspec.structs.asdict(data), created_us=created_us)
        self._by_name[token.name] = self._by_hash[token.sha256] = token

    def _forget(self, name: str) -> None:
        if (token := self._by_name.pop(name, None)) is not None:
            self._by_hash.pop(token.sha256, None)

    def find(self, secret: str, now_us: int) -> Token | None:
        """Return the token with this secret, unless it has expired."""
        token = self._by_hash.get(sha256(secret.encode(errors="replace")).hexdigest())
        return token if token is not None and self.holds(token, now_us) else None

    def holds(self, token: Token, now_us: int) -> bool:
        """Whether a token was neither revoked nor has expired."""
        expired = token.expires_us is not None and token.expires_us <= now_us
        return not expired and self._by_name.get(token.name) == token

    def named(self, name: str) -> Token:
        """Return a token by its name; raise UnknownTokenError."""
        if name not in self._by_name:
            raise UnknownTokenError(name)
        return self._by_name[name]

    def all(self) -> list[Token]:
        """Return all tokens, expired ones too, by name."""
        return [self._by_name[name] for name in sorted(self._by_name)]


async def read_tokens(store: EventStore) -> tuple[TokenBook, int]:
    """Return the tokens of a log, and how many events they were computed from."""
    book, version = TokenBook(store.feed.log.incarnation), 0
    async for event in store.read(after=0, streams=TOKENS, kept=True):
        book.apply(event)
        version = event.version
    return book, version


async def create_token(
    store: EventStore,
    name: str,
    scopes: Iterable[str],
    *,
    streams: Iterable[str] = (),
    expires_at: datetime | None = None,
    by: str = "",
) -> str:
    """Create a token; return its secret, which is stored nowhere.

    Raises InvalidInputError for a name that is taken, for no scope or an unknown one, for a time
    without a zone.
    """
    check_name("token", name, limits.MAX_CONSUMER_BYTES)
    wanted = _check_scopes(scopes)
    if expires_at is not None and expires_at.tzinfo is None:
        raise InvalidInputError("expires_at", "give a time with its zone")
    secret = secrets.token_urlsafe(SECRET_BYTES)
    data: JSON = {
        "name": name,
        "sha256": sha256(secret.encode()).hexdigest(),
        "scopes": wanted,
        "streams": [check_streams(one) for one in streams],
        "expires_us": None if expires_at is None else int(expires_at.timestamp() * 1e6),
        "by": by,
        "incarnation": store.feed.log.incarnation,
    }
    while True:
        book, version = await read_tokens(store)
        if any(token.name == name for token in book.all()):
            raise InvalidInputError(f"token {name!r}", "the name is taken: revoke that one first")
        try:
            await _append(store, TOKEN_CREATED, data, version)
        except ConflictError:
            continue  # Another token was created or revoked meanwhile.
        return secret


def _check_scopes(scopes: Iterable[str]) -> list[str]:
    wanted = list(dict.fromkeys(scopes))
    for scope in wanted:
        if scope not in SCOPES:
            raise InvalidInputError(f"scope {scope!r:.40}", f"use some of {', '.join(SCOPES)}")
    if not wanted:
        raise InvalidInputError("scopes", f"name at least one of {', '.join(SCOPES)}")
    return wanted


async def revoke_token(store: EventStore, name: str, *, by: str = "") -> Token:
    """Revoke a token at once, everywhere; return it. Raises UnknownTokenError."""
    while True:
        book, version = await read_tokens(store)
        token = book.named(name)
        try:
            await _append(store, TOKEN_REVOKED, {"name": name, "by": by}, version)
        except ConflictError:
            continue
        return token


async def _append(store: EventStore, type_: str, data: JSON, version: int) -> None:
    write = StreamWrite(TOKENS, [NewEvent(type_, data)], expected=version)
    await store.feed.log.write(check_append([write], own=TOKENS))
