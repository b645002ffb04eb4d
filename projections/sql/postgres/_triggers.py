"""The triggers that write the row changes of one PostgreSQL table into the capture table."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from projections.sql._identifiers import CAPTURE, quote_name, quote_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projections.sql.model import CapturedTable

ROW_TRIGGER: Final = "!" + CAPTURE
"""PostgreSQL runs triggers in the order of their names: this one sorts first."""

TRUNCATE_TRIGGER: Final = f"!{CAPTURE}_truncate"

CAPTURE_SETTING: Final = "eventstore.capture"
"""The setting of a session whose changes are recorded; no other may change the tables."""


def function_name(table: str) -> str:
    """Return the name of a table's trigger function."""
    return f"{CAPTURE}_{sha256(table.encode()).hexdigest()[:16]}"


_LANGUAGE: Final = "LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp"


def make_triggers(table: CapturedTable, schema: str) -> list[str]:
    """Return the statements that create a table's triggers; ``schema`` is quoted."""
    function = f"{schema}.{function_name(table.name)}()"
    name = quote_name(table.name)
    body = quote_text(_function_body(table, schema))
    called = f"EXECUTE FUNCTION {function}"
    row_events = "AFTER INSERT OR UPDATE OR DELETE"
    return [
        f"CREATE OR REPLACE FUNCTION {function} RETURNS trigger {_LANGUAGE} AS {body}",
        f"CREATE TRIGGER {quote_name(ROW_TRIGGER)} {row_events} ON {name} FOR EACH ROW {called}",
        f"CREATE TRIGGER {quote_name(TRUNCATE_TRIGGER)} BEFORE TRUNCATE ON {name} {called}",
    ]


def _function_body(table: CapturedTable, schema: str) -> str:
    return f"""
            DECLARE before text[]; after text[];
            BEGIN
                IF current_setting('{CAPTURE_SETTING}', true) IS DISTINCT FROM 'on' THEN
                    RAISE EXCEPTION 'changes of % are recorded: use SqlStorage.connection()',
                        TG_TABLE_NAME;
                ELSIF TG_OP = 'TRUNCATE' THEN
                    RAISE EXCEPTION 'TRUNCATE of % would not be recorded: use DELETE',
                        TG_TABLE_NAME;
                END IF;
                IF TG_OP <> 'INSERT' THEN before := {_row_as_texts("OLD", table.columns)}; END IF;
                IF TG_OP <> 'DELETE' THEN after := {_row_as_texts("NEW", table.columns)}; END IF;
                INSERT INTO {schema}.{CAPTURE} (op, tbl, old, new)
                    VALUES (TG_OP, {quote_text(table.name)}, before, after);
                RETURN NULL;
            END"""


def _row_as_texts(which: str, columns: Sequence[str]) -> str:
    texts = ", ".join(f"{which}.{quote_name(column)}::text" for column in columns)
    return f"ARRAY[{texts}]::text[]"
