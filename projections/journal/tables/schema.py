"""The tables of the journal.

Times are microseconds since the epoch; :mod:`projections.journal.columns` says how columns hold
free text.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table

from projections.tables.columns import ByteOrder, ByteOrderText, RowId, keys, optional, required

journal_tables: Final = MetaData()

project_table: Final = Table(
    "journal_project",
    journal_tables,
    *keys(RowId, "id"),
    Column("name", ByteOrder, nullable=False, unique=True),
    *required(ByteOrderText, "repo_root", "progress_log_path"),
    *required(
        BigInteger, "created_us", "updated_us", "position", "total", "success", "warn", "error"
    ),
)
"""The projects, with the numbers of their entries."""

entry_table: Final = Table(
    "journal_entry",
    journal_tables,
    *keys(RowId, "position"),
    *required(BigInteger, "project_id", "ts_us"),
    *optional(ByteOrder, "agent", "emoji"),
    # ``str.casefold`` of the message, so that case folds alike on every database.
    *required(ByteOrderText, "folded", "message"),
    Column("entry_id", ByteOrder, nullable=False, unique=True),
    *required(ByteOrder, "ts"),
    *optional(ByteOrderText, "meta"),
    *required(ByteOrderText, "raw_line"),
    # Each is in the order of pages, and covers the columns that a count filters by.
    Index("journal_entry_order", "project_id", "ts_us", "position", "agent", "emoji"),
    Index("journal_entry_agent", "project_id", "agent", "ts_us", "position", "emoji"),
    Index("journal_entry_emoji", "project_id", "emoji", "ts_us", "position", "agent"),
)
"""The entries. ``meta`` is JSON; ``position`` is that of the entry's event."""

meta_table: Final = Table(
    "journal_meta",
    journal_tables,
    *keys(BigInteger, "project_id"),
    *keys(ByteOrder, "key", "value"),
    *keys(BigInteger, "ts_us", "position"),
    *required(Integer, "is_text"),
    sqlite_with_rowid=False,
)
"""Each entry's metadata, key by key: see :func:`~projections.journal.columns.meta_value`."""

document_table: Final = Table(
    "journal_document",
    journal_tables,
    *keys(RowId, "position"),
    *required(BigInteger, "project_id"),
    *required(ByteOrder, "kind"),
    *required(BigInteger, "at_us"),
    *required(ByteOrderText, "json"),
    Index("journal_document_order", "project_id", "kind", "position"),
)
"""What is recorded beside projects and entries, as JSON, by kind.

``doc_change`` and ``report_card`` are changes of documents and report cards. ``project_more`` has
the newer fields of a project (one row), ``entry_more`` those of the entry at its position, and
``entry_meta`` notes that the event at its position has set the metadata of an entry anew. Version
0.1.0 reads and keeps the same tables, and passes over what it does not know in them.
"""

PROJECT_MORE: Final = "project_more"
ENTRY_MORE: Final = "entry_more"
ENTRY_META: Final = "entry_meta"

session_table: Final = Table(
    "journal_session",
    journal_tables,
    *keys(ByteOrder, "session_id"),
    *required(ByteOrder, "agent_id"),
    *required(ByteOrderText, "metadata"),
    *required(BigInteger, "started_us", "updated_us"),
    *optional(BigInteger, "ended_us"),
    *required(BigInteger, "first", "position"),
)
"""The agents' sessions. Their newest heartbeats are in ``touched``, beside the log."""

assignment_table: Final = Table(
    "journal_assignment",
    journal_tables,
    *keys(ByteOrder, "agent_id"),
    Column("project_name", ByteOrder, index=True),
    *required(BigInteger, "version", "updated_us"),
    *optional(ByteOrderText, "updated_by", "session_id"),
    *required(BigInteger, "position"),
)
"""The project that each agent is assigned to."""
