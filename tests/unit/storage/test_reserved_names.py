"""Which names of tables are the log's own."""

from __future__ import annotations

import pytest

from eventstore.storage.catalog import TABLES
from eventstore.storage.reserved_names import is_reserved


@pytest.mark.parametrize(
    "name",
    [
        *TABLES,
        "Consumer",
        "EVENT",
        '"event"',
        "[Head]",
        "main.stream",
        'public."Kept"',
        "projection",
        "projection_tables",
        "Projection_Set_Aside",
        "touched",
        "schema_migrations",
        "sql_capture",
        "sql_capture_state",
        "sqlite_sequence",
        "pg_class",
    ],
)
def test_names_of_the_log_are_reserved_however_they_are_written(name: str) -> None:
    assert is_reserved(name)


@pytest.mark.parametrize("name", ["events", "consumers", "order", "projections", "head_count", ""])
def test_other_names_are_free(name: str) -> None:
    assert not is_reserved(name)
