"""Where a log can live; which backend a URL means is decided here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventstore.backends.sqlite import SqliteBackend
from eventstore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eventstore.ports import Backend, Clock, InlineProjection

BACKENDS: Final[dict[str, Callable[[str, Clock, Sequence[InlineProjection]], Backend]]] = {
    "sqlite": SqliteBackend,
    "memory": SqliteBackend,
}
"""URL scheme to backend. Every one of them is in the contract suite."""


def make_backend(url: str, clock: Clock, inline: Sequence[InlineProjection]) -> Backend:
    """Make the backend that ``url`` names; raise ConfigError for one that is not known."""
    scheme, found, _ = str(url).partition(":")
    if not found or scheme not in BACKENDS:
        known = ", ".join(f"{name}://" for name in BACKENDS)
        raise ConfigError(f"the log's URL {url!r} is not known: it begins with one of {known}")
    return BACKENDS[scheme](url, clock, inline)
