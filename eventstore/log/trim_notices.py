"""What the log says of its trims: events ``HistoryTrimmed`` of the stream ``log/trims``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from eventstore.log.events import Event

VIEWS: Final = "views"
"""The names of the views that can be computed again from what the trim has kept."""


def keeps_for(notice: Event, view: str) -> bool:
    """Whether a trim says that it kept what a view needs; trims of 0.1.0 say nothing of views."""
    data = notice.data
    views = data.get(VIEWS) if isinstance(data, dict) else None
    return isinstance(views, list) and view in views
