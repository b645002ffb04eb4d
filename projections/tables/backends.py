"""Which database a URL names: the one place that chooses between SQLite and PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.errors import ConfigError
from eventstore.storage.backends import ALIASES
from projections.tables.sqlite import SqliteDatabase

if TYPE_CHECKING:
    from projections.tables.database import Database


def make_database(url: str) -> Database:
    """Return the database at ``url``; raise ConfigError where projections cannot live there."""
    scheme = url.partition(":")[0]
    if ALIASES.get(scheme, scheme) == "postgresql":
        try:
            from projections.tables.postgres import PostgresDatabase  # noqa: PLC0415
        except ImportError as error:
            raise ConfigError(
                "projections on PostgreSQL need the driver: "
                f"pip install 'ruletide[postgres]' ({error})"
            ) from error
        return PostgresDatabase(url)
    if scheme not in {"sqlite", "memory"}:
        # Without what follows the scheme: that may hold a password.
        raise ConfigError(
            f"a projection cannot live in {scheme}://…: name a SQLite file or a PostgreSQL"
        )
    return SqliteDatabase(url)
