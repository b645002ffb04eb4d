"""A table projection together with the database that it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from projections.tables.database import Database


class Declared(Protocol):
    """What a runner asks of any table projection before it is opened."""

    name: str
    from_snapshot: bool

    @property
    def batch_events(self) -> int:
        """Events that it is given at once while it catches up."""

    def check_declaration(self, identifier_bytes: int | None = None) -> None:
        """Raise ConfigError for what cannot be used."""


P = TypeVar("P", bound=Declared)


class TablesIn(Generic[P]):
    """Base of what a runner keeps in a database, as a :class:`projections.protocol.Projection`."""

    def __init__(self, projection: P, database: Database) -> None:
        self.name = projection.name
        self.place = database.url
        """Names the database, without a password."""
        self.from_snapshot = projection.from_snapshot
        self.batch_events = projection.batch_events
        self._projection = projection
        self._database = database

    def check_declaration(self) -> None:
        """Raise ConfigError for a name, version, tables or methods that cannot be used."""
        self._projection.check_declaration(self._database.identifier_bytes)
