"""Finding the one row of ``head`` where its old versions have piled up.

While a transaction stays open, no vacuum removes what it could still read, and a statement that
reads the table passes every version of the row since then. The newest version is on the last page
that was used, and so at the end of the key's index, which has an entry for each page that the row
was on. Read from its end, the index gives the row at once. None of this decides which row is found,
only how much is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from eventstore.storage.driver import Driver

PAGES: Final = 16
"""The row's page from which on the index is asked.

The server keeps the plan of a statement, and for a table of a few pages plans to read all of it. So
the statements that ask the index are others, which are never planned for so small a table.
"""

PILE_BYTES: Final = 256 * 1024
"""Size of the table, which has one row, above which its old versions have piled up."""

OLD_TRANSACTIONS: Final = 1_000
"""A snapshot is old that so many transactions have begun after."""

_NEWEST: Final = " ORDER BY one DESC LIMIT 1"


def select_head(columns: str, page: int, *, lock: bool) -> str:
    """Return the SELECT of these columns, and last of the row's place."""
    newest = _NEWEST if page >= PAGES else ""
    locked = " FOR UPDATE" if lock else ""
    return f"SELECT {columns}, ctid FROM head{newest}{locked}"  # noqa: S608 - our own names


def update_head(plain: str, page: int) -> str:
    """Return an UPDATE of the row, given the one that reads the whole table."""
    if page < PAGES:
        return plain
    return f"{plain} WHERE ctid = (SELECT ctid FROM head{_NEWEST})"  # noqa: S608 - our own names


def page_of(place: bytes) -> int:
    """Return the number of the page in a row's place, as the server sends it in binary."""
    return int.from_bytes(place[:4], "big")


def old_transaction(driver: Driver) -> dict[str, str | int]:
    """Name the oldest transaction where the head row's old versions have piled up; else nothing.

    No vacuum removes what a transaction that is still open could read. The table stays large after
    its end, so a young transaction is not named.
    """
    size = driver.row("SELECT pg_relation_size('head')::bigint")
    if size is None or size[0] <= PILE_BYTES:
        return {}
    row = driver.row(
        "SELECT pid, coalesce(usename, ''), coalesce(application_name, ''), "
        "extract(epoch FROM now() - xact_start)::bigint FROM pg_stat_activity "
        "WHERE age(backend_xmin) >= ? AND pid <> pg_backend_pid() AND xact_start IS NOT NULL "
        "ORDER BY age(backend_xmin) DESC LIMIT 1",
        (OLD_TRANSACTIONS,),
    )
    if row is None:
        return {}
    pid, user, program, seconds = row
    return {
        "old_transaction": f"session {pid} (user {user!r}, program {program!r}) has a transaction "
        f"open for {seconds} s, which slows appends: end it (pg_terminate_backend({pid}))"
    }
