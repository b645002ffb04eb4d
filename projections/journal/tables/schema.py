"""The tables of the journal.

Times are microseconds since the epoch; :mod:`projections.journal.columns` says how columns hold
free text.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table

from projections.tables.columns import ByteOrder, ByteOrderText, RowId

journal_tables: Final = MetaData()

project_table: Final = Table(
    "journal_project",
    journal_tables,
    Column("id", RowId, primary_key=True, autoincrement=False),
    Column("name", ByteOrder, nullable=False, unique=True),
    Column("repo_root", ByteOrderText, nullable=False),
    Column("progress_log_path", ByteOrderText, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("success", BigInteger, nullable=False),
    Column("warn", BigInteger, nullable=False),
    Column("error", BigInteger, nullable=False),
)
"""The projects, with the numbers of their entries."""

entry_table: Final = Table(
    "journal_entry",
    journal_tables,
    Column("position", RowId, primary_key=True, autoincrement=False),
    Column("project_id", BigInteger, nullable=False),
    Column("ts_us", BigInteger, nullable=False),
    Column("agent", ByteOrder),
    Column("emoji", ByteOrder),
    # ``str.casefold`` of the message, so that case folds alike on every database.
    Column("folded", ByteOrderText, nullable=False),
    Column("message", ByteOrderText, nullable=False),
    Column("entry_id", ByteOrder, nullable=False, unique=True),
    Column("ts", ByteOrder, nullable=False),
    Column("meta", ByteOrderText),
    Column("raw_line", ByteOrderText, nullable=False),
    # Each is in the order of pages, and covers the columns that a count filters by.
    Index("journal_entry_order", "project_id", "ts_us", "position", "agent", "emoji"),
    Index("journal_entry_agent", "project_id", "agent", "ts_us", "position", "emoji"),
    Index("journal_entry_emoji", "project_id", "emoji", "ts_us", "position", "agent"),
)
"""The entries. ``meta`` is JSON; ``position`` is that of the entry's event."""

meta_table: Final = Table(
    "journal_meta",
    journal_tables,
    Column("project_id", BigInteger, primary_key=True, autoincrement=False),
    Column("key", ByteOrder, primary_key=True),
    Column("value", ByteOrder, primary_key=True),
    Column("ts_us", BigInteger, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("is_text", Integer, nullable=False),
    sqlite_with_rowid=False,
)
"""Each entry's metadata, key by key: see :func:`~projections.journal.columns.meta_value`."""

document_table: Final = Table(
    "journal_document",
    journal_tables,
    Column("position", RowId, primary_key=True, autoincrement=False),
    Column("project_id", BigInteger, nullable=False),
    Column("kind", ByteOrder, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("json", ByteOrderText, nullable=False),
    Index("journal_document_order", "project_id", "kind", "position"),
)
"""Changes of documents and report cards: ``doc_change`` and ``report_card``, as JSON."""

session_table: Final = Table(
    "journal_session",
    journal_tables,
    Column("session_id", ByteOrder, primary_key=True),
    Column("agent_id", ByteOrder, nullable=False),
    Column("metadata", ByteOrderText, nullable=False),
    Column("started_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger),
    Column("first", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
)
"""The agents' sessions. Their newest heartbeats are in ``touched``, beside the log."""

assignment_table: Final = Table(
    "journal_assignment",
    journal_tables,
    Column("agent_id", ByteOrder, primary_key=True),
    Column("project_name", ByteOrder, index=True),
    Column("version", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("updated_by", ByteOrderText),
    Column("session_id", ByteOrderText),
    Column("position", BigInteger, nullable=False),
)
"""The project that each agent is assigned to."""
