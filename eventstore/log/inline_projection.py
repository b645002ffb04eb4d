"""The protocol of a projection that is updated inside an append's own transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, runtime_checkable

from eventstore.log.operations import TRIMS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from eventstore.log.events import Cursor, Event


@runtime_checkable
class InlineProjection(Protocol):
    """A projection that is updated inside the append's own transaction.

    ``connection`` is the backend's: an SQLAlchemy ``Connection`` on SQLite and PostgreSQL. An
    exception fails the append that caused it.
    """

    name: str
    """At most 255 bytes of UTF-8. No two inline projections of a store have the same."""

    def setup(self, connection: Any) -> None:
        """Create what the projection needs, if it is not there. Called at every open."""

    def cursor(self, connection: Any) -> Cursor | None:
        """Return the checkpoint; ``None`` where no event was applied."""

    def apply(self, connection: Any, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply whole commits, in order, and store ``cursor`` with their effect.

        A projection that is behind gets them in transactions of their own, a few at a time.

        A projection that holds content of an event which was redacted since (see
        :mod:`eventstore.log.redaction`), and cannot remove it, may empty itself instead: where
        its ``cursor`` is ``None`` afterwards, it gets the log from the first event on, in the
        same transaction.
        """


@runtime_checkable
class SnapshotProjection(InlineProjection, Protocol):
    """A projection that may begin with the events that trimming has kept."""

    from_snapshot: bool
    """Whether the events that trimming keeps, and those since, give the same result."""

    def reset(self, connection: Any) -> None:
        """Empty the projection, as if no event had been applied."""


@runtime_checkable
class RebuildableProjection(InlineProjection, Protocol):
    """A projection that can be computed again where its readers do not see it.

    Until its tables have been at the head for the first time, ``apply`` may also be given a part of
    a commit.
    Its ``cursor`` raises ProjectionVersionError where the tables are of another version, and
    ``setup`` where they are of a newer one.
    """

    def outdated(self, connection: Any) -> bool:
        """Whether the tables are of another version, or one of them is missing."""

    def create(self, connection: Any) -> None:
        """Create temporary tables in this session, which its statements find first from now on."""

    def take_over(self, connection: Any) -> None:
        """Replace the tables and the checkpoint by the temporary ones.

        Does nothing where another process has brought them as far. Raises
        ProjectionVersionError where they are of a newer version by now.
        """


@runtime_checkable
class StatedProjection(InlineProjection, Protocol):
    """A projection whose checkpoint, and perhaps its changes, are SQL that is known beforehand.

    The SQL has ``?`` for values. An append asks for the checkpoint together with the log's head,
    and changes it together with the log's own tables.
    """

    def ask_checkpoint(self, dialect: str) -> tuple[str, Sequence[Any]]:
        """Return the query for the checkpoint's row; on PostgreSQL it locks the row."""

    def is_checkpoint(self, row: Sequence[Any], cursor: Cursor) -> bool:
        """Whether the row says that tables of this version are at ``cursor``."""

    def move_checkpoint(self, cursor: Cursor) -> tuple[str, Sequence[Any]]:
        """Return the statement that stores ``cursor`` as the checkpoint."""

    def handle_appended(self, connection: Any, events: Sequence[Event]) -> bool:
        """Apply whole commits, and leave the checkpoint; False where it has emptied itself."""

    def append_statements(
        self, dialect: str, events: Sequence[Event]
    ) -> Sequence[tuple[str, Sequence[Any]]] | None:
        """Return what :meth:`handle_appended` would execute; ``None`` where it has to be called.

        No event is redacted, and none is a redaction.
        """


def is_stated(projection: InlineProjection) -> TypeGuard[StatedProjection]:
    """Whether a projection's checkpoint is SQL that is known beforehand."""
    return isinstance(projection, StatedProjection)


class BuildGoneError(Exception):
    """A build is not there any more: another process has finished or discarded it."""


class Build(Protocol):
    """A new version of a projection, built beside the old one, in the caller's transactions.

    It is in the database: a killed process leaves what its last transaction has committed, and
    processes of one version build it together. Builds of other versions are others.
    """

    holders: Sequence[int]
    """The server's processes that held the old version when :meth:`swap` was last in vain."""

    def begin(self) -> bool:
        """Begin, or go on with what is there; False where the tables could not be swapped."""

    def inside(self) -> AbstractContextManager[None]:
        """Let the connection's statements find the new tables and their checkpoint.

        Raises BuildGoneError. Where the block raises, the transaction is to be rolled back.
        """

    def swap(self, seconds: float) -> bool:
        """Replace the old version by this one; False where readers hold it for longer than that.

        The transaction is to be rolled back then. Raises BuildGoneError, and
        ProjectionVersionError where the old version is a newer one by now.
        """

    def discard(self) -> None:
        """Let go of what was built."""

    def leftovers(self) -> bool:
        """Whether something is left of old versions, or of builds that this version makes void."""

    def clear(self, rows: int) -> bool:
        """Remove some of it, at most so many rows; return whether more is left."""


@runtime_checkable
class BuildableProjection(RebuildableProjection, Protocol):
    """A projection whose next version can be built in the database, and swapped in at the end."""

    def build_beside(self, connection: Any) -> Build:
        """Return the build of this version, in the transaction of ``connection``."""


def can_build(projection: InlineProjection) -> TypeGuard[BuildableProjection]:
    """Whether a projection's next version can be built in the database."""
    return isinstance(projection, BuildableProjection)


def can_rebuild(projection: InlineProjection) -> TypeGuard[RebuildableProjection]:
    """Whether a projection can be computed where readers do not see it."""
    return isinstance(projection, RebuildableProjection)


def can_start_from_kept(projection: InlineProjection) -> TypeGuard[SnapshotProjection]:
    """Whether a projection can begin with the events that trimming has kept."""
    return isinstance(projection, SnapshotProjection) and projection.from_snapshot


def is_named_by_trims(projection: object) -> bool:
    """Whether a view begins with kept events only where each trim says that it kept its own."""
    return bool(getattr(projection, "named_by_trims", False))


def archive_advice(view: str) -> str:
    """Return how to rebuild a projection that needs events which were trimmed."""
    return (
        f"view {view!r} needs them: import the archives that the stream {TRIMS!r} names into "
        "new logs, compute the view from those in turn, and go on here"
    )
