"""How each version of a view is, decided from what its database and its runs tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from eventstore.store.status import seconds_between
from projections.elsewhere import TELL_SECONDS
from projections.tables.view_model import ViewVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from projections.tables.view_model import ElsewhereView, Look, SavedFold
    from projections.troubles import Trouble

State: TypeAlias = Literal[
    "live", "behind", "stopped", "failing", "diverged", "building", "paused", "built", "left over",
    "saved",
]  # fmt: skip
"""How a version of a view is.

``live`` at the head of the log; ``behind`` it; ``stopped`` before an event that cannot be applied;
``failing`` and tried again by a runner; ``diverged`` where it is further than the log.

A version that is built beside the live one is ``building`` while it moves, ``paused`` where it
does not, ``built`` at the head, and ``left over`` where the live version is as high.

A fold is ``saved``: its state is in the memory of a program, and only its snapshot is known.
"""

Key: TypeAlias = "tuple[str, int, bool]"

STEADY_SECONDS: Final = 3 * TELL_SECONDS
"""A build in another database, of which the log was told so many seconds ago, goes on."""


def has_builds(look: Look) -> bool:
    """Whether a version is built beside the live one, so that a second look tells how fast."""
    return any(view.is_build for view in look.views)


def describe_views(
    look: Look,
    before: Look | None,
    troubles: Iterable[Trouble],
    place: str,
    elsewhere: Sequence[ElsewhereView] = (),
    now: int = 0,
) -> list[dict[str, Any]]:
    """Return views, folds, and failing views of other places, a version each, as JSON-ready values.

    ``before`` is an earlier look, from which speeds are known. ``place`` is the log's, as troubles
    name it. ``elsewhere`` are the views of which the log was told, ``now`` is its time.
    """
    failing = list(troubles)
    here = {one.projection: one for one in failing if one.place == place}
    speeds = {} if before is None else _speeds(before, look)
    live = {view.name: view.version for view in look.views if not view.is_build}
    described = [
        _describe(view, look.head, live, None if view.is_build else here.get(view.name), speeds)
        for view in look.views
    ]
    described += [_describe_fold(fold, look.head) for fold in look.folds]
    described += [values for told in elsewhere for values in _told(told, look.head, failing, now)]
    known = {(view.name, place) for view in look.views if not view.is_build}
    known |= {(told.projection, told.place) for told in elsewhere if told.versions}
    return described + [
        _only_failing(one) for one in failing if (one.projection, one.place) not in known
    ]


def _told(
    told: ElsewhereView, head: int, failing: Iterable[Trouble], now: int
) -> Iterator[dict[str, Any]]:
    """Describe a view in another database, as its runner has told the log of it."""
    mine = (one for one in failing if (one.projection, one.place) == (told.projection, told.place))
    trouble = next(mine, None)
    live = {view.name: view.version for view in told.versions if not view.is_build}
    seconds = seconds_between(told.told_us, now)
    # Of a build elsewhere one look is known, and no speed.
    speed = float(seconds < STEADY_SECONDS)
    for view in told.versions:
        values = _describe(view, head, live, None if view.is_build else trouble, {})
        yield values | {
            "state": state_of(
                view, head, live.get(view.name), speed, failing=values["trouble"] is not None
            ),
            "place": told.place,
            "schema": told.schema,
            "owner": values["owner"] or told.owner,
            "told_seconds_ago": seconds,
        }


def _describe_fold(fold: SavedFold, head: int) -> dict[str, Any]:
    """Describe the snapshot of a fold with the keys of a view."""
    view = ViewVersion(
        fold.name,
        fold.version,
        fold.position,
        is_build=False,
        is_followed=False,
        failed_at=None,
        failure=None,
        set_aside=(),
        set_aside_count=0,
        tables=(),
        size=None,
    )
    diverged = fold.position > head or not fold.is_of_log
    return _describe(view, head, {}, None, {}) | {
        "state": "diverged" if diverged else "saved",
        "kept": "fold",
        "bytes": fold.bytes,
    }


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
        "schema": None,
        "told_seconds_ago": None,
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


def _only_failing(trouble: Trouble) -> dict[str, Any]:
    """Describe a view of which the log knows only that its run fails."""
    return {
        "name": trouble.projection,
        "state": "failing",
        "place": trouble.place,
        "trouble": trouble.reason,
        "owner": trouble.owner,
    }
