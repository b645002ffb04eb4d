"""The registry that the settings choose."""

from __future__ import annotations

from typing import Final

from projections.registry.store import Registry
from projections.seams.factory import StoreFactory, log_kinds

_factory: Final = StoreFactory[Registry]("registry_type", log_kinds(Registry))


def get_registry() -> Registry:
    """Return a registry, to be opened by ``initialize()`` and closed by ``close()``.

    ``EVENTSTORE_REGISTRY_TYPE`` is ``database`` (the default: the log at ``EVENTSTORE_URL``)
    or ``memory`` (a log in memory, which is lost when it is closed, for tests). Raises
    ConfigError, a ValueError, for anything else.
    """
    return _factory.get()
