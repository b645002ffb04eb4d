"""SQLAlchemy's engines for SQLite: for projections, and for queries of users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import URL, Engine, create_engine, event

from eventstore.storage.sqlite._connection_upon import refuse_nul
from eventstore.storage.sqlite.connection import (
    BUSY_SECONDS,
    READ_CONNECTIONS,
    USE_WAL,
    configure,
)
from eventstore.storage.sqlite.forked_files import check_inherited, check_usable
from eventstore.system.owners import keep_for_ever

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path


def make_engine(path: Path, *, wal: bool = True, size: int = READ_CONNECTIONS + 1) -> Engine:
    """Make an engine that leaves BEGIN and COMMIT to its users, and keeps connections: ``size``.

    With ``wal`` each connection switches the file to a write-ahead log, where it has none yet.
    Like PostgreSQL it refuses texts with NUL characters, so that projections are the same on both.
    """
    check_usable()
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        pool_size=size,
        max_overflow=-1,
    )

    @event.listens_for(engine, "do_connect")
    def check(*_: object) -> None:
        check_inherited(path)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        if wal:
            connection.execute(USE_WAL)
        configure(connection)

    event.listen(engine, "before_cursor_execute", refuse_nul)
    return engine


def keep_connections(engine: Engine) -> None:
    """Never close the idle connections of an engine; see :func:`keep_for_ever`."""
    for _ in range(getattr(engine.pool, "checkedin", int)()):
        keep_for_ever(engine.connect())
