"""How each version of a view is, decided from what its database and its runs tell of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from eventstore.cli.consumers import show_age

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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

COLUMNS = ("view", "version", "state", "position", "behind", "size", "notes")
BYTE_UNITS = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the log's database has found; ``seconds`` are those of a monotonic clock."""

    head: int
    views: Sequence[ViewVersion]
    seconds: float


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


def row_of(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a line of the table for people."""
    if values["place"] is not None:
        where = f"in {values['place']}: {_trouble(values)}"
        return values["name"], "-", values["state"], "-", "-", "-", where
    return (
        values["name"],
        str(values["version"]),
        values["state"],
        str(values["position"]),
        str(values["lag"]) if values["lag"] else "-",
        _size(values),
        "; ".join(_remarks(values)),
    )


def _remarks(values: Mapping[str, Any]) -> Iterable[str]:
    if values["kept"] is not None:
        yield values["kept"]
    if values["seconds_left"] is not None:
        done = 100 * values["position"] // (values["position"] + values["lag"])
        yield f"{done} %, {show_age(values['seconds_left'])} left"
    if values["trouble"] is not None:
        yield _trouble(values)
    if values["failed_at"] is not None:
        yield f"cannot apply {values['failed_at']}: {values['failure']}"
    if count := values["set_aside_count"]:
        first = values["set_aside"][0]
        yield f"{count} set aside, first {first['position']}: {first['reason']}"


def _trouble(values: Mapping[str, Any]) -> str:
    return f"fails and is tried again by {values['owner']}: {values['trouble']}"


def _size(values: Mapping[str, Any]) -> str:
    if values["rows"] is None:
        return "-"
    rows = f"{values['rows']} row{'' if values['rows'] == 1 else 's'}"
    if values["more_rows"]:
        rows = f"over {rows}"
    return rows if values["bytes"] is None else f"{rows}, {show_bytes(values['bytes'])}"


def show_bytes(size: int) -> str:
    """Return a size for people, in the largest unit of which it has two: ``90 MB``."""
    for unit, one in BYTE_UNITS:
        if size >= 2 * one:
            return f"{size // one} {unit}"
    return f"{size} bytes"
