"""Everything that is computed from the log: files on disk, tables, and what they serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.system.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from projections.aggregates import Aggregate, Aggregates
    from projections.fold_view import FoldView
    from projections.folds import Fold, FoldRunner
    from projections.handlers import handles
    from projections.protocol import OutdatedViewError, Projection, ProjectionBusyError
    from projections.rules.directory import DirectoryProjection
    from projections.runner import ProjectionRunner
    from projections.tables.projection import TableProjection
    from projections.tables.upsert import increment, upsert

__all__ = [
    "Aggregate",
    "Aggregates",
    "DirectoryProjection",
    "Fold",
    "FoldRunner",
    "FoldView",
    "OutdatedViewError",
    "Projection",
    "ProjectionBusyError",
    "ProjectionRunner",
    "TableProjection",
    "handles",
    "increment",
    "upsert",
]

if not TYPE_CHECKING:
    # Importing the manifest of the commands imports this package, and shall import no more.
    __getattr__, __dir__ = lazy_exports(
        __name__,
        __all__,
        {
            "Aggregate": "projections.aggregates",
            "Aggregates": "projections.aggregates",
            "DirectoryProjection": "projections.rules.directory",
            "Fold": "projections.folds",
            "FoldRunner": "projections.folds",
            "FoldView": "projections.fold_view",
            "OutdatedViewError": "projections.protocol",
            "Projection": "projections.protocol",
            "ProjectionBusyError": "projections.protocol",
            "ProjectionRunner": "projections.runner",
            "TableProjection": "projections.tables.projection",
            "handles": "projections.handlers",
            "increment": "projections.tables.upsert",
            "upsert": "projections.tables.upsert",
        },
    )
