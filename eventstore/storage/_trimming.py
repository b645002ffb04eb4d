"""Cutting off the beginning of the log's tables, and keeping what projections need of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventstore.errors import HistoryGoneError, HistoryHeldError
from eventstore.log import hash_chain as chain
from eventstore.log.events import Cursor
from eventstore.storage.kept_views import check_kept
from eventstore.storage.reading import check_cursor, hash_at, read_head, read_views

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from eventstore.log.operations import Head, Trim
    from eventstore.storage.driver import Driver

BATCH: Final = 5_000
"""Events deleted per statement."""

_COLUMNS: Final = (
    "position", "stream_id", "version", "id", "type", "commit_position", "content", "data",
    "metadata", "recorded_us", "salt", "digest", "hash",
)  # fmt: skip
_KEEP: Final = (
    f"INSERT INTO kept ({', '.join(_COLUMNS)}, previous) "  # noqa: S608 - our own names
    f"SELECT {', '.join(f'e.{name}' for name in _COLUMNS)}, coalesce(p.hash, ?) "
    "FROM event e LEFT JOIN event p ON p.position = e.position - 1 WHERE e.position IN ({})"
)


def find_cut(driver: Driver, before: int | None, before_us: int | None) -> Cursor:
    """Return the end of the last commit wholly before a position, or recorded before a time."""
    head = read_head(driver)
    start = head.first_position - 1
    last = head.position
    if before is not None:
        last = min(last, before - 1)
    if before_us is not None:
        last = _last_before(driver, start, last, before_us)
    if last > start:
        row = driver.row("SELECT commit_position FROM event WHERE position = ?", (last,))
        if row is not None and row[0] != last:
            found = driver.row(
                "SELECT position FROM event WHERE position < ? AND commit_position < ? "
                "ORDER BY position DESC LIMIT 1",
                (last, row[0]),
            )
            last = found[0] if found is not None else start
    last = max(last, start)
    return Cursor(head.log_id, last, hash_at(driver, head, last))


def _last_before(driver: Driver, start: int, last: int, before_us: int) -> int:
    """Find the last event before a time. Times never run backwards, so halving finds it."""
    while start < last:
        middle = (start + last + 1) // 2
        row = driver.row("SELECT recorded_us FROM event WHERE position = ?", (middle,))
        if row is not None and row[0] < before_us:
            start = middle
        else:
            last = middle - 1
    return start


def trim(driver: Driver, head: Head, operation: Trim) -> None:
    """Delete the events up to the cut. Each check that may refuse the trim comes first."""
    cut = operation.cut
    if head.first_position != operation.first_position:
        raise HistoryGoneError(
            operation.first_position - 1, head.first_position, "another trim has run meanwhile"
        )
    check_cursor(driver, head, cursor=cut)
    if not operation.force:
        check_held(driver, cut.position, operation.served)
        check_kept(driver, cut.position, operation.served, operation.forgone)
    driver.run("UPDATE head SET first_position = ?, base_hash = ?", (cut.position + 1, cut.hash))
    _keep(driver, head, operation)
    for start in range(head.first_position - 1, cut.position, BATCH):
        end = min(start + BATCH, cut.position)
        driver.run("DELETE FROM event WHERE position > ? AND position <= ?", (start, end))
        driver.keep_alive()


def check_held(driver: Driver, last: int, served: Collection[str]) -> None:
    """Raise HistoryHeldError where a consumer or a projection has not come as far as ``last``.

    The projections are those in the log's database, but for the ``served`` names: those that need
    no such event. One that lacks events which were trimmed before has nothing to lose.
    """
    row = driver.row(
        "SELECT name, position FROM consumer WHERE position < ? ORDER BY position, name LIMIT 1",
        (last,),
    )
    if row is not None:
        raise HistoryHeldError(row[0], row[1], last)
    first = read_head(driver).first_position
    behind = [
        (view.position, view.name)
        for view in read_views(driver)
        if first - 1 <= view.position < last and view.name not in served
    ]
    if behind:
        position, name = min(behind)
        raise HistoryHeldError(name, position, last, projection=True)


def read_hashes(driver: Driver, positions: Sequence[int]) -> list[tuple[int, bytes]]:
    """Read the chain's hash at events of the log or kept ones, by position."""
    found = [
        (position, bytes(digest))
        for table in ("kept", "event")
        for position, digest in driver.lookup(
            f"SELECT position, hash FROM {table} WHERE position IN ({{}})",  # noqa: S608
            positions,
        )
    ]
    return sorted(found)


def _keep(driver: Driver, head: Head, operation: Trim) -> None:
    wanted = set(operation.keep)
    stored = {position for (position,) in driver.rows("SELECT position FROM kept")}
    for sql, values in driver.listed(
        "DELETE FROM kept WHERE position IN ({})", sorted(stored - wanted)
    ):
        driver.run(sql, values)
    new = sorted(position for position in wanted if position >= head.first_position)
    base = head.base_hash or chain.genesis(head.log_id)
    for sql, values in driver.listed(_KEEP, new):
        driver.run(sql, [base, *values])
    driver.keep_alive()
