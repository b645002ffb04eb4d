"""The inline projections of an open store, and which of them a newer program has taken over."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal, TypeAlias

from eventstore.errors import ConfigError
from eventstore.log.inline_projection import is_stated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.errors import ProjectionVersionError
    from eventstore.log.inline_projection import InlineProjection

log = logging.getLogger(__name__)

OnNewerView: TypeAlias = Literal["skip", "refuse"]
"""What an append does where an inline projection is of a newer version than this program's."""


Inline: TypeAlias = "Sequence[InlineView | InlineProjection]"
"""What a backend is given."""


class InlineView:
    """An inline projection of one store.

    ``most`` limits how many events one transaction applies to bring it up to the log, ``None``
    for no limit. ``newer`` is the version of its tables where that is newer than this program's:
    the store then appends without the projection.
    """

    def __init__(self, projection: InlineProjection, *, refuse: bool = False) -> None:
        self.projection = projection
        self.name = projection.name
        self.stated = projection if is_stated(projection) else None
        """The projection, where its checkpoint is SQL that is known beforehand."""
        self.most: int | None = None
        self.newer: int | None = None
        self._refuse = refuse
        self._whole = self

    def limited(self, most: int) -> InlineView:
        """Return this view with a limit; whether it is taken over is known to both."""
        view = InlineView(self.projection, refuse=self._refuse)
        view.most, view._whole = most, self._whole
        return view

    def step_aside(self, error: ProjectionVersionError) -> None:
        """Go on without the projection, and say so once; raise ``error`` where that is refused."""
        if self._refuse:
            raise error
        whole = self._whole
        if whole.newer != error.stored:
            log.warning("%s; this process appends without it", error)
        whole.newer = error.stored

    def resume(self) -> None:
        """Take note that the tables are of this program's version."""
        whole = self._whole
        if whole.newer is not None:
            log.info("projection %r is of this program's version again", self.name)
            whole.newer = None


def make_views(inline: Sequence[InlineProjection], on_newer_view: OnNewerView) -> list[InlineView]:
    """Return the views of a store; raise ConfigError for another ``on_newer_view``."""
    if on_newer_view not in {"skip", "refuse"}:
        raise ConfigError(f"on_newer_view is {on_newer_view!r:.80}: give 'skip' or 'refuse'")
    return [InlineView(projection, refuse=on_newer_view == "refuse") for projection in inline]
