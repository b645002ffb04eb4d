"""The pattern of a log's schema on PostgreSQL is what its migrations make."""

from __future__ import annotations

from support.write_catalog import pattern

from eventstore.storage.schema_check import kept_pattern


def test_what_is_written_down_is_what_the_migrations_make() -> None:
    assert kept_pattern() == pattern(), "run: PYTHONPATH=.:tests python -m support.write_catalog"
