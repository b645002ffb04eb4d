"""Event-sourced SQL: a program's own tables, with every row change in the log."""

from projections.sql.connection import SqlConnection
from projections.sql.copy import SqlCopy
from projections.sql.events import read_rows
from projections.sql.factory import close_sql_storages, get_sql_storage
from projections.sql.model import (
    Change,
    MigrationError,
    RawText,
    ReplayError,
    ReservedNameError,
    SqlRefusedError,
)
from projections.sql.store import SqlStorage

__all__ = [
    "Change",
    "MigrationError",
    "RawText",
    "ReplayError",
    "ReservedNameError",
    "SqlConnection",
    "SqlCopy",
    "SqlRefusedError",
    "SqlStorage",
    "close_sql_storages",
    "get_sql_storage",
    "read_rows",
]
