"""Checking what followers have received against the log, with nothing of the library under test.

``python -m support.records URL DIRECTORY [LOST]`` (in ``tests/``) reads the log's tables and the
records in a directory, one file per follower, and prints its findings as JSON. A record begins
with what the follower asked for:

    follow plain | follow category NAME/ | follow shard INDEX COUNT | follow consumer NAME

and goes on with a line for each event, a line after each commit for who follows commits, and a
last line for a follower that was told that its history is not the log's:

    event POSITION ID HASH TIME
    commit POSITION HASH COUNT
    diverged POSITION TIME

``LOST`` is the log that the followers began with, where another one has taken its place since.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import psycopg

from support.audit import audit_postgres

FAULTS = ("missed", "repeated", "disordered", "false", "torn", "behind", "alarmed")
"""What a run must show none of."""

ROWS = """SELECT e.position, s.name, e.id, e.hash, e.commit_position
FROM event e JOIN stream s ON s.id = e.stream_id ORDER BY e.position"""


class Stored(NamedTuple):
    """An event as the log has it."""

    position: int
    stream: str
    id: str
    hash: str
    commit: int


class Received(NamedTuple):
    """An event as a follower got it."""

    position: int
    id: str
    hash: str


@dataclass
class Record:
    """What one follower wrote down."""

    name: str
    wish: list[str]
    events: list[Received] = field(default_factory=list)
    commits: list[tuple[int, str, int]] = field(default_factory=list)
    """Position, hash and number of events of each commit."""
    diverged: int | None = None


class Log:
    """A log's events, and what each kind of follower should get of them."""

    def __init__(self, url: str) -> None:
        with psycopg.connect(url) as connection:
            rows = connection.execute(ROWS).fetchall()
            found = connection.execute("SELECT name, position FROM consumer").fetchall()
        self.consumers: dict[str, int] = dict(found)
        self.events = [
            Stored(position, stream, bytes(raw)[1:].decode(), bytes(digest).hex(), commit)
            for position, stream, raw, digest, commit in rows
        ]

    def wanted(self, wish: list[str]) -> list[Stored]:
        """Return what such a follower should get, in order."""
        kind, *rest = wish
        if kind == "category":
            return [event for event in self.events if event.stream.startswith(rest[0])]
        if kind == "shard":
            index, count = map(int, rest)
            return [e for e in self.events if crc32(e.stream.encode()) % count == index]
        assert kind in {"plain", "consumer"}, wish
        return self.events

    def shared(self, other: Log) -> int:
        """Return up to which position two logs are the same."""
        pairs = zip(self.events, other.events, strict=False)
        return sum(mine.hash == theirs.hash for mine, theirs in pairs)


def read_record(path: Path) -> Record:
    """Read a follower's record."""
    first, *lines = path.read_text().split("\n")[:-1]
    word, *wish = first.split()
    assert word == "follow", f"{path} does not begin with what was asked for"
    record = Record(path.name, wish)
    for line in lines:
        word, position, *rest = line.split()
        if word == "event":
            record.events.append(Received(int(position), rest[0], rest[1]))
        elif word == "commit":
            record.commits.append((int(position), rest[0], int(rest[1])))
        else:
            assert word == "diverged", line
            record.diverged = int(position)
    return record


def check(log: Log, record: Record, until: int | None = None) -> Counter[str]:
    """Count what is wrong with a record, as a record of the log up to a position."""
    wanted = [e for e in log.wanted(record.wish) if until is None or e.position <= until]
    places = [event.position for event in record.events]
    known = {event.position: (event.id, event.hash) for event in wanted}
    firsts = list(dict.fromkeys(places))
    found = Counter(
        missed=len(known.keys() - set(places)),
        repeated=len(places) - len(firsts),
        disordered=sum(later < earlier for earlier, later in pairwise(firsts)),
        false=sum(known.get(event.position) != event[1:] for event in record.events),
    )
    if record.wish[0] == "consumer":
        found["torn"] = _torn(log, record, until)
    return found


def _torn(log: Log, record: Record, until: int | None) -> int:
    """Count the commits that are not given whole, or not with their own cursor."""
    sizes = Counter(event.commit for event in log.events if until is None or event.commit <= until)
    wanted = [(at, log.events[at - 1].hash, sizes[at]) for at in sorted(sizes)]
    pairs = zip(wanted, record.commits, strict=False)
    return abs(len(wanted) - len(record.commits)) + sum(one != other for one, other in pairs)


def check_all(url: str, directory: Path, lost: str | None = None) -> dict[str, int]:
    """Check every record, and the log itself; return what was found, and in how much.

    ``alarmed`` are followers that were told of another history though they had seen nothing of
    it, ``behind`` consumers whose stored cursor is not the log's end.
    """
    audit_postgres(url)
    log, before = Log(url), Log(lost) if lost else None
    shared = log.shared(before) if before else 0
    found = Counter(dict.fromkeys((*FAULTS, "records", "diverged"), 0))
    paths = sorted(directory.glob("*.record"))
    for path in paths:
        record = read_record(path)
        found["records"] += len(record.events)
        if record.diverged is None:
            found.update(check(log, record))
            kind, *rest = record.wish
            found["behind"] += kind == "consumer" and log.consumers[rest[0]] != len(log.events)
        else:
            # Of the lost history it has all up to where it was, and that is not in this one.
            assert before is not None, f"{path} tells of another history, and there was none"
            found.update(check(before, record, record.diverged))
            found["diverged"] += 1
            found["alarmed"] += record.diverged <= shared
    return {**found, "followers": len(paths), "events": len(log.events)}


if __name__ == "__main__":
    print(json.dumps(check_all(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])))
