"""Raw SQL, event-sourced: tables of one's own whose every change is in the log."""

from projections.sql.copy import SqlCopy
from projections.sql.events import read_rows
from projections.sql.factory import close_sql_storages, get_sql_storage
from projections.sql.model import Change, MigrationError, RawText, ReplayError, SqlRefusedError
from projections.sql.storage import SqlStorage

__all__ = [
    "Change",
    "MigrationError",
    "RawText",
    "ReplayError",
    "SqlCopy",
    "SqlRefusedError",
    "SqlStorage",
    "close_sql_storages",
    "get_sql_storage",
    "read_rows",
]
