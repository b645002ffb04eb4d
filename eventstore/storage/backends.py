"""Which backend a URL names: chosen here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventstore.errors import ConfigError
from eventstore.limits import MAX_IDENTIFIER_BYTES
from eventstore.storage.sqlite.backend import SqliteBackend
from eventstore.storage.sqlite.write_turn import WAIT_SECONDS
from eventstore.system.extras import needs_extra
from eventstore.system.secret_url import SecretUrl

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore.log.clock import Clock
    from eventstore.log.inline_view import Inline
    from eventstore.storage.protocols import MovableLog


def _postgres(
    url: str | SecretUrl,
    clock: Clock,
    inline: Inline,
    write_wait: float,  # noqa: ARG001 - the server's lock_timeout limits it there
) -> MovableLog:
    with needs_extra("postgres", "a log on PostgreSQL"):
        from eventstore.storage.postgres.backend import PostgresBackend  # noqa: PLC0415
    return PostgresBackend(url, clock, inline)


BACKENDS: Final[dict[str, Callable[[str | SecretUrl, Clock, Inline, float], MovableLog]]] = {
    "sqlite": SqliteBackend,
    "memory": SqliteBackend,
    "postgresql": _postgres,
}
"""URL scheme to backend. Every one of them is in the contract suite."""


def make_backend(
    url: str | SecretUrl,
    clock: Clock,
    inline: Inline,
    write_wait: float = WAIT_SECONDS,
) -> MovableLog:
    """Make the backend that ``url`` names; raise ConfigError for one that is not known.

    ``write_wait`` is the longest wait for the turn to write a file, in seconds.
    """
    url = SecretUrl.of(url)
    if url.scheme not in BACKENDS:
        known = ", ".join(f"{name}://" for name in BACKENDS)
        raise ConfigError(f"the log's URL {url!r} is not known: it begins with one of {known}")
    return BACKENDS[url.scheme](url, clock, inline, write_wait)


def identifier_bytes(url: str | SecretUrl) -> int | None:
    """Return how many bytes of a table's name the log's database tells apart; ``None`` for all."""
    return MAX_IDENTIFIER_BYTES if SecretUrl.of(url).scheme == "postgresql" else None
