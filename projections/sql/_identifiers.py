"""Names in SQL: how they are quoted, and which of them the log and this package reserve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventstore.storage import reserved_names
from eventstore.storage.catalog import TABLES as LOG_TABLES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

CAPTURE: Final = "sql_capture"
"""The capture table. The names of its triggers, functions and indexes begin with it too."""

LEDGER: Final = "schema_migrations"
"""The table of the migrations that were applied, unless a program has a table of that name."""

OWN_LEDGER: Final = f"{CAPTURE}_migrations"
"""The same where a program has made a table called :data:`LEDGER` in a migration."""

UNCAPTURED: Final = f"{CAPTURE}_uncaptured"
"""The table of those tables whose rows migrations have declared not to be recorded."""

LEDGER_NAMES: Final = frozenset([LEDGER, f"{LEDGER}_pkey"])
"""Names that a program may use once the ledger has another."""

RESERVED: Final = frozenset([*reserved_names.RESERVED, *LOG_TABLES, LEDGER, CAPTURE])
"""Names of the log, its projections and this package, which no migration may use."""

LATER_RESERVED: Final = RESERVED - {*LOG_TABLES, *LEDGER_NAMES, CAPTURE}
"""Those that version 0.1.0 left to programs: objects of theirs may be called so."""


def quote_name(name: str) -> str:
    """Return an identifier as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(value: str) -> str:
    """Return a text literal as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def is_reserved(name: str, own: Collection[str] = ()) -> bool:
    """Return True for names of the log, its projections and this package, in any case.

    ``own`` are names of :data:`LATER_RESERVED` that the program's own objects have.
    """
    lowered = name.lower()
    return (lowered in RESERVED and lowered not in own) or lowered.startswith(CAPTURE)


def later_reserved(names: Iterable[str]) -> frozenset[str]:
    """Return those names that version 0.1.0 left to programs, in lower case."""
    return LATER_RESERVED.intersection(name.lower() for name in names)


def excerpt(statement: str) -> str:
    """Return the first 80 characters of a statement on one line, quoted, for messages."""
    return repr(" ".join(statement.split())[:80])
