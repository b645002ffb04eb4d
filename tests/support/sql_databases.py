"""What a program's tables hold on either database, and when computed from the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from projections.sql.postgres._capture import PostgresCapture
from projections.sql.postgres.replay import PostgresReplay
from support.postgres import shared_server
from support.sql_tables import computed, dump_file, file_of, read_log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def each_kind() -> Any:
    """Return a fixture that names each database in turn."""

    @pytest.fixture(params=["sqlite", "postgres"])
    def kind(request: pytest.FixtureRequest) -> str:
        return str(request.param)

    return kind


def fresh_url(kind: str, directory: Path, name: str = "log") -> str:
    """Name a log that does not exist yet: ``sqlite``, in that directory, or ``postgres``."""
    if kind == "sqlite":
        return f"sqlite:///{directory / name}.db"
    return shared_server().fresh_schema()


def tables_of(url: str, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Return every row of every table, or of some, exactly."""
    if url.startswith("sqlite"):
        found = dump_file(file_of(url))
        return found if names is None else {name: found[name] for name in names}
    with psycopg.connect(url) as raw:
        return _dump(raw, PostgresCapture(raw).list_tables() if names is None else names)


def computed_tables(url: str) -> dict[str, Any]:
    """Return the same of tables that are computed from the log in another database."""
    if url.startswith("sqlite"):
        found: dict[str, Any] = computed(url)
        return found
    events = read_log(url)
    with psycopg.connect(shared_server().fresh_schema()) as raw:
        replay = PostgresReplay(raw)
        for commit in sorted({event.commit for event in events}):
            replay.apply([event for event in events if event.commit == commit])
        replay.finish()
        return _dump(raw, replay.tables)


def _dump(raw: psycopg.Connection[Any], names: Sequence[str]) -> dict[str, Any]:
    raw.execute("SET extra_float_digits = 1; SET TimeZone = 'UTC'")
    # Whole rows as text. No column has the alias's name: PostgreSQL would give that column alone.
    select = sql.SQL('SELECT "whole row"::text FROM {} "whole row"')
    return {
        name: sorted(raw.execute(select.format(sql.Identifier(name))).fetchall()) for name in names
    }
