"""Streams that are named by their key, as ``history R1`` names ``rule/R1``.

Keys compare as texts, and UUIDs as such: in upper case, in braces or without hyphens they are the
same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventstore.cli.contributions import contributions
from eventstore.errors import InvalidInputError
from eventstore.log.names import canonical_uuid
from eventstore.moments.resolve import resolve_moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore import Event
    from eventstore.cli.session import Session
    from eventstore.store.event_store import EventStore

Stream = Annotated[
    str, typer.Argument(help="A stream (rule/R1), or the id of a thing, such as a rule (R1).")
]


async def read_named(
    session: Session, text: str, advice: str, *, at: str | None = None, **read: Any
) -> list[Event]:
    """Return the events of each stream that ``text`` may name, those up to the moment ``at``.

    ``read`` are options of ``EventStore.read``, for each stream. Raises InvalidInputError, which
    ends with ``advice``, where there are no events, and MomentError.
    """
    async with session.open_store() as store:
        if at is not None:
            read["until"] = (await resolve_moment(store, at)).position
        events = [
            event
            for name in await find_streams(store, text)
            async for event in store.read(streams=name, kept=True, **read)
        ]
    if not events:
        when = "has no events" if at is None else f"had no events at {at}"
        raise InvalidInputError(f"stream {text!r}", f"{when}; {advice}")
    return events


async def find_streams(store: EventStore, text: str) -> list[str]:
    """Return the streams that ``text`` may name, spelled as the log has them.

    ``text`` is a stream, or the key of one in a category that a package's manifest names.
    """
    categories = contributions().history_categories
    category, slash, key = text.partition("/")
    if slash:
        own = category + slash
        found = await _spellings(store, own, key) if own in categories else []
        return [own + one for one in found] or [text]
    return [
        category + one
        for category in categories
        for one in await _spellings(store, category, text) or [text]
    ]


async def find_key(store: EventStore, categories: Sequence[str], key: str) -> str:
    """Return a key as it is spelled in the first category that has it.

    One that is in none is returned as it is, and a UUID in its canonical spelling.
    """
    for category in categories:
        if found := await _spellings(store, category, key):
            return found[0]
    return canonical_uuid(key) or key


async def _spellings(store: EventStore, category: str, key: str) -> list[str]:
    """Return the spellings of a key that a category has; more than one of a UUID only."""
    wanted = canonical_uuid(key)
    tries = [key] if wanted is None else list(dict.fromkeys((key, wanted, wanted.upper())))
    found = [one for one in tries if await _exists(store, category + one)]
    if found or wanted is None:
        return found
    names = [stream.name.removeprefix(category) async for stream in store.streams(category)]
    return [name for name in names if canonical_uuid(name) == wanted]


async def _exists(store: EventStore, stream: str) -> bool:
    async for one in store.streams(stream):
        return one.name == stream
    return False
