"""The registry's lists, counts and streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Unpack

import msgspec

from eventstore.log.clock import from_microseconds
from eventstore.system.keywords import shows
from projections.registry.events import BOTS, read_bot_id
from projections.registry.listing import ListOptions, listing_of, read_batch_size
from projections.registry.model import stored_registration
from projections.registry.queries import registrations as queries
from projections.registry.tables import ACCESS
from projections.seams.projected_store import ProjectedStore, is_few
from projections.tables.access_times import AccessTimes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from eventstore import EventStore
    from projections.registry.listing import Listing
    from projections.registry.model import Registration, Status
    from projections.registry.queries.registrations import Row


class RegistryLists(ProjectedStore):
    """What :class:`~projections.registry.Registry` reads of many registrations at once."""

    def _on_open(self, store: EventStore) -> None:
        self._access_times = AccessTimes(store, ACCESS)

    @shows(ListOptions, listing_of)
    async def list_all(
        self, *, status: Status | None = None, **options: Unpack[ListOptions]
    ) -> list[Registration]:
        """Return registrations, by default all of them in order of first registration.

        ``filter_metadata`` (or ``metadata``) are keys with the values that they must have, as
        JSON: 1, 1.0 and true are three values, and a key that is missing is not null; an empty
        one does not filter. ``sort`` is one entry or several: a field (``bot_id``, ``status``,
        ``created_at``, ``updated_at``, ``last_accessed_at``, ``metadata.KEY``), ``-field``,
        ``(field, "desc")``, or an object with ``field`` and ``order``; ``descending`` turns all of
        them round. Equal ones are in order of first registration, and those without the key or
        with null come last. ``limit`` and ``offset`` apply after that. Moves no access time.
        Raises InvalidInputError for arguments that mean nothing.
        """
        return await self._list(listing_of(status, **options))

    @shows(ListOptions, listing_of)
    async def list_active(self, **options: Unpack[ListOptions]) -> list[Registration]:
        """Return active registrations; see :meth:`list_all`."""
        return await self._list(listing_of("active", **options))

    @shows(ListOptions, listing_of)
    async def list_inactive(self, **options: Unpack[ListOptions]) -> list[Registration]:
        """Return inactive registrations, those in error not among them; see :meth:`list_all`."""
        return await self._list(listing_of("inactive", **options))

    async def list_ids(self) -> list[str]:
        """Return the ids of active registrations, in order of first registration."""
        return await self._look(
            lambda rows: [read_bot_id(BOTS + key) for (key,) in rows],
            queries.list_keys(self._dialect, "active"),
            brief=False,
        )

    async def count_all(
        self,
        *,
        status: Status | None = None,
        filter_metadata: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> int:
        """Return how many registrations :meth:`list_all` finds."""
        return await self._count(
            listing_of(status, filter_metadata=filter_metadata, metadata=metadata)
        )

    async def count(
        self,
        *,
        filter_metadata: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> int:
        """Return how many registrations are active, and have this metadata."""
        return await self._count(
            listing_of("active", filter_metadata=filter_metadata, metadata=metadata)
        )

    async def count_inactive(
        self,
        *,
        filter_metadata: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> int:
        """Return how many registrations are inactive, and have this metadata."""
        return await self._count(
            listing_of("inactive", filter_metadata=filter_metadata, metadata=metadata)
        )

    def stream(
        self,
        *,
        status: Status | None = None,
        filter_metadata: Mapping[str, Any] | None = None,
        config: Any = None,
    ) -> AsyncIterator[Registration]:
        """Iterate over registrations of any number, in order of first registration.

        They are read in batches, each as of its own moment: those that were registered before
        the first one, were not removed since and meet the filters then. ``config`` is any object
        with a ``batch_size``, of which up to 1,000 are read at once.
        """
        return self._stream(
            listing_of(status, filter_metadata=filter_metadata, limit=read_batch_size(config))
        )

    async def _stream(self, listing: Listing) -> AsyncIterator[Registration]:
        until = await self._look(_first_value, queries.find_last(self._dialect))
        after = 0
        while until:
            query = queries.find_batch(self._dialect, listing, after, until)
            found = await self._look(self._batch, query, brief=False)
            for _, registration in found:
                yield registration
            if not found:
                return
            after = found[-1][0]

    def _batch(self, rows: Sequence[Any]) -> list[tuple[int, Registration]]:
        found = self._registrations([row[:-1] for row in rows])
        return [(row[-1], one) for row, one in zip(rows, found, strict=True)]

    async def _list(self, listing: Listing) -> list[Registration]:
        if any(entry.field == "last_accessed_at" for entry in listing.sort):
            await self._access_times.flush()
        return await self._look(
            self._registrations,
            queries.find_all(self._dialect, listing),
            brief=is_few(listing.limit),
        )

    async def _count(self, listing: Listing) -> int:
        found: int = await self._look(
            _first_value, queries.count(self._dialect, listing), brief=False
        )
        return found

    def _registrations(self, rows: Iterable[Row]) -> list[Registration]:
        """Return what rows hold; they are plain tuples as good as :class:`Row`."""
        decode, fresh, made = _BODY.decode, self._access_times.fresh, []
        for key, status, text, created_us, updated_us, accessed_us, _ in rows:
            body = decode(text)
            created = updated = accessed = from_microseconds(created_us)
            if updated_us != created_us:
                updated = from_microseconds(updated_us)
            at = accessed_us or 0
            if key in fresh:
                at = max(at, fresh.get(key, 0))
            # An access before the creation was one of an earlier registration with this id.
            if at > created_us:
                accessed = from_microseconds(at)
            made.append(
                stored_registration(
                    body.bot_id, body.config, status, body.metadata, created, updated, accessed
                )
            )
        return made


def _first_value(rows: Sequence[Any]) -> Any:
    return rows[0][0]


class _Body(msgspec.Struct, gc=False):
    """What a row's body has beside its columns; it was checked before it was stored."""

    bot_id: str
    config: dict[str, Any]
    metadata: dict[str, Any]


_BODY: Final = msgspec.json.Decoder(_Body)
