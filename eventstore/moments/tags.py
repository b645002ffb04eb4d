"""Tags: names that were given to moments.

==================  ============  =========================================
type                stream        data
==================  ============  =========================================
``MomentTagged``    ``tag/NAME``  ``name``, ``position``, ``by``
==================  ============  =========================================

The last event of a stream says where its tag is. Trims keep these events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from eventstore.errors import ConflictError, EventStoreError, InvalidInputError
from eventstore.log.events import NewEvent
from eventstore.log.names import check_stream
from eventstore.log.tags import MOMENT_TAGGED, TAGS
from eventstore.moments.written import is_name

if TYPE_CHECKING:
    from datetime import datetime

    from eventstore.log.events import Event
    from eventstore.store.event_store import EventStore


class TagTakenError(EventStoreError):
    """A tag of this name is there already; ``position`` is where."""

    def __init__(self, name: str, position: int) -> None:
        super().__init__(
            f"tag {name!r:.200} is position {position} already: choose another name, or replace "
            "it (replace=True)"
        )
        self.name, self.position = name, position


class Tag(NamedTuple):
    """A tag: the position that it names, who gave it, and when."""

    name: str
    position: int
    by: str
    at: datetime


class _Data(msgspec.Struct):
    position: int
    by: str = ""


def tag_stream(name: object) -> str:
    """Return the stream of a tag; raise InvalidInputError for what cannot be a tag's name."""
    if not isinstance(name, str) or not is_name(name):
        reason = "is no name of a tag: it would be read as another moment, or has a colon"
        raise InvalidInputError(f"tag {name!r:.80}", reason)
    return check_stream(TAGS + name)


async def set_tag(
    store: EventStore, name: str, position: int, *, by: str = "", replace: bool = False
) -> None:
    """Give a position a name. Raises TagTakenError for a name that another position has."""
    stream = tag_stream(name)
    event = NewEvent(MOMENT_TAGGED, {"name": name, "position": position, "by": by})
    while True:
        standing, version = await _find(store, stream)
        if standing is not None and standing.position == position:
            return
        if standing is not None and not replace:
            raise TagTakenError(name, standing.position)
        try:
            await store.append(stream, [event], expected=version)
        except ConflictError:
            continue  # Another process has given the name meanwhile.
        return


async def find_tag(store: EventStore, name: str) -> Tag | None:
    """Return a tag by its name."""
    try:
        stream = tag_stream(name)
    except EventStoreError:
        return None
    return (await _find(store, stream))[0]


async def list_tags(store: EventStore) -> list[Tag]:
    """Return all tags, by name."""
    names = [stream.name async for stream in store.streams(TAGS)]
    found = [(await _find(store, name))[0] for name in names]
    return [tag for tag in found if tag is not None]


async def _find(store: EventStore, stream: str) -> tuple[Tag | None, int]:
    """Return what the last event of a stream that can be read says, and the stream's version."""
    found, version = None, 0
    async for event in store.read(streams=stream, kept=True):
        found, version = _read(event) or found, event.version
    return found, version


def _read(event: Event) -> Tag | None:
    if event.type != MOMENT_TAGGED or event.raw_data is None:
        return None
    try:
        data = msgspec.json.decode(event.raw_data, type=_Data)
    except msgspec.MsgspecError:
        return None
    return Tag(event.stream.removeprefix(TAGS), data.position, data.by, event.recorded_at)
