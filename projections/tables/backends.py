"""Which database a URL names: the one place that chooses between SQLite and PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.errors import ConfigError
from eventstore.system.extras import needs_extra
from eventstore.system.secret_url import SecretUrl
from projections.tables.sqlite import SqliteDatabase

if TYPE_CHECKING:
    from projections.tables.database import Database


def make_database(given: str | SecretUrl) -> Database:
    """Return the database at a URL; raise ConfigError where projections cannot live there."""
    url = SecretUrl.of(given)
    if url.scheme == "postgresql":
        with needs_extra("postgres", "a projection on PostgreSQL"):
            from projections.tables.postgres import PostgresDatabase  # noqa: PLC0415
        return PostgresDatabase(url)
    if url.scheme not in {"sqlite", "memory"}:
        raise ConfigError(f"a projection cannot live in {url}: name a SQLite file or a PostgreSQL")
    return SqliteDatabase(url)
