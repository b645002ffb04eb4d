"""Projections in other databases, as their runners have told the log of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from eventstore.log.operations import ViewState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventstore.log.operations import ToldView

log = logging.getLogger(__name__)


class _Version(msgspec.Struct):
    version: int
    position: int
    is_build: bool = False
    failed_at: int | None = None
    failure: str | None = None


class _Facts(msgspec.Struct):
    """What is needed here of ``projections.tables.view_model.ElsewhereView``."""

    place: str
    versions: list[_Version]


def live_views(told: Iterable[ToldView]) -> list[ViewState]:
    """Return the live version of each projection; what is told in another shape is passed over."""
    found = []
    for row in told:
        try:
            facts = msgspec.json.decode(row.facts, type=_Facts)
        except (msgspec.DecodeError, UnicodeError) as error:
            log.info("what the log was told of projection %r is not read: %s", row.name, error)
            continue
        found += [
            ViewState(
                row.name,
                one.version,
                one.position,
                one.failed_at,
                one.failure,
                followed=True,
                place=facts.place,
            )
            for one in facts.versions
            if not one.is_build
        ]
    return found
