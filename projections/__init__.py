"""Everything that is computed from the log: files on disk, tables, and what they serve."""

from projections.directory import DirectoryProjection
from projections.protocol import OutdatedViewError, Projection, ProjectionBusyError
from projections.runner import ProjectionRunner
from projections.tables.projection import TableProjection

__all__ = [
    "DirectoryProjection",
    "OutdatedViewError",
    "Projection",
    "ProjectionBusyError",
    "ProjectionRunner",
    "TableProjection",
]
