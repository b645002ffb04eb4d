"""Deciding an append: what is stored, what is a duplicate, what conflicts.

Pure computation over what the transaction has read, shared by every backend. Ids are
checked before expected versions, so that a retry is recognised as one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from eventstore import chain
from eventstore.errors import ConflictError, DuplicateEventError
from eventstore.events import (
    ANY,
    STREAM_EXISTS,
    Appended,
    Cursor,
    Event,
    Expected,
    NewEvent,
    unpack_id,
)
from eventstore.ports import Append, Head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class KnownEvent(NamedTuple):
    """What is stored under an id that an append brings again; ``salt`` None if redacted."""

    position: int
    stream: str
    type: str
    commit: int
    content: int
    salt: bytes | None
    digest: bytes


class PlannedEvent(NamedTuple):
    """An event about to be inserted, with the two columns that readers never see."""

    event: Event
    salt: bytes
    digest: bytes


@dataclass(slots=True)
class Plan:
    """One transaction's appends: starts from the head row, collects what to insert.

    ``versions`` holds the current version of every stream that the group names, ``known``
    what is stored under its ids, ``earlier`` looks up the result of an earlier call by the
    position of its commit. ``now_us`` is the commit time.
    """

    head: Head
    versions: dict[str, int]
    known: dict[bytes, KnownEvent]
    earlier: Callable[[int], Appended]
    now_us: int
    planned: list[PlannedEvent] = field(default_factory=list)
    changed: dict[str, int] = field(default_factory=dict)
    _results: dict[int, Appended] = field(default_factory=dict)

    def add(self, append: Append) -> Appended:
        """Plan one append; raise and change nothing where it conflicts or repeats."""
        raw_ids = [event.raw_id for write in append.writes for event in write.events]
        if known := [raw_id for raw_id in raw_ids if raw_id in self.known]:
            return self._repeat(append, raw_ids, known)
        for write in append.writes:
            _check_expected(write.stream, write.expected, self.versions.get(write.stream, 0))
        return self._insert(append, raw_ids)

    def _repeat(self, append: Append, raw_ids: list[bytes], known: list[bytes]) -> Appended:
        stored = [self.known[raw_id] for raw_id in known]

        def refuse(reason: str) -> DuplicateEventError:
            ids = [unpack_id(raw_id) for raw_id in known]
            return DuplicateEventError(ids, [k.position for k in stored], reason)

        if len(known) < len(raw_ids):
            raise refuse(f"the other {len(raw_ids) - len(known)} of this call are new")
        if len({k.commit for k in stored}) > 1:
            raise refuse("they came from more than one earlier call")
        pairs = ((w.stream, e) for w in append.writes for e in w.events)
        for (stream, event), one in zip(pairs, stored, strict=True):
            if not _same_content(stream, event, one):
                raise refuse(f"the one at position {one.position} has other content")
        commit = stored[0].commit
        first = self._results.get(commit) or self.earlier(commit)
        return Appended(first.position, first.versions, first.cursor, True, first.version)

    def _insert(self, append: Append, raw_ids: Iterable[bytes]) -> Appended:
        start, previous = self.head.position, self.head.hash
        commit = start + append.events
        now = max(self.now_us, self.head.recorded_us)
        salts = os.urandom(chain.SALT_BYTES * append.events)
        position = start
        ids = iter(raw_ids)
        versions: dict[str, int] = {}
        version = 0
        for write in append.writes:
            name = write.stream.encode()
            version = self.versions.get(write.stream, 0)
            for new in write.events:
                offset = (position - start) * chain.SALT_BYTES
                salt = salts[offset : offset + chain.SALT_BYTES]
                position += 1
                version += 1
                raw_id = next(ids)
                digest = chain.content_digest(salt, new.content, new.raw_data, new.raw_metadata)
                previous = chain.link(
                    previous,
                    position,
                    version,
                    commit,
                    now,
                    name,
                    new.type.encode(),
                    raw_id,
                    digest,
                )
                event = Event(
                    position, write.stream, version, new.type, commit, raw_id,
                    new.content, new.raw_data, new.raw_metadata, now, previous,
                )  # fmt: skip
                self.planned.append(PlannedEvent(event, salt, digest))
                self.known[raw_id] = KnownEvent(
                    position, write.stream, new.type, commit, new.content, salt, digest
                )
            versions[write.stream] = version
        self.versions.update(versions)
        self.changed.update(versions)
        self.head = Head(self.head.log_id, self.head.first_position, commit, now, previous)
        done = Appended(
            commit, versions, Cursor(self.head.log_id, commit, previous), False, version
        )
        self._results[commit] = done
        return done


def _check_expected(stream: str, expected: Expected, actual: int) -> None:
    if expected is ANY:
        return
    if expected is STREAM_EXISTS:
        if actual == 0:
            raise ConflictError(stream, "STREAM_EXISTS", actual)
    elif expected != actual:
        raise ConflictError(stream, expected, actual)


def _same_content(stream: str, event: NewEvent, known: KnownEvent) -> bool:
    if (stream, event.type, event.content) != (known.stream, known.type, known.content):
        return False
    if known.salt is None:
        # Redacted: the content is gone for good, so the id alone has to decide.
        return True
    digest = chain.content_digest(known.salt, event.content, event.raw_data, event.raw_metadata)
    return digest == known.digest
