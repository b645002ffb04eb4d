"""The pattern of a log's schema on PostgreSQL is what its migrations make."""

from __future__ import annotations

from support.write_catalog import pattern

from eventstore.storage.postgres._catalog import read_pattern


def test_what_is_written_down_is_what_the_migrations_make() -> None:
    assert read_pattern() == pattern(), "run: PYTHONPATH=.:tests python -m support.write_catalog"
