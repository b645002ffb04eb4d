"""What an append knows of a table projection beforehand: SQL for the driver, without SQLAlchemy.

SQLAlchemy takes longer for a small statement than the database does, and on PostgreSQL each of its
statements is an exchange with the server. An append sends these together with its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from eventstore.errors import ProjectionVersionError
from projections.tables.checkpoints import CHECKPOINT, MOVE_CHECKPOINT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.log.events import Cursor, Event
    from eventstore.storage.driver import Query


class StatedTables:
    """The part of a table projection that is SQL with ``?`` for values.

    A :class:`~eventstore.log.inline_projection.StatedProjection` with what a projection adds.
    """

    name: str
    on_error: str
    version: ClassVar[int]

    def ask_checkpoint(self, dialect: str) -> Query:
        """Return the query for the checkpoint's row; on PostgreSQL it locks the row."""
        return CHECKPOINT[dialect], (self.name,)

    def is_checkpoint(self, row: Sequence[Any], cursor: Cursor) -> bool:
        """Whether the row says that tables of this version are at ``cursor``."""
        return tuple(row) == (cursor.log_id, cursor.position, cursor.hash, self.version)

    def move_checkpoint(self, cursor: Cursor) -> Query:
        """Return the statement that stores ``cursor`` as the checkpoint."""
        return MOVE_CHECKPOINT, (cursor.log_id, cursor.position, cursor.hash, self.name)

    def append_statements(self, dialect: str, events: Sequence[Event]) -> Sequence[Query] | None:
        """Return :meth:`statements`; ``None`` where an event that fails is to be set aside."""
        return self.statements(dialect, events) if self.on_error == "stop" else None

    def statements(self, dialect: str, events: Sequence[Event]) -> Sequence[Query] | None:  # noqa: ARG002
        """Return what ``handle`` would execute for appended events; ``None``, as here, if unknown.

        It asks the database nothing. No event is redacted, and none is a redaction. A subclass,
        which may have other handlers, does not inherit it.
        """
        return None

    def position_of(self, version: int | None, position: int | None) -> int:
        """Return the position of what the checkpoint's row says; ``None`` is no row."""
        if version is None or version < self.version:
            return 0
        if version > self.version:
            raise ProjectionVersionError(self.name, self.version, version)
        return position or 0

    def __init_subclass__(cls, **options: Any) -> None:
        """Let statements stand beside the methods that they were written for alone."""
        super().__init_subclass__(**options)
        own = vars(cls)
        if StatedTables in cls.__bases__:
            return  # The table projection itself.
        if "statements" not in own:
            cls.statements = StatedTables.statements  # type: ignore[method-assign]
        if {"apply", "cursor"} & own.keys():
            # It is no StatedProjection then: an append calls its own methods.
            cls.ask_checkpoint = None  # type: ignore[assignment, method-assign]
