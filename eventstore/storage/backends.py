"""Which backend a URL names: chosen here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from eventstore.errors import ConfigError
from eventstore.limits import MAX_IDENTIFIER_BYTES
from eventstore.storage.sqlite.backend import SqliteBackend
from eventstore.storage.sqlite.write_turn import WAIT_SECONDS
from eventstore.system.entry_points import find_entry_points
from eventstore.system.extras import needs_extra
from eventstore.system.secret_url import SecretUrl

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore.log.clock import Clock
    from eventstore.log.inline_view import Inline
    from eventstore.storage.protocols import MovableLog

    Make: TypeAlias = Callable[[str | SecretUrl, Clock, Inline, float], MovableLog]
    """Makes a backend: of a URL, a clock, inline projections and the longest wait to write."""


def _postgres(
    url: str | SecretUrl,
    clock: Clock,
    inline: Inline,
    write_wait: float,  # noqa: ARG001 - the server's lock_timeout limits it there
) -> MovableLog:
    with needs_extra("postgres", "a log on PostgreSQL"):
        from eventstore.storage.postgres.backend import PostgresBackend  # noqa: PLC0415
    return PostgresBackend(url, clock, inline)


def _http(url: str | SecretUrl, clock: Clock, inline: Inline, write_wait: float) -> MovableLog:
    with needs_extra("http", "a log behind a server"):
        from eventstore.storage.http.backend import HttpBackend  # noqa: PLC0415
    return HttpBackend(url, clock, inline, write_wait)


GROUP: Final = "eventstore.backends"
"""The entry point group that names backends of other packages by their URL scheme."""

BACKENDS: Final[dict[str, Make]] = {
    "sqlite": SqliteBackend,
    "memory": SqliteBackend,
    "postgresql": _postgres,
    "https": _http,
    "http": _http,
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
    make = BACKENDS.get(url.scheme) or _installed(url.scheme)
    if make is None:
        known = ", ".join(f"{name}://" for name in BACKENDS)
        raise ConfigError(f"the log's URL {url!r} is not known: it begins with one of {known}")
    return make(url, clock, inline, write_wait)


def _installed(scheme: str) -> Make | None:
    """Return what makes the backend of a scheme in an installed package, if one does."""
    for entry in find_entry_points(GROUP):
        if entry.name == scheme:
            try:
                make: Make = entry.load()
            except (Exception, SystemExit) as error:
                raise ConfigError(
                    f"distribution {entry.distribution!r}: its backend {entry.value} cannot be "
                    f"imported: {type(error).__name__}: {error}"
                ) from error
            return make
    return None


def identifier_bytes(url: str | SecretUrl) -> int | None:
    """Return how many bytes of a table's name the log's database tells apart; ``None`` for all."""
    return MAX_IDENTIFIER_BYTES if SecretUrl.of(url).scheme == "postgresql" else None
