"""What a followed projection needs of the database that its tables are in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection, MetaData


class Rebuildable(Protocol):
    """What a rebuild needs of a projection; see :class:`projections.TableProjection`."""

    name: str

    @property
    def version(self) -> int:
        """Rises with each change to tables or meaning."""

    @property
    def metadata(self) -> MetaData:
        """The projection's own tables."""

    def create(self, connection: Connection) -> None:
        """Create the tables, and those of checkpoints, in a schema that has none of them."""

    def reset(self, connection: Connection) -> None:
        """Empty the projection, as if no event had been applied."""

    def outdated(self, connection: Connection) -> bool:
        """Whether the tables are of another version than the present one, or are missing."""

    def recreate(self, connection: Connection) -> None:
        """Drop every table that is the projection's, and create those of the present version."""

    def copy_checkpoint(self, connection: Connection, schema: str) -> None:
        """Take the checkpoint that another schema holds for this projection."""


class Rebuild(Protocol):
    """A projection that is being computed again where no reader sees it."""

    def step(self) -> AbstractContextManager[Connection]:
        """Give a connection on which the projection's tables are the new ones."""

    def finish(self) -> None:
        """Replace the old tables by the new ones."""

    def abandon(self) -> None:
        """Drop the new tables; the old ones stay as they are. Raises nothing."""


class Database(Protocol):
    """Where followed projections live. Every method raises StorageError if the database fails."""

    url: str
    """Names it in messages: as it was given, without a password."""

    identifier_bytes: int | None
    """How many bytes of a table's name it tells apart; ``None`` for all."""

    one_writer: bool
    """Whether one transaction at a time writes to it, a whole rebuild being one."""

    @property
    def identity(self) -> object:
        """Which file it is, in a transaction; ``None`` for a server."""

    def reach(self, schema: str) -> str:
        """Return a URL that names it and a schema from any directory, without user and password."""

    def open(self) -> None:
        """Make ready to connect."""

    def close(self) -> None:
        """Release every connection."""

    def drop_idle_connections(self) -> None:
        """Close connections that are not in use: what ended one may have ended all."""

    def transaction(self) -> AbstractContextManager[Connection]:
        """Give a connection in a write transaction: commit at the end, or roll back."""

    def reading(self) -> AbstractContextManager[Connection | None]:
        """Give a connection that only reads; ``None`` where there is no such file."""

    def lock_setup(self, connection: Connection) -> None:
        """Keep other connections from creating tables until the transaction ends."""

    def newer_computing(self, connection: Connection, name: str, version: int) -> int | None:
        """Return which newer version of a projection is being computed now; None for none."""

    def rebuild(self, projection: Rebuildable, check: Callable[[Connection], None]) -> Rebuild:
        """Begin to compute a projection again; ``check`` raises once another runner owns it."""
