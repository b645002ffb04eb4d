"""From a moment as it was given to a position of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from eventstore.errors import HistoryGoneError
from eventstore.log.clock import from_microseconds, to_microseconds
from eventstore.log.operations import Query
from eventstore.moments.errors import (
    AmbiguousMomentError,
    FutureMomentError,
    UnknownMomentError,
)
from eventstore.moments.synced_commits import find_synced
from eventstore.moments.tags import find_tag
from eventstore.moments.written import (
    FORMS,
    GIT,
    TAG,
    AtCommit,
    AtName,
    AtPosition,
    AtTag,
    AtTime,
    is_hash,
    read_written,
)

if TYPE_CHECKING:
    from datetime import datetime

    from eventstore.log.events import Event
    from eventstore.log.operations import Head
    from eventstore.store.event_store import EventStore

GONE: Final = (
    "what stood before that is in the archives of trims (import one into an empty log), or "
    "choose a later moment"
)


class Moment(NamedTuple):
    """A position at the end of a commit, 0 for the beginning, and how it was given."""

    position: int
    given: str

    def __str__(self) -> str:
        """Return it as it was given, with its position where that is not the same."""
        position = str(self.position)
        return position if self.given == position else f"{self.given} (position {position})"


async def resolve_moment(store: EventStore, given: int | datetime | str) -> Moment:
    """Return the moment that a position, an aware time or a text names; see :mod:`.written`.

    A position within a commit is the end of the commit before: no state was ever seen between.
    A time is the end of what was recorded up to it. Raises UnknownMomentError,
    AmbiguousMomentError, FutureMomentError, HistoryGoneError where what stood then was trimmed
    away, and InvalidInputError for what cannot be a moment.
    """
    written = read_written(given, from_microseconds(store.clock()))
    text, head = str(given), await store.head()
    match written:
        case AtPosition(position):
            found = position
        case AtTime(time):
            found = await _at_time(store, head, text, to_microseconds(time))
        case AtTag(name):
            found = await _at_name(store, head, text, name, tags=True, commits=False)
        case AtCommit(start):
            found = await _at_name(store, head, text, start, tags=False, commits=True)
        case AtName(name):
            found = await _at_name(store, head, text, name, tags=True, commits=is_hash(name))
    if found > head.position:
        raise FutureMomentError(text, head.position)
    if found < head.first_position - 1:
        raise HistoryGoneError(found, head.first_position, GONE)
    return Moment(await _end_of_commit(store, head, found), text)


async def _at_name(
    store: EventStore, head: Head, text: str, name: str, *, tags: bool, commits: bool
) -> int:
    """Return the position of the one tag or commit that a name means."""
    tag = await find_tag(store, name) if tags else None
    found = {} if tag is None else {TAG + name: tag.position}
    if commits:
        synced = await find_synced(store, name.lower(), head.position)
        found |= {GIT + one: position for one, position in sorted(synced.items())}
    if len(found) > 1:
        raise AmbiguousMomentError(text, list(found))
    if not found:
        raise UnknownMomentError(text, _unknown(tags=tags, commits=commits))
    return next(iter(found.values()))


def _unknown(*, tags: bool, commits: bool) -> str:
    if tags and commits:
        return "no tag has this name, and no commit of git whose hash begins so was synced"
    if commits:
        return "no commit of git whose hash begins so was synced"
    return f"no tag has this name ('eventstore tag --list' shows all), and it is not {FORMS}"


async def _at_time(store: EventStore, head: Head, text: str, time_us: int) -> int:
    """Return the last position that was recorded up to a time; times never run backwards."""
    if time_us > max(store.clock(), head.recorded_us):
        raise FutureMomentError(text, head.position)
    low, high = head.first_position - 1, head.position
    while low < high:
        middle = (low + high + 1) // 2
        if (await _event_at(store, middle)).recorded_us <= time_us:
            low = middle
        else:
            high = middle - 1
    gone = head.first_position - 1
    if low == gone > 0 and (low < head.position or time_us < head.recorded_us):
        return gone - 1  # All that is left was recorded later.
    return low


async def _end_of_commit(store: EventStore, head: Head, position: int) -> int:
    """Return a position, or where the commit begins that it lies within."""
    if position in {0, head.first_position - 1, head.position}:
        return position
    before, end = await commit_at(store, position)
    return end if end == position else before


async def commit_at(store: EventStore, position: int) -> tuple[int, int]:
    """Return the positions before and at the end of the commit of the event at a position.

    Raises FutureMomentError and HistoryGoneError where there is no such event.
    """
    head = await store.head()
    if position > head.position:
        raise FutureMomentError(str(position), head.position)
    if position < head.first_position:
        raise HistoryGoneError(position, head.first_position, GONE)
    commit = (await _event_at(store, position)).commit
    low, high = head.first_position - 1, position - 1
    while low < high:  # Commits follow one another: find the last event of an earlier one.
        middle = (low + high + 1) // 2
        if (await _event_at(store, middle)).commit < commit:
            low = middle
        else:
            high = middle - 1
    return low, commit


async def _event_at(store: EventStore, position: int) -> Event:
    query = Query(after=position - 1, until=position, limit=1)
    return (await store.feed.log.page(query)).events[0]
