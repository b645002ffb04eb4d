"""A log of rule files in memory, and what a directory must hold, computed another way."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from eventstore.log.events import JSON_CONTENT, Cursor, Event
from projections.rules.events import RULE_DEFINED, RULE_REMOVED
from support.rule_events import definition_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from projections import DirectoryProjection

LOG_ID: Final = "log-1"


class Change(NamedTuple):
    """The file of ``key`` is now this; gone where ``path`` is None, redacted where told."""

    key: str
    path: str | None = None
    content: bytes = b""
    redacted: bool = False


class RuleLog:
    """Events as a log would give them, commit by commit."""

    def __init__(self, commits: Iterable[Sequence[Change]] = ()) -> None:
        self.events: list[Event] = []
        self.commits: list[Sequence[Change]] = []
        for changes in commits:
            self.commit(*changes)

    def commit(self, *changes: Change) -> list[Event]:
        """Append one commit; return its events."""
        self.commits.append(changes)
        first, last = len(self.events) + 1, len(self.events) + len(changes)
        new = [_event(first + i, last, change) for i, change in enumerate(changes)]
        self.events += new
        return new

    def commit_into(self, projection: DirectoryProjection, *changes: Change) -> None:
        """Append one commit, and apply it and what else an open projection lacks."""
        self.commit(*changes)
        self.feed(projection)

    def cursor(self, position: int | None = None) -> Cursor:
        """Return the cursor at a position, by default at the end."""
        at = len(self.events) if position is None else position
        return Cursor(LOG_ID, at, _hash(at))

    def feed(
        self, projection: DirectoryProjection, sizes: Sequence[int] = (), *, rest: bool = True
    ) -> None:
        """Apply what an open projection lacks, in batches of so many commits, then the rest."""
        at = projection.position
        for size in sizes:
            ends = sorted({event.commit for event in self.events if event.commit > at})[:size]
            if ends:
                self._apply(projection, at, ends[-1])
                at = ends[-1]
        if rest:
            self._apply(projection, at, len(self.events))

    def _apply(self, projection: DirectoryProjection, after: int, until: int) -> None:
        projection.apply(self.events[after:until], self.cursor(until))


def _hash(position: int) -> bytes:
    return hashlib.sha256(b"%d" % position).digest()


def _event(position: int, commit: int, change: Change) -> Event:
    defined = change.path is not None or change.redacted
    data = definition_data(change.key, change.path, change.content)
    return Event(
        position=position,
        stream=f"rule/{change.key}",
        version=position,
        type=RULE_DEFINED if defined else RULE_REMOVED,
        commit=commit,
        raw_id=b"\xff%d" % position,
        content=JSON_CONTENT,
        raw_data=None if change.redacted else msgspec.json.encode(data if defined else {}),
        raw_metadata=b"",
        recorded_us=position,
        hash=_hash(position),
    )


def expected_files(commits: Iterable[Sequence[Change]]) -> dict[str, bytes]:
    """Return what a directory holds after these commits: the rules, told naively.

    A rule that has a file keeps its path; all others are tried after every commit, in the
    order in which they came to want their path.
    """
    wanted: dict[str, tuple[int, str, bytes]] = {}
    shown: dict[str, str] = {}
    now = 0
    for changes in commits:
        final: dict[str, tuple[int, Change]] = {}
        for change in changes:
            now += 1
            if change.redacted or ".." not in (change.path or "").split("/"):
                final.pop(change.key, None)
                final[change.key] = (now, change)
        for key, (since, change) in final.items():
            before = wanted.pop(key, None)
            if change.path is None or change.redacted:
                shown.pop(key, None)
                continue
            if before is not None and before[1] == change.path:
                since = before[0]  # noqa: PLW2901
            elif key in shown:
                del shown[key]
            wanted[key] = (since, change.path, change.content)
        for key, (_, path, _) in sorted(wanted.items(), key=lambda item: item[1][0]):
            if key not in shown and not any(_clash(path, other) for other in shown.values()):
                shown[key] = path
    return {path: wanted[key][2] for key, path in shown.items()}


def _clash(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def files_below(root: Path) -> dict[str, bytes]:
    """Return the files of a directory by relative path, without the projection's own.

    A directory in which there is nothing counts as ``path/``.
    """
    found = {}
    for above, directories, names in os.walk(root):
        relative = Path(above).relative_to(root)
        for name in names:
            if not name.startswith(".eventstore"):
                found[str(relative / name)] = Path(above, name).read_bytes()
        if not directories and not names:
            found[f"{relative}/"] = b""
    return found


def random_commits(seed: int, count: int) -> list[list[Change]]:
    """Return commits that move, swap, remove and collide, the same for the same seed."""
    dice = random.Random(seed)
    paths = ["a", "b", "a/b", "a/b/c", "b/c", "c/d/e", "c/d", "e.yml", "f.yml"]
    commits = []
    for number in range(count):
        changes = []
        for _ in range(dice.randint(1, 5)):
            path = dice.choice([*paths, None])
            changes.append(Change(f"R{dice.randrange(8)}", path, b"%d" % (number % 7)))
        commits.append(changes)
    return commits
