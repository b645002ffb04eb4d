"""The choice between SQLite and PostgreSQL: the only common module that knows both.

The modules of PostgreSQL are imported when they are needed: its driver is an extra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventstore.system.extras import needs_extra
from eventstore.system.secret_url import SecretUrl
from projections.sql.sqlite.copy import SqliteCopy
from projections.sql.sqlite.dialect import SqliteDialect
from projections.sql.sqlite.trial import SqliteTrial

if TYPE_CHECKING:
    from projections.sql._copy_database import CopyDatabase
    from projections.sql._dialect import SqlDialect
    from projections.sql._trial import ReservedNames, Trial

_POSTGRES: Final = "postgresql"


def dialect_type(backend: str) -> type[SqlDialect]:
    """Return the dialect of a log's backend (``sqlite`` or ``postgresql``)."""
    if backend != _POSTGRES:
        return SqliteDialect
    from projections.sql.postgres.dialect import PostgresDialect  # noqa: PLC0415 - optional

    return PostgresDialect


def make_trial(dialect: str, names: ReservedNames) -> Trial:
    """Return what tries out events of a dialect (``sqlite`` or ``postgres``).

    Raises LookupError for another.
    """
    if dialect == SqliteDialect.name:
        return SqliteTrial(names)
    if dialect != "postgres":
        raise LookupError(f"definitions of {dialect[:40]!r}, which is no database known here")
    from projections.sql.postgres.trial import PostgresTrial  # noqa: PLC0415 - optional

    return PostgresTrial(names)


def make_copy(url: str, name: str) -> CopyDatabase:
    """Return the database of a copy, not yet opened."""
    if SecretUrl(url).scheme != _POSTGRES:
        return SqliteCopy(url, name)
    with needs_extra("postgres", "a copy on PostgreSQL"):
        from projections.sql.postgres.copy import PostgresCopy  # noqa: PLC0415 - optional

    return PostgresCopy(url, name)
