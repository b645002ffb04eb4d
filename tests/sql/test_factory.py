"""The settings choose the storage; an unknown one is an error, not a default."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.sql_tables import PEOPLE, changes

from projections.sql import SqlStorage, close_sql_storages, get_sql_storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.sql_tables import Migrations


@pytest.fixture(autouse=True)
def _settings(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("EVENTSTORE_URL", url)
    monkeypatch.delenv("EVENTSTORE_SQL_TYPE", raising=False)
    yield
    close_sql_storages()


def test_one_storage_serves_the_process(migrations: Migrations, url: str) -> None:
    storage = get_sql_storage()
    assert isinstance(storage, SqlStorage)
    assert get_sql_storage() is storage
    storage.apply_migrations(migrations.write("1", PEOPLE))
    with get_sql_storage().connection() as c:
        c.execute("INSERT INTO person (id) VALUES (1)")
    assert len(changes(url)) == 1
    close_sql_storages()
    assert get_sql_storage() is not storage


def test_the_variable_is_trimmed_and_its_case_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTSTORE_SQL_TYPE", " SQLite ")
    assert get_sql_storage().backend_name == "sqlite"


@pytest.mark.parametrize(
    ("value", "reason"),
    [("mysql", "one of database, sqlite, postgres"), ("postgres", "asks for postgresql")],
)
def test_anything_else_is_an_error_that_names_what_may_be(
    monkeypatch: pytest.MonkeyPatch, value: str, reason: str
) -> None:
    monkeypatch.setenv("EVENTSTORE_SQL_TYPE", value)
    with pytest.raises(ValueError, match=reason):
        get_sql_storage()


@pytest.mark.parametrize("log", ["memory://", "ftp://x"])
def test_a_log_that_is_no_database_is_refused(log: str) -> None:
    with pytest.raises(ValueError, match=r"memory|known"):
        SqlStorage(log)
