"""Whether views can be computed again from what trims have kept: before a trim, and after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventstore.errors import HistoryGoneError, HistoryHeldError, ViewNotKeptError
from eventstore.log.inline_projection import archive_advice
from eventstore.log.operations import TRIMS, Query
from eventstore.log.told_views import live_views
from eventstore.log.trim_notices import keeps_for
from eventstore.storage.pages import read_page
from eventstore.storage.reading import read_head, read_told_views, read_views

if TYPE_CHECKING:
    from collections.abc import Collection

    from eventstore.storage.driver import Driver

_SNAPSHOTS: Final = (
    "SELECT name, max(position) FROM projection_snapshot WHERE stream = '' GROUP BY name"
)
"""The newest snapshot of each fold over the whole log."""


def check_kept(
    driver: Driver, last: int, served: Collection[str], forgone: Collection[str]
) -> None:
    """Raise ViewNotKeptError for a view that could not be computed again from what stays.

    Enough is kept for those that are ``served``; the ``forgone`` may be computed from the archives
    only. A fold begins with its snapshot, so that has to be as of ``last`` or later. Views in other
    databases are checked as the log knows them: HistoryHeldError for one that is not served and
    has not come as far as ``last``.
    """
    named = {*served, *forgone}
    for view in read_views(driver):
        if view.name not in named:
            raise ViewNotKeptError(view.name)
    if driver.has_table("projection_snapshot"):
        for name, position in driver.rows(_SNAPSHOTS):
            if position < last and name not in named:
                reason = f"its newest snapshot is as of {position}, and it goes on from there"
                raise ViewNotKeptError(name, reason)
    first = read_head(driver).first_position
    views = [one for one in live_views(read_told_views(driver)) if one.name not in served]
    for view in sorted(views, key=lambda one: one.position):
        # One that lacks events which were trimmed before has nothing to lose.
        if first - 1 <= view.position < last:
            raise HistoryHeldError(
                view.name, view.position, last, projection=True, place=view.place
            )
    for view in views:
        if view.name not in forgone:
            reason = f"it is in {view.place}, and nothing says which events it needs"
            raise ViewNotKeptError(view.name, reason)


def check_start(driver: Driver, first_position: int, view: str) -> None:
    """Raise HistoryGoneError where a trim does not say that it kept what a view needs."""
    at, head = 0, read_head(driver).position
    while at < head:
        page = read_page(driver, Query(after=at, until=head, streams=TRIMS, kept=True))
        if not all(keeps_for(notice, view) for notice in page.events):
            raise HistoryGoneError(0, first_position, archive_advice(view))
        at = page.through.position
