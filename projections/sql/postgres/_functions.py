"""Functions that a statement may not call: they act beyond the rows that are captured.

Their effects outlive a rollback, reach the next user of the session, or come from a text of SQL
that is not judged. Of PostgreSQL's own functions called ``pg_…`` only those that read are allowed,
by :data:`_READING`; the others are refused by name. Functions of migrations are judged where they
are made.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from projections.sql._identifiers import CAPTURE, is_reserved
from projections.sql.postgres.parser import strings

if TYPE_CHECKING:
    from collections.abc import Sequence

CHANNEL_PREFIX: Final = "eventstore"
"""Channels of NOTIFY that begin so wake the log's followers."""

_REFUSED: Final = re.compile(
    "set_config|setseed|lo_.*|loread|lowrite"  # settings, large objects
    "|(query|cursor)_to_xml.*|ts_stat|crosstab.*|connectby|xpath_table|xslt_process"  # texts of SQL
    "|dblink.*|postgres_fdw_.*|file_fdw_.*|plpgsql_.*|http(_.*)?|schedule(_.*)?"  # elsewhere
    "|binary_upgrade_.*|brin_(de)?summ.*|gin_clean_pending_list|currtid2"  # the server's own
)

_READING: Final = re.compile(
    "pg_(get_|stat_get_|snapshot_|lsn|wal_lsn_|timezone_|current_|describe_|identify_|input_)[a-z_]*"
    "|pg_(typeof|basetype|collation_for|backend_pid|client_encoding|is_in_recovery|sleep|sleep_for"
    "|sleep_until|has_role|trigger_depth|jit_available|postmaster_start_time|conf_load_time"
    "|options_to_table|listening_channels|my_temp_schema|is_other_temp_schema|blocking_pids"
    "|xact_status|visible_in_snapshot|relation_filenode|relation_is_updatable"
    "|column_is_updatable|column_compression|encoding_to_char|char_to_encoding|encoding_max_length"
    "|sequence_parameters|sequence_last_value|tablespace_location|available_extensions"
    "|show_all_settings|partition_(root|tree|ancestors)|index(am)?_(column_)?has_property"
    "|size_(pretty|bytes)|[a-z_]+_size|[a-z_]+_is_visible)"
)

_SEQUENCE_FUNCTIONS: Final = {"nextval", "setval", "currval"}
_REWRITE_WITH_SQL: Final = 2
"""Arguments of the form of ``ts_rewrite`` that takes a query as text."""


def refuse_call(call: dict[str, Any]) -> str:
    """Return why a ``FuncCall`` is refused, empty where it is not."""
    names = strings(call.get("funcname", []))
    name = names[-1].lower() if names else ""
    arguments = call.get("args", [])
    if name in _SEQUENCE_FUNCTIONS:
        return _refuse_sequence(name, arguments)
    if name == "pg_notify":
        return _refuse_channel(arguments)
    refused = _REFUSED.fullmatch(name) or (
        name == "ts_rewrite" and len(arguments) <= _REWRITE_WITH_SQL
    )
    if refused or (name.startswith("pg_") and not _READING.fullmatch(name)):
        return f"{name}() acts on more than rows of tables: what it does would not be recorded"
    if is_reserved(name):
        return f"{name}() is not for statements of a program"
    return ""


def _refuse_sequence(name: str, arguments: Sequence[Any]) -> str:
    text = constant(arguments[0]) if arguments else None
    if text is None:
        # A value is known only when it runs: it may name the capture table's sequence.
        return f"{name}() takes the sequence's name as a literal here" if name == "setval" else ""
    if any(is_reserved(part.strip('"')) for part in text.lower().split(".")):
        return f"{name}() of a sequence that is not the program's own"
    return ""


def _refuse_channel(arguments: Sequence[Any]) -> str:
    text = constant(arguments[0]) if arguments else None
    if text is None or text.lower().startswith((CHANNEL_PREFIX, CAPTURE)):
        return "pg_notify() takes a literal as its channel here, and not one of the log's own"
    return ""


def constant(node: Any) -> str | None:
    """Return the text of a literal, cast or not; ``None`` for any other expression."""
    while "TypeCast" in node:
        node = node["TypeCast"]["arg"]
    value = node.get("A_Const", {}).get("sval")
    return None if value is None else str(value.get("sval", ""))
