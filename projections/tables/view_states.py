"""How each version of a view is, decided from what its database and its runs tell of it."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from projections.tables.view_facts import read_views

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from eventstore import EventStore
    from eventstore.log.operations import Head
    from projections.tables.view_facts import ViewVersion
    from projections.troubles import Trouble

State: TypeAlias = Literal[
    "live", "behind", "stopped", "failing", "diverged", "building", "paused", "built", "left over"
]
"""How a version of a view is.

``live`` at the head of the log; ``behind`` it; ``stopped`` before an event that cannot be applied;
``failing`` and tried again by a runner; ``diverged`` where it is further than the log.

A version that is built beside the live one is ``building`` while it moves, ``paused`` where it
does not, ``built`` at the head, and ``left over`` where the live version is as high.
"""

Key: TypeAlias = "tuple[str, int, bool]"


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the log's database has found; ``seconds`` are those of a monotonic clock."""

    head: int
    views: Sequence[ViewVersion]
    seconds: float


async def look_at_views(store: EventStore) -> Look:
    """Look at the database of an open log."""

    def read(connection: Any, head: Head) -> Look:
        return Look(head.position, read_views(connection), monotonic())

    return await store.query(read)


def has_builds(look: Look) -> bool:
    """Whether a version is built beside the live one, so that a second look tells how fast."""
    return any(view.is_build for view in look.views)


def describe_views(
    look: Look, before: Look | None, troubles: Iterable[Trouble], place: str
) -> list[dict[str, Any]]:
    """Return each version of each view, and failing views of other places, as JSON-ready values.

    ``before`` is an earlier look, from which speeds are known. ``place`` is the log's, as troubles
    name it.
    """
    failing = list(troubles)
    here = {one.projection: one for one in failing if one.place == place}
    speeds = {} if before is None else _speeds(before, look)
    live = {view.name: view.version for view in look.views if not view.is_build}
    described = [
        _describe(view, look.head, live, None if view.is_build else here.get(view.name), speeds)
        for view in look.views
    ]
    known = {view.name for view in look.views if not view.is_build}
    return described + [
        _elsewhere(one) for one in failing if one.place != place or one.projection not in known
    ]


def _speeds(before: Look, after: Look) -> dict[Key, float]:
    """Return how many events a second each build has applied between two looks."""
    seconds = max(after.seconds - before.seconds, 1e-3)
    old = {_key(view): view.position for view in before.views}
    return {
        _key(view): (view.position - old[_key(view)]) / seconds
        for view in after.views
        if view.is_build and _key(view) in old
    }


def _key(view: ViewVersion) -> Key:
    return view.name, view.version, view.is_build


def _describe(
    view: ViewVersion,
    head: int,
    live: Mapping[str, int],
    trouble: Trouble | None,
    speeds: Mapping[Key, float],
) -> dict[str, Any]:
    speed = speeds.get(_key(view), 0.0)
    lag = head - view.position
    building = view.is_build and speed > 0
    size = view.size
    return {
        "name": view.name,
        "version": view.version,
        "state": state_of(view, head, live.get(view.name), speed, failing=trouble is not None),
        "kept": None if view.is_build else "followed" if view.is_followed else "inline",
        "position": view.position,
        "lag": lag,
        "events_per_second": round(speed, 1) if building else None,
        "seconds_left": round(lag / speed, 1) if building else None,
        "rows": size and size.rows,
        "more_rows": size is not None and size.more,
        "bytes": size and size.bytes,
        "tables": list(view.tables),
        "failed_at": view.failed_at,
        "failure": view.failure,
        "trouble": trouble and trouble.reason,
        "owner": trouble and trouble.owner,
        "place": None,
        "set_aside_count": view.set_aside_count,
        "set_aside": [{"position": one.position, "reason": one.reason} for one in view.set_aside],
    }


def state_of(
    view: ViewVersion, head: int, live: int | None, speed: float, *, failing: bool
) -> State:
    """Return how a version is; ``live`` is the version of the live one of the same name."""
    if view.position > head:
        return "diverged"
    if view.is_build:
        return _state_of_build(view, head, live, speed)
    if failing:
        return "failing"
    if view.failed_at is not None:
        return "stopped"
    return "behind" if view.position < head else "live"


def _state_of_build(view: ViewVersion, head: int, live: int | None, speed: float) -> State:
    if live is not None and view.version <= live:
        return "left over"
    if view.position == head:
        return "built"
    return "building" if speed > 0 else "paused"


def _elsewhere(trouble: Trouble) -> dict[str, Any]:
    """Describe a view of which the log knows only that its run fails."""
    return {
        "name": trouble.projection,
        "state": "failing",
        "place": trouble.place,
        "trouble": trouble.reason,
        "owner": trouble.owner,
    }
