"""Projections of any names, with a row for each event, and what other programs do with tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Column, Integer, MetaData, String, Table

from projections import TableProjection
from support.totals import reader_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from eventstore import Event


def other_totals(name: str) -> TableProjection:
    """Return totals in a table of another name."""
    table = Table(name, MetaData(), Column("key", String, primary_key=True), Column("n", Integer))

    class Other(TableProjection):
        metadata = table.metadata

        def handle(self, connection: Connection, event: Event) -> None:
            connection.execute(table.insert().values(key=str(event.position), n=event.data))

    Other.name = name
    return Other()


def read_count(url: str, name: str) -> int:
    engine = reader_of(url)
    with engine.connect() as connection:
        found = connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one()
    engine.dispose()
    return int(found)


def run_sql(url: str, *statements: str) -> None:
    """Execute statements as another program."""
    engine = reader_of(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()
