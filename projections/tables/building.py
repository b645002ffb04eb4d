"""Which way a new version of a projection is built beside the old one, by the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projections.tables._builds_postgres import PostgresBuild
from projections.tables._builds_sqlite import SqliteBuild

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from projections.tables._builds import Build, Built
    from projections.tables.ledger import Ledger


def make_build(connection: Connection, projection: Built, ledger: Ledger) -> Build:
    """Return the build of a projection's version, in the transaction of ``connection``."""
    kind = PostgresBuild if connection.dialect.name == "postgresql" else SqliteBuild
    return kind(connection, projection, ledger)


def recreate_build(connection: Connection, projection: Built, ledger: Ledger) -> None:
    """Empty a build, within itself. On SQLite: on PostgreSQL it has a schema of its own."""
    SqliteBuild(connection, projection, ledger).recreate()
