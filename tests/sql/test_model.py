"""Random SQL: the tables that are computed from the log equal those that the SQL has left."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from support import sql_random_postgres, sql_random_sqlite
from support.examples import examples
from support.postgres import shared_server
from support.sql_databases import computed_tables, tables_of
from support.sql_tables import read_log, trim_log

from projections.sql import SqlStorage

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

Statement = tuple[str, tuple[Any, ...]]


class Dialect(NamedTuple):
    """What one database is tested with, and for how long."""

    schema: str
    statements: SearchStrategy[Statement]
    make_url: Callable[[Path], str]
    statement_errors: tuple[type[sqlite3.Error], ...]
    """What a random statement may raise."""
    commit_errors: tuple[type[sqlite3.Error], ...]
    commits: set[str]
    """Statements after which a failure cannot undo everything."""
    examples: int
    steps: int


SQLITE = Dialect(
    sql_random_sqlite.SCHEMA,
    sql_random_sqlite.statements,
    lambda root: f"sqlite:///{root / 'log.db'}",
    (sqlite3.IntegrityError, sqlite3.OperationalError),
    (sqlite3.IntegrityError,),
    {"COMMIT", "RELEASE one"},
    examples=8,
    steps=8,
)
POSTGRES = Dialect(
    sql_random_postgres.SCHEMA,
    sql_random_postgres.statements,
    lambda _: shared_server().fresh_schema(),
    (sqlite3.Error,),
    (sqlite3.Error,),
    {"COMMIT"},
    examples=2,
    steps=5,
)


class RandomSql(RuleBasedStateMachine):
    """Transactions of random statements, some failing, some rolled back."""

    dialect: ClassVar[Dialect]

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory()
        root = Path(self._directory.name)
        migrations = root / "migrations"
        migrations.mkdir()
        (migrations / "1.sql").write_text(self.dialect.schema)
        self.url = self.dialect.make_url(root)
        self.storage = SqlStorage(self.url, notify="none")
        self.storage.apply_migrations(migrations)
        self._trims = 0

    @rule(data=st.data(), count=st.integers(1, 6), fails=st.booleans())
    def transact(self, data: st.DataObject, count: int, fails: bool) -> None:
        dialect = self.dialect
        statements = [data.draw(dialect.statements) for _ in range(count)]
        before = len(read_log(self.url)), tables_of(self.url)
        with (
            suppress(ZeroDivisionError, *dialect.commit_errors),
            self.storage.connection() as c,
        ):
            for sql, parameters in statements:
                with suppress(*dialect.statement_errors):
                    c.execute(sql, parameters)
            if fails:
                raise ZeroDivisionError
        if fails and not any(sql in dialect.commits for sql, _ in statements):
            assert (len(read_log(self.url)), tables_of(self.url)) == before

    @rule()
    def rebuild(self) -> None:
        before = tables_of(self.url)
        self.storage.rebuild()
        assert tables_of(self.url) == before

    @rule(share=st.floats(0.1, 1))
    def trim(self, share: float) -> None:
        self._trims += 1
        trim_log(self.url, share, Path(self._directory.name) / f"{self._trims}.export")

    @invariant()
    def computed_from_the_log_they_are_the_same(self) -> None:
        assert computed_tables(self.url) == tables_of(self.url)

    @invariant()
    def a_commit_is_one_event(self) -> None:
        rows = [event for event in read_log(self.url) if event.type == "RowsChanged"]
        assert all(event.position == event.commit for event in rows)

    def teardown(self) -> None:
        self.storage.close()
        self._directory.cleanup()


class RandomSqlOnSqlite(RandomSql):
    dialect = SQLITE


class RandomSqlOnPostgres(RandomSql):
    dialect = POSTGRES


@pytest.mark.promise("sql")
@pytest.mark.hypothesis
@pytest.mark.timeout(600)
@pytest.mark.parametrize("machine", [RandomSqlOnSqlite, RandomSqlOnPostgres])
def test_random_statements_leave_the_tables_that_the_log_gives(machine: type[RandomSql]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples(machine.dialect.examples),
            stateful_step_count=machine.dialect.steps,
            deadline=None,
            # Shrinking takes minutes where there is much to try.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
