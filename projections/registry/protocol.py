"""The interface of a registry, for callers that name no implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Unpack, runtime_checkable

from eventstore.system.keywords import shows
from projections.registry.listing import ListFilter, listing_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from projections.registry.model import Registration, Status


@runtime_checkable
class RegistryProtocol(Protocol):
    """Registrations of bots or agents; :class:`~projections.registry.Registry` has it."""

    async def initialize(self) -> None:
        """Open; a second call does nothing."""

    async def close(self) -> None:
        """Close."""

    async def register(
        self,
        bot_id: str,
        config: dict[str, Any],
        status: Status = "active",
        *,
        metadata: Mapping[str, Any] | None = None,
    ) -> Registration:
        """Register, or replace."""

    async def get(self, bot_id: str) -> Registration | None:
        """Return a registration, and move its access time."""

    async def get_config(self, bot_id: str) -> dict[str, Any] | None:
        """Return a configuration, and move its access time."""

    async def peek_config(self, bot_id: str) -> dict[str, Any] | None:
        """Return a configuration and move nothing."""

    async def exists(self, bot_id: str) -> bool:
        """Whether there is an active one."""

    async def unregister(self, bot_id: str) -> bool:
        """Remove; True if it was registered."""

    async def deactivate(self, bot_id: str) -> bool:
        """Make inactive; True if it is registered."""

    @shows(ListFilter, listing_of)
    async def list_active(self, **options: Unpack[ListFilter]) -> list[Registration]:
        """Return active ones."""

    @shows(ListFilter, listing_of)
    async def list_inactive(self, **options: Unpack[ListFilter]) -> list[Registration]:
        """Return inactive ones."""

    @shows(ListFilter, listing_of)
    async def list_all(
        self, *, status: Status | None = None, **options: Unpack[ListFilter]
    ) -> list[Registration]:
        """Return all."""

    async def list_ids(self) -> list[str]:
        """Return the ids of active ones."""

    async def count(self, *, filter_metadata: Mapping[str, Any] | None = None) -> int:
        """Return the number of active ones."""

    async def count_inactive(self, *, filter_metadata: Mapping[str, Any] | None = None) -> int:
        """Return the number of inactive ones."""

    async def count_all(
        self,
        *,
        status: Status | None = None,
        filter_metadata: Mapping[str, Any] | None = None,
    ) -> int:
        """Return the number of all."""

    def stream(
        self,
        *,
        status: Status | None = None,
        filter_metadata: Mapping[str, Any] | None = None,
        config: Any = None,
    ) -> AsyncIterator[Registration]:
        """Iterate over any number of them, in bounded memory."""

    async def clear(self) -> None:
        """Remove all."""
