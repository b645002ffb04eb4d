"""SQLAlchemy's connection upon one of the log's own, and what it refuses."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.pool import StaticPool

if TYPE_CHECKING:
    import sqlite3

    from sqlalchemy import Dialect


def connect_upon(raw: sqlite3.Connection) -> Connection:
    """Return SQLAlchemy's connection upon one that is open, in a transaction even.

    Closing it leaves the other open.
    """
    dialect, given = _initialised_dialect(), cast("Any", raw)
    engine = Engine(StaticPool(lambda: given, dialect=dialect), dialect, make_url("sqlite://"))
    prepare = dialect.on_connect()
    if prepare is not None:
        prepare(raw)
    event.listen(engine, "before_cursor_execute", refuse_nul)
    return engine.connect()


@cache
def _initialised_dialect() -> Dialect:
    """Return what SQLAlchemy knows of SQLite.

    An engine asks its first connection for that, and rolls back what that is in the middle of.
    """
    engine = create_engine("sqlite://", isolation_level="AUTOCOMMIT")
    engine.connect().close()
    engine.dispose()
    return engine.dialect


def refuse_nul(
    _connection: Any, _cursor: Any, _sql: str, parameters: Any, _context: Any, many: bool
) -> None:
    """Refuse texts with NUL characters, as PostgreSQL does: projections are the same on both."""
    # SQLAlchemy passes the rows of one multi-row statement as one flat sequence.
    rows = parameters if many and isinstance(parameters[0], tuple) else (parameters,)
    for row in rows:
        for value in row:  # Each value of each row: plain loops take half of any()'s time.
            if isinstance(value, str) and "\0" in value:
                reason = "a text has a NUL character, which no projection may hold: escape it"
                raise ValueError(reason)
