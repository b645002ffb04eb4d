"""A fresh log for a test, on each kind of database."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from eventstore.errors import ConfigError
from eventstore.system.extras import needs_extra
from eventstore.system.secret_url import SecretUrl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def fresh_log(database: str, directory: Path) -> Iterator[str]:
    """Give the URL of a log that is not there yet, in ``memory``, ``sqlite`` or a PostgreSQL.

    A file is made in ``directory``. In a PostgreSQL, named by its URL, the log has a schema of its
    own, which is dropped at the end. Raises ConfigError for any other database.
    """
    if database == "memory":
        yield "memory://"
    elif database == "sqlite":
        yield f"sqlite:///{directory}/events.db"
    elif database.startswith("postgresql://"):
        with fresh_schema(database) as url:
            yield url
    else:
        raise ConfigError(
            f"{SecretUrl(database)!r} is no database for tests: name memory, sqlite or the URL of "
            "a PostgreSQL"
        )


@contextmanager
def fresh_schema(url: str) -> Iterator[str]:
    """Make an empty schema in a PostgreSQL database; give a URL that finds its tables there."""
    with needs_extra("postgres", "a test on PostgreSQL"):
        import psycopg  # noqa: PLC0415 - what runs on other databases needs no driver

    schema = f"test_{secrets.token_hex(8)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
        try:
            yield _searching(url, schema)
        finally:
            connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())


def _searching(url: str, schema: str) -> str:
    """Return a URL with the schema in its search path."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    query["options"] = f"{query.get('options', '')} -csearch_path={schema}".strip()
    return parts._replace(query=urlencode(query, quote_via=quote)).geturl()
