"""Statements that are compiled once: what a call adds to them."""

from __future__ import annotations

from typing import Final

import pytest
from sqlalchemy import BigInteger, Column, MetaData, String, Table, bindparam, select

from projections.tables.statements import MOST_WRITTEN, Statement

_things: Final = Table("things", MetaData(), Column("key", String, primary_key=True))

PAGE: Final = Statement(
    select(_things.c.key)
    .where(_things.c.key > bindparam("after"))
    .limit(bindparam("limit", type_=BigInteger))
    .offset(bindparam("offset", type_=BigInteger))
)


@pytest.mark.parametrize("limit", [0, 50, MOST_WRITTEN])
def test_a_server_gets_a_small_limit_as_part_of_the_text(limit: int) -> None:
    sql, values = PAGE.ask("postgresql", after="a", limit=limit, offset=0)
    assert sql.endswith(f" LIMIT {limit}")
    assert (sql.count("?"), values) == (1, ["a"])


@pytest.mark.parametrize(("limit", "offset"), [(50, 50), (MOST_WRITTEN + 1, 0), (2**63 - 1, 1)])
def test_any_other_limit_is_a_value(limit: int, offset: int) -> None:
    sql, values = PAGE.ask("postgresql", after="a", limit=limit, offset=offset)
    assert (sql.count("?"), values) == (3, ["a", limit, offset])


def test_on_sqlite_every_limit_is_a_value() -> None:
    sql, values = PAGE.ask("sqlite", after="a", limit=50, offset=0)
    assert (sql.count("?"), values) == (3, ["a", 50, 0])
