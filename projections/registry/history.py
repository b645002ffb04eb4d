"""A registration as of an earlier position, computed from its changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projections.registry.model import Registration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projections.registry.model import RegistryChange


def registration_as_of(changes: Iterable[RegistryChange], position: int) -> Registration | None:
    """Return what the changes of one bot, in order, lead to at ``position``.

    ``None`` where it was not registered then. Its access time is that of its creation: access
    times have no history.
    """
    found: Registration | None = None
    for change in changes:
        if change.position > position:
            break
        found = _apply(found, change)
    return found


def _apply(found: Registration | None, change: RegistryChange) -> Registration | None:
    if change.kind in {"unregistered", "redacted"}:
        return None
    if change.kind == "deactivated":
        if found is not None:
            found.status, found.updated_at = "inactive", change.at
        return found
    created = change.at if found is None else found.created_at
    return Registration(
        change.bot_id,
        change.config or {},
        change.status or "active",
        change.metadata or {},
        created_at=created,
        updated_at=change.at,
        last_accessed_at=created,
    )
