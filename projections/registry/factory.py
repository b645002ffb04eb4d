"""The registry that the settings choose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventstore.config import load_settings
from projections.registry.store import Registry
from projections.seams.base import choose

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore.config import Settings


def get_registry() -> Registry:
    """Return a registry, to be opened by ``initialize()`` and closed by ``close()``.

    ``EVENTSTORE_REGISTRY_TYPE`` is ``database`` (the default: the log at ``EVENTSTORE_URL``)
    or ``memory`` (a log of its own, gone when it is closed, for tests). Raises ConfigError, a
    ValueError, for anything else.
    """
    settings = load_settings()
    return choose("EVENTSTORE_REGISTRY_TYPE", settings.registry_type, _MAKERS)(settings)


def _from_database(settings: Settings) -> Registry:
    return Registry(settings.url, notify=settings.notify, poll=settings.poll_seconds)


def _in_memory(settings: Settings) -> Registry:
    return Registry("memory://", poll=settings.poll_seconds)


_MAKERS: Final[dict[str, Callable[[Settings], Registry]]] = {
    "database": _from_database,
    "memory": _in_memory,
}
