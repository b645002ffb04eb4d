"""Which event each line of a rule's file comes from."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple

import anyio

from eventstore.errors import InvalidInputError
from projections.rules.differences import lines_of
from projections.rules.events import RULES
from projections.rules.fold import Defined, Removed, read_event

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from eventstore import Event, EventStore


class BlamedLine(NamedTuple):
    """A line of a file: the event that brought it, with who, when and why.

    ``commit`` is git's, ``who`` its author, else who synced, set or reverted it; all are None
    where the event says nothing of it.
    """

    number: int
    text: str
    position: int
    at: datetime
    who: str | None
    why: str | None
    commit: str | None

    def values(self) -> dict[str, object]:
        """Return it as JSON."""
        return {**self._asdict(), "at": self.at.isoformat()}


async def blame_rule(
    store: EventStore, rule_id: str, until: int, *, before_other: Callable[[], object] = bool
) -> list[BlamedLine]:
    """Return the lines of a rule's file as of a position, each with the event that brought it.

    What a trim took away is not there: the oldest version that was kept then brought its lines.
    ``before_other`` is called as by :func:`content_of`. Raises InvalidInputError where the rule did
    not stand then.
    """
    lines: list[str] | None = None
    brought: list[Event] = []
    async for event in store.read(streams=RULES + rule_id, until=until, kept=True):
        match read_event(event):
            case Defined() as says:
                content = await content_of(store, event, says, before_other)
                if content is not None:
                    new = lines_of(content)
                    brought = await anyio.to_thread.run_sync(
                        _carried_over, lines or [], brought, new, event
                    )
                    lines = new
            case Removed():
                lines, brought = None, []
    if lines is None:
        raise InvalidInputError(f"rule {rule_id!r}", f"there is no such rule at position {until}")
    return [
        _blamed(number, text, event)
        for number, (text, event) in enumerate(zip(lines, brought, strict=True), 1)
    ]


async def content_of(
    store: EventStore, event: Event, says: Defined, before_other: Callable[[], object]
) -> bytes | None:
    """Return the file of a definition; None where another rule has it, and it is gone.

    Of the rules of one file the event of one carries the content, in the same commit.
    ``before_other`` is called before the stream of another rule is read, which the event names.
    """
    if says.content is not None:
        return says.content
    data = event.data
    carrier = data.get("content_in") if isinstance(data, dict) else None
    if not isinstance(carrier, str):
        return None
    before_other()
    found = store.read(streams=carrier, until=event.commit, backwards=True, limit=1, kept=True)
    async for other in found:
        carried = read_event(other)
        if isinstance(carried, Defined):
            return carried.content
    return None


def _carried_over(
    old: list[str], brought: list[Event], new: list[str], event: Event
) -> list[Event]:
    """Return the event that brought each line: the earlier one's where the line stayed."""
    found = [event] * len(new)
    for start, to, size in SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
        found[to : to + size] = brought[start : start + size]
    return found


def _blamed(number: int, text: str, event: Event) -> BlamedLine:
    metadata = event.metadata
    git = metadata.get("git")
    git = git if isinstance(git, dict) else {}
    who = git.get("author") or metadata.get("by")
    why = metadata.get("reason") or git.get("subject")
    commit = git.get("commit")
    return BlamedLine(
        number,
        text,
        event.position,
        event.recorded_at,
        None if who is None else str(who),
        None if why is None else str(why),
        None if commit is None else str(commit),
    )
