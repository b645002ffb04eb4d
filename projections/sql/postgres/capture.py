"""Capturing row changes on PostgreSQL: one trigger per table, which writes into one table.

Values are kept as the texts that PostgreSQL itself writes and reads again. The trigger's name
sorts first, because triggers run in the order of their names. The capture table is not logged:
what is in it never outlives its transaction.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from projections.sql.corrections import same, settle
from projections.sql.model import OWN_PREFIX, Change, Table
from projections.sql.sqlite.schema import RESERVED, quote, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from projections.sql.model import Op, Row

TRIGGER: Final = "!" + OWN_PREFIX
KEEPER: Final = f"!{OWN_PREFIX}_truncate"
SWITCH: Final = "eventstore.capture"
"""What a session sets while its changes are recorded; no other may change the tables."""

OPS: Final[dict[str, Op]] = {"INSERT": "insert", "UPDATE": "update", "DELETE": "delete"}
BATCH: Final = 1000

_INTEGERS: Final = {"smallint", "integer", "bigint", "oid"}
_FLOATS: Final = {"real", "double precision"}


class PgTable(NamedTuple):
    """A table with the type of each of its columns."""

    table: Table
    types: dict[str, str]
    fixed: frozenset[str]
    """Columns that are GENERATED ALWAYS AS IDENTITY: given by nobody but the replay."""


def list_tables(raw: Any) -> list[str]:
    """Return the tables of the log's schema that are neither the log's nor the storage's own."""
    rows = raw.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace "
        "AND relkind IN ('r', 'p') ORDER BY 1"
    ).fetchall()
    return [name for (name,) in rows if name not in RESERVED and not name.startswith(OWN_PREFIX)]


def read_table(raw: Any, name: str) -> PgTable:
    """Return what a table is made of; its key is empty where it has no primary key."""
    rows = raw.execute(
        "SELECT attname, format_type(atttypid, atttypmod), attidentity::text FROM pg_attribute "
        "WHERE attrelid = (current_schema() || '.' || quote_ident(%s))::regclass "
        "AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
        (name,),
    ).fetchall()
    key = raw.execute(
        "SELECT a.attname FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) "
        "WITH ORDINALITY AS k (num, place) "
        "JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num "
        "WHERE i.indrelid = (current_schema() || '.' || quote_ident(%s))::regclass "
        "AND i.indisprimary ORDER BY k.place",
        (name,),
    ).fetchall()
    return PgTable(
        Table(name, tuple(row[0] for row in rows), tuple(row[0] for row in key)),
        {row[0]: row[1] for row in rows},
        frozenset(row[0] for row in rows if row[2] == "a"),
    )


def captured(raw: Any) -> list[str]:
    """Return the names of the tables that are captured."""
    rows = raw.execute(
        "SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
        "WHERE c.relnamespace = current_schema()::regnamespace AND t.tgname = %s ORDER BY 1",
        (TRIGGER,),
    ).fetchall()
    return [name for (name,) in rows]


def version(raw: Any) -> tuple[bool, str]:
    """Return whether the transaction has written, and what is another whenever tables were.

    Triggers are made anew by each migration.
    """
    written, made = raw.execute(
        "SELECT pg_current_xact_id_if_assigned() IS NOT NULL, "
        "(SELECT string_agg(t.oid::text, ' ' ORDER BY t.oid) FROM pg_trigger t "
        "JOIN pg_class c ON c.oid = t.tgrelid "
        "WHERE c.relnamespace = current_schema()::regnamespace AND t.tgname = %s)",
        (TRIGGER,),
    ).fetchone()
    return written, made or ""


def _function(name: str) -> str:
    return f"{OWN_PREFIX}_{sha256(name.encode()).hexdigest()[:16]}"


def install(raw: Any, tables: Iterable[PgTable]) -> None:
    """Capture these tables too, from now on."""
    (schema,) = raw.execute("SELECT quote_ident(current_schema())").fetchone()
    raw.execute(
        f"CREATE UNLOGGED TABLE IF NOT EXISTS {OWN_PREFIX} (id bigint GENERATED ALWAYS AS "
        "IDENTITY PRIMARY KEY, op text NOT NULL, tbl text NOT NULL, old text[], new text[])"
    )
    for one in tables:
        name, function = one.table.name, _function(one.table.name)

        def row(which: str, columns: Sequence[str] = one.table.columns) -> str:
            return f"ARRAY[{', '.join(f'{which}.{quote(c)}::text' for c in columns)}]::text[]"

        raw.execute(
            f"""CREATE OR REPLACE FUNCTION {schema}.{function}() RETURNS trigger
            LANGUAGE plpgsql AS {
                text(f'''
            DECLARE before text[]; after text[];
            BEGIN
                IF current_setting('{SWITCH}', true) IS DISTINCT FROM 'on' THEN
                    RAISE EXCEPTION 'changes of % are recorded: use SqlStorage.connection()',
                        TG_TABLE_NAME;
                ELSIF TG_OP = 'TRUNCATE' THEN
                    RAISE EXCEPTION 'TRUNCATE of % would not be recorded: use DELETE',
                        TG_TABLE_NAME;
                END IF;
                IF TG_OP <> 'INSERT' THEN before := {row("OLD")}; END IF;
                IF TG_OP <> 'DELETE' THEN after := {row("NEW")}; END IF;
                INSERT INTO {schema}.{OWN_PREFIX} (op, tbl, old, new)
                    VALUES (TG_OP, {text(name)}, before, after);
                RETURN NULL;
            END''')
            }"""
        )
        called = f"EXECUTE FUNCTION {schema}.{function}()"
        raw.execute(
            f"CREATE TRIGGER {quote(TRIGGER)} AFTER INSERT OR UPDATE OR DELETE ON {quote(name)} "
            f"FOR EACH ROW {called}"
        )
        raw.execute(f"CREATE TRIGGER {quote(KEEPER)} BEFORE TRUNCATE ON {quote(name)} {called}")


def remove(raw: Any) -> None:
    """Capture nothing any more."""
    for name in captured(raw):
        for trigger in (TRIGGER, KEEPER):
            raw.execute(f"DROP TRIGGER IF EXISTS {quote(trigger)} ON {quote(name)}")
        raw.execute(f"DROP FUNCTION IF EXISTS {_function(name)}()")


def drain(raw: Any, tables: Mapping[str, PgTable]) -> Iterator[Change]:
    """Yield what was captured in this transaction, in order; the caller clears it afterwards."""
    plain = {name: one.table for name, one in tables.items()}

    def fetch(table: Table, key: Sequence[Any]) -> Row | None:
        one = tables[table.name]
        where = " AND ".join(f"{quoted(c)} = %s::{one.types[c]}" for c in table.key)
        columns = ", ".join(f"{quoted(column)}::text" for column in table.columns)
        sql = f"SELECT {columns} FROM {quoted(table.name)} WHERE {where}"
        row = raw.execute(sql, [to_text(value) for value in key]).fetchone()
        return None if row is None else _row(one, row)

    yield from settle(_captured(raw, tables), plain, fetch)


def _captured(raw: Any, tables: Mapping[str, PgTable]) -> Iterator[Change]:
    # Several statements in one exchange. What is deferred to the commit may change rows too.
    cursor = raw.execute(
        f"SET CONSTRAINTS ALL IMMEDIATE; DECLARE {OWN_PREFIX}_rows NO SCROLL CURSOR FOR "
        f"SELECT op, tbl, old, new FROM {OWN_PREFIX} ORDER BY id; "
        f"FETCH {BATCH} FROM {OWN_PREFIX}_rows"
    )
    while cursor.nextset():
        pass
    rows = cursor.fetchall()
    while rows:
        for op, name, old, new in rows:
            one = tables[name]
            before = None if old is None else _row(one, old)
            after = None if new is None else _row(one, new)
            if before and after and all(same(before[c], after[c]) for c in before):
                continue
            known = before or after or {}
            key = {column: known[column] for column in one.table.key}
            yield Change(name, OPS[op], key, before, after)
        if len(rows) < BATCH:
            break
        rows = raw.execute(f"FETCH {BATCH} FROM {OWN_PREFIX}_rows").fetchall()


def quoted(name: str) -> str:
    """Return an identifier that may stand in SQL with psycopg's placeholders."""
    return quote(name).replace("%", "%%")


def clear(raw: Any) -> None:
    """Forget what was drained."""
    raw.execute(f"CLOSE {OWN_PREFIX}_rows; DELETE FROM {OWN_PREFIX}")


def _row(one: PgTable, values: Sequence[str | None]) -> Row:
    pairs = zip(one.table.columns, values, strict=True)
    return {
        column: None if value is None else _from_text(one.types[column], value)
        for column, value in pairs
    }


def _from_text(kind: str, value: str) -> Any:
    """Return what JSON has a kind of its own for; other types stay PostgreSQL's text."""
    if kind in _INTEGERS:
        return int(value)
    if kind in _FLOATS:
        return float(value)
    if kind == "boolean":
        return value == "true"
    if kind == "bytea":
        return bytes.fromhex(value.removeprefix("\\x"))
    return value


def to_text(value: Any) -> str | None:
    """Return the text that PostgreSQL reads a captured value from."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


# What the view pg_stat_xact_user_tables shows of them, in half its time. The server's own tables
# have smaller numbers than FirstNormalObjectId.
_COUNT_CHANGES: Final = """
SELECT n.nspname || '.' || c.relname, c.changes,
    CASE WHEN n.nspname = current_schema() THEN c.relname END
FROM (
    SELECT relname, relnamespace, pg_stat_get_xact_tuples_inserted(oid)
        + pg_stat_get_xact_tuples_updated(oid) + pg_stat_get_xact_tuples_deleted(oid) AS changes
    FROM pg_class WHERE relkind IN ('r', 'm') AND oid >= 16384 OFFSET 0
) c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.changes > 0 AND n.nspname NOT LIKE 'pg\\_%'
"""


def count_changes(raw: Any) -> dict[str, int]:
    """Return how many rows of each table this session has changed, as far as it knows.

    The numbers only grow within a transaction; before it, the server may have taken them over.
    """
    rows = raw.execute(_COUNT_CHANGES).fetchall()
    return {here or name: count for name, count, here in rows}


def find_stray(raw: Any, before: Mapping[str, int], tables: Iterable[str]) -> list[str]:
    """Return tables that were changed since ``before`` although they are not captured."""
    now = count_changes(raw)
    changed = {name for name, count in now.items() if count > before.get(name, 0)}
    return sorted(changed - {*tables, OWN_PREFIX})
