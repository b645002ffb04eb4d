"""Table projections: database tables that are a function of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.system.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from projections.tables.projection import TableProjection

__all__ = ["TableProjection"]

if not TYPE_CHECKING:
    # What is said of views needs no SQLAlchemy; their tables do.
    __getattr__, __dir__ = lazy_exports(
        __name__, __all__, {"TableProjection": "projections.tables.projection"}
    )
