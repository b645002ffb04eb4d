"""Reading a log in order to check it: rows as they are, the side tables, the database's own faults.

Nothing here trusts the tables: what cannot be made sense of is a fault, not an exception.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventstore.errors import HistoryDivergedError
from eventstore.log.events import Cursor, Event
from eventstore.log.operations import IntegrityPage, SideTables, StoredEvent
from eventstore.log.records import ConsumerRecord
from eventstore.log.stored_values import consumer_faults
from eventstore.storage import migrations
from eventstore.storage.catalog import differences
from eventstore.storage.reading import check_cursor, read_head, read_stored

if TYPE_CHECKING:
    from eventstore.log.operations import Head
    from eventstore.storage.driver import Driver

_KEPT: Final = (
    "SELECT k.position, coalesce(s.name, '') AS name, k.version, k.type, k.commit_position, k.id, "
    "k.content, k.data, k.metadata, k.recorded_us, k.hash, k.salt, k.digest, k.previous "
    "FROM kept k LEFT JOIN stream s ON s.id = k.stream_id WHERE k.position > ? "
    "ORDER BY k.position LIMIT ?"
)
_CONSUMERS: Final = "SELECT name, position, hash, epoch, owner, seen_us FROM consumer"
_VIEWS: Final = "SELECT name, version, log_id, position, hash FROM projection"
_KEPT_FOR: Final = (
    "SELECT projection, version FROM projection_tables WHERE table_name = '' ORDER BY projection"
)

Fault = tuple[str, str]
"""Where, and what."""


def read_integrity_page(
    driver: Driver, after: int, limit: int, *, side_tables: bool
) -> IntegrityPage:
    """Read a page of rows, and with the last of them the side tables."""
    head = read_head(driver)
    rows = read_stored(driver, after, limit)
    last = driver.row("SELECT max(position) FROM event")
    ended = not rows or last is None or rows[-1].event.position >= (last[0] or 0)
    return IntegrityPage(
        head, rows, ended, read_side_tables(driver, head) if ended and side_tables else None
    )


def read_side_tables(driver: Driver, head: Head) -> SideTables:
    """Read what the log keeps beside its events."""
    faults = _ledger_faults(driver)
    faults += _cursor_faults(driver, head)
    return SideTables(driver.rows("SELECT id, name, version FROM stream"), faults)


def read_kept(driver: Driver, after: int, limit: int) -> list[tuple[StoredEvent, bytes]]:
    """Read rows that are kept of a trimmed prefix."""
    found: list[tuple[StoredEvent, bytes]] = []
    for *columns, salt, digest, previous in driver.rows(_KEPT, (after, limit)):
        found.append((StoredEvent(Event(*columns), salt, digest), previous))
    return found


def find_faults(driver: Driver, dialect: str) -> list[Fault]:
    """Compare the schema with what the migrations make, and let the database check its file."""
    faults = differences(driver.catalog(), driver.expected_catalog())
    faults += _migration_faults(driver, dialect)
    return faults + [("database", complaint) for complaint in driver.self_check()]


def _migration_faults(driver: Driver, dialect: str) -> list[Fault]:
    known = [(step.number, step.name, step.checksum) for step in migrations.known(dialect)]
    rows = driver.rows("SELECT number, name, checksum FROM migration ORDER BY number")
    head = driver.row("SELECT schema_version FROM head")
    faults: list[Fault] = []
    if rows != known:
        faults.append(("migration ledger", "is not that of this program's migrations"))
    if head is None or head[0] != len(known):
        faults.append(("head", f"names schema version {head and head[0]!r}, not {len(known)}"))
    return faults


def _ledger_faults(driver: Driver) -> list[Fault]:
    row = driver.row("SELECT count(*) FROM head")
    return [("head", "is there more than once")] if row and row[0] != 1 else []


def _cursor_faults(driver: Driver, head: Head) -> list[Fault]:
    faults: list[Fault] = []
    for row in driver.rows(_CONSUMERS):
        consumer = ConsumerRecord(*row)
        where = f"consumer {consumer.name!r:.200}"
        if wrong := consumer_faults(consumer):
            faults += [(where, str(fault)) for fault in wrong]
        else:
            faults += _check(driver, head, where, (head.log_id, consumer.position, consumer.hash))
    if driver.has_table("projection"):
        faults += _view_faults(driver, head)
    return faults


def _view_faults(driver: Driver, head: Head) -> list[Fault]:
    """Check version and checkpoint of each table projection."""
    faults: list[Fault] = []
    made = dict(driver.rows(_KEPT_FOR)) if driver.has_table("projection_tables") else {}
    for name, version, *cursor in driver.rows(_VIEWS):
        where = f"view {name!r:.200}"
        if not isinstance(version, int) or version < 1:
            faults.append((where, f"has no proper version, but {version!r:.40}"))
        elif made.get(name, version) != version:
            what = (
                f"its tables were made for version {made[name]!r:.40}, its checkpoint says "
                f"{version}: rebuild it, with no program left that keeps another version"
            )
            faults.append((where, what))
        if cursor != [None, None, None]:
            faults += _check(driver, head, where, tuple(cursor))
    return faults


def _check(driver: Driver, head: Head, where: str, cursor: tuple[Any, ...]) -> list[Fault]:
    log_id, position, digest = cursor
    if not isinstance(position, int) or position < 0 or not isinstance(digest, bytes):
        return [(where, "has no proper cursor")]
    try:
        check_cursor(driver, head, Cursor(log_id, position, digest))
    except HistoryDivergedError as error:
        return [(where, f"does not belong to this log: {error}")]
    except TypeError as error:
        return [(where, f"cannot be compared with this log ({error})")]
    return []
