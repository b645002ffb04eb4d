"""Logs as plain rows, and a log that has everything an export has to carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventstore import EventStore, NewEvent, StreamWrite
from support.logs import LOG_URLS
from support.plain import plain

if TYPE_CHECKING:
    from pathlib import Path

_EVENT: Final = (
    "e.position, s.name, e.version, e.id, e.type, e.commit_position, e.content, e.data, "
    "e.metadata, e.recorded_us, e.salt, e.digest, e.hash"
)
TABLES: Final = {
    "head": "SELECT log_id, first_position, position, recorded_us, hash, base_hash FROM head",
    "stream": "SELECT id, name, version FROM stream ORDER BY id",
    "consumer": "SELECT name, position, hash, epoch, owner, seen_us FROM consumer ORDER BY name",
    "event": f"SELECT {_EVENT} FROM event e JOIN stream s ON s.id = e.stream_id ORDER BY 1",
    "kept": f"SELECT {_EVENT}, e.previous FROM kept e JOIN stream s ON s.id = e.stream_id "
    "ORDER BY 1",
}
ALL: Final = tuple(LOG_URLS)


def rows(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return everything in a log's tables, by the plain driver."""
    with plain(url) as connection:
        return {
            table: [
                tuple(bytes(v) if isinstance(v, memoryview) else v for v in row)
                for row in connection.execute(query).fetchall()
            ]
            for table, query in TABLES.items()
        }


def fresh(kind: str, directory: Path, name: str) -> str:
    """Name a fresh log of a kind, in a directory of its own."""
    place = directory / name
    place.mkdir()
    return LOG_URLS[kind](place)


async def fill(store: EventStore, rounds: int = 12, first: int = 0) -> None:
    """Append events of every kind, in commits of several streams, and two consumers."""
    for number in range(first, first + rounds):
        await store.append_many(
            [
                StreamWrite("order/17", [NewEvent("Placed", {"n": number, "ü": "\0\u2028"})]),
                StreamWrite(
                    f"blob/{number % 5}",
                    [
                        NewEvent("Stored", bytes(range(256)), metadata={"by": "ana"}),
                        NewEvent("Named", None, id=f"blob:{number}"),
                    ],
                ),
            ]
        )
    for name, count in (("ahead", 30), ("behind", 7)):
        async with store.subscribe_changes(consumer=name, follow=False) as changes:
            for _ in range(count):
                await anext(changes)


def redact(url: str, position: int) -> None:
    """Erase an event's content as redaction does, by the plain driver."""
    with plain(url) as connection:
        connection.execute(
            "UPDATE event SET data = NULL, metadata = NULL, salt = NULL "
            f"WHERE position = {position}"
        )
