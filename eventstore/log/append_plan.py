"""Deciding appends: what is stored, what is a duplicate, what is a conflict.

Pure computation over what the transaction has read, shared by every backend. Ids are
checked before expected versions, so that a retry is recognised as one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from eventstore.errors import ConflictError, DuplicateEventError
from eventstore.log import hash_chain as chain
from eventstore.log.event_ids import TEXT_IDS, unpack_id
from eventstore.log.events import ANY, STREAM_EXISTS, Appended, Cursor, Event, Expected, NewEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from eventstore.log.operations import Append, Head


class KnownEvent(NamedTuple):
    """The stored event with an id that an append brings; ``salt`` is None if redacted."""

    position: int
    stream: str
    type: str
    commit: int
    content: int
    salt: bytes | None
    digest: bytes

    def equals(self, stream: str, event: NewEvent) -> bool:
        """Whether ``event``, for ``stream``, is what is stored."""
        if (stream, event.type, event.content) != (self.stream, self.type, self.content):
            return False
        if self.salt is None:
            # Redacted: the content is erased, so the id alone decides.
            return True
        digest = chain.content_digest(self.salt, event.content, event.raw_data, event.raw_metadata)
        return digest == self.digest


class _Fresh(NamedTuple):
    """An event of an earlier append in the same transaction."""

    position: int
    commit: int
    stream: str
    event: NewEvent

    def equals(self, stream: str, event: NewEvent) -> bool:
        """Whether ``event``, for ``stream``, is the same."""
        mine = self.event
        return (stream, event.type, event.content, event.raw_data, event.raw_metadata) == (
            self.stream, mine.type, mine.content, mine.raw_data, mine.raw_metadata,
        )  # fmt: skip


Row: TypeAlias = tuple[Any, ...]
"""An event's columns as the log's table has them."""


class _Accepted(NamedTuple):
    """An append that will be stored: its versions afterwards, and where it ends."""

    append: Append
    raw_ids: list[bytes]
    versions: dict[str, int]
    commit: int

    def find(self, raw_id: bytes) -> _Fresh:
        """Return its event with this id."""
        at = self.raw_ids.index(raw_id)
        pairs = [(write.stream, event) for write in self.append.writes for event in write.events]
        return _Fresh(self.commit - self.append.events + 1 + at, self.commit, *pairs[at])


@dataclass(slots=True)
class Plan:
    """One transaction's appends: first the outcome of each, then the rows to insert.

    ``head`` is the head row before, ``versions`` the current version of every stream that
    the group names, ``known`` what is stored under its ids; ``earlier`` looks up the result
    of an earlier call by the position of its commit. ``now_us`` is the commit time.

    Deciding comes first and is cheap. Hashing waits until :meth:`rows` is iterated, so that a
    database across a network inserts the first rows meanwhile.
    """

    head: Head
    versions: dict[str, int]
    known: dict[bytes, KnownEvent]
    earlier: Callable[[int], Appended]
    now_us: int
    changed: dict[str, int] = field(default_factory=dict)
    largest: bytes = b""
    """The largest UUID that is accepted."""
    _accepted: list[_Accepted] = field(default_factory=list)
    _fresh: dict[bytes, _Accepted] = field(default_factory=dict)
    """The appends before this one, by the ids of their events."""
    _indexed: int = 0
    _position: int = 0
    _results: dict[int, Appended] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._position = self.head.position

    def add(self, append: Append) -> Callable[[], Appended]:
        """Decide one append; return a function that gives its result once the rows were iterated.

        Raises ConflictError or DuplicateEventError; the plan is unchanged then.
        """
        raw_ids = [event.raw_id for write in append.writes for event in write.events]
        self._index_fresh()
        if self.known or self._fresh:
            known = [raw_id for raw_id in raw_ids if raw_id in self.known or raw_id in self._fresh]
            if known:
                return self._repeat(append, raw_ids, known)
        for write in append.writes:
            _check_expected(write.stream, write.expected, self.versions.get(write.stream, 0))
        largest = max(raw_ids)
        if largest >= TEXT_IDS:
            largest = max((raw_id for raw_id in raw_ids if raw_id < TEXT_IDS), default=b"")
        self.largest = max(self.largest, largest)
        return self._accept(append, raw_ids)

    def stream_of(self, raw_id: bytes) -> str | None:
        """Return the stream of the event with this id; ``None`` where there is none."""
        self._index_fresh()
        stored = self._stored(raw_id)
        return stored.stream if stored is not None else None

    def result_of(self, raw_id: bytes) -> Callable[[], Appended]:
        """Return a function that gives the result of the call that stored this id."""
        return self._again((self.known.get(raw_id) or self._fresh[raw_id]).commit)

    def _index_fresh(self) -> None:
        """Index the ids of the appends before this one; a group of one needs no index."""
        for accepted in self._accepted[self._indexed :]:
            self._fresh.update(dict.fromkeys(accepted.raw_ids, accepted))
        self._indexed = len(self._accepted)

    def _stored(self, raw_id: bytes) -> KnownEvent | _Fresh | None:
        """Return the event with this id, of the log or of an earlier append of the group."""
        accepted = self._fresh.get(raw_id)
        return self.known.get(raw_id) if accepted is None else accepted.find(raw_id)

    def _repeat(
        self, append: Append, raw_ids: list[bytes], known: list[bytes]
    ) -> Callable[[], Appended]:
        stored = [one for raw_id in known if (one := self._stored(raw_id)) is not None]

        def refuse(reason: str) -> DuplicateEventError:
            ids = [unpack_id(raw_id) for raw_id in known]
            return DuplicateEventError(ids, [k.position for k in stored], reason)

        if len(known) < len(raw_ids):
            raise refuse(f"the other {len(raw_ids) - len(known)} of this call are new")
        if len({k.commit for k in stored}) > 1:
            raise refuse("they came from more than one earlier call")
        pairs = ((w.stream, e) for w in append.writes for e in w.events)
        for (stream, event), one in zip(pairs, stored, strict=True):
            if not one.equals(stream, event):
                raise refuse(f"the one at position {one.position} has other content")
        return self._again(stored[0].commit)

    def _again(self, commit: int) -> Callable[[], Appended]:
        def result() -> Appended:
            first = self._results.get(commit) or self.earlier(commit)
            return replace(first, duplicate=True)

        return result

    def _accept(self, append: Append, raw_ids: list[bytes]) -> Callable[[], Appended]:
        versions = {
            write.stream: self.versions.get(write.stream, 0) + len(write.events)
            for write in append.writes
        }
        self._position += append.events
        commit = self._position
        self.versions.update(versions)
        self.changed.update(versions)
        self._accepted.append(_Accepted(append, raw_ids, versions, commit))
        return lambda: self._results[commit]

    def rows(self, stream_ids: Mapping[str, int], events: list[Event] | None) -> Iterator[Row]:
        """Yield the row of each event, in order; afterwards :attr:`head` is the new head.

        The events themselves are added to ``events`` where it is given.
        """
        now = max(self.now_us, self.head.recorded_us)
        position, previous = self.head.position, self.head.hash
        salts = iter(_salts(self._position - position))
        content_digest, link = chain.content_digest, chain.link
        for append, _, versions, commit in self._accepted:
            version = 0
            for write in append.writes:
                stream, name = write.stream, write.stream.encode()
                stream_id, version = stream_ids[stream], versions[stream] - len(write.events)
                for new in write.events:
                    position += 1
                    version += 1
                    raw_id, kind, salt = new.raw_id, new.content, next(salts)
                    data, extra = new.raw_data, new.raw_metadata
                    digest = content_digest(salt, kind, data, extra)
                    type_ = new.type.encode()
                    previous = link(
                        previous, position, version, commit, now, name, type_, raw_id, digest
                    )
                    if events is not None:
                        place = position, stream, version, new.type, commit
                        events.append(Event(*place, raw_id, kind, data, extra, now, previous))
                    yield (
                        position, stream_id, version, raw_id, new.type, commit, kind, data,
                        extra, now, salt, digest, previous,
                    )  # fmt: skip
            cursor = Cursor(self.head.log_id, commit, previous)
            self._results[commit] = Appended(commit, versions, cursor, False, version, now)
        self.head = msgspec.structs.replace(
            self.head, position=position, recorded_us=now, hash=previous
        )


def _salts(count: int) -> list[bytes]:
    size = chain.SALT_BYTES
    drawn = os.urandom(size * count)
    return [drawn[at : at + size] for at in range(0, size * count, size)]


def _check_expected(stream: str, expected: Expected, actual: int) -> None:
    if expected is ANY:
        return
    if expected is STREAM_EXISTS:
        if actual == 0:
            raise ConflictError(stream, "STREAM_EXISTS", actual)
    elif expected != actual:
        raise ConflictError(stream, expected, actual)
