"""Parameters are told from text that only looks like them, and statements are split."""

from __future__ import annotations

import pytest

from projections.sql.postgres._lexer import first_words, number_parameters, split_script

PARAMETERS = [
    ("SELECT ?", 1),
    ("SELECT * FROM t WHERE a = ? AND b IN (?, ?) LIMIT ? OFFSET ?", 5),
    ("SELECT a||?||b, x=?, y<>?, -?, z>=?::int", 5),
    ("INSERT INTO t VALUES (?,?) ON CONFLICT (a) DO UPDATE SET b = ? RETURNING ?", 4),
    ("SELECT CASE WHEN ? THEN ? ELSE ? END", 3),
    ("SELECT a BETWEEN ? AND ? OR NOT ? OR b LIKE ? ESCAPE ?", 5),
    ("SELECT '?', 'it''s ?', E'\\'?', U&'?', B'?', \"a?\"\"?\" FROM t", 0),
    ("SELECT $$?$$, $a$ ? $$ ? $a$, $é$?$é$ -- ?\n /* ? /* ? */ ? */", 0),
    ("SELECT a$b$?, c", 0),
    ("SELECT data ? 'key', data ?| ARRAY['a'], data ?& names, (data) ? 'b', d[1] ? 'c'", 0),
    ("SELECT data -> 'x' ? 'y', data @? '$.a', \"data\" ? ?, '{}' ? ?", 2),
    ("SELECT data ? ? AND data ?| ?", 2),
]


@pytest.mark.parametrize(("sql", "count"), PARAMETERS, ids=[sql for sql, _ in PARAMETERS])
def test_parameters_are_counted(sql: str, count: int) -> None:
    query, found = number_parameters(sql)
    assert found == count
    for number in range(1, count + 1):
        query = query.replace(f" ${number} ", "?", 1)
    assert query == sql


def test_percent_signs_stay_themselves() -> None:
    sql = "SELECT '100%', 5 % ?5, \"%s\""
    assert number_parameters(sql) == ("SELECT '100%', 5 %  $1 5, \"%s\"", 1)


def test_statements_end_where_the_server_says() -> None:
    script = "SELECT 1; -- ;\nSELECT ';' /* ; */; CREATE FUNCTION f() AS $x$ a; b; $x$;;SELECT 2"
    assert [one.split()[-1] for one in split_script(script)] == ["1", "*/", "$x$", "2"]
    assert first_words(" -- x\n (SELECT 1)") == ("select",)
