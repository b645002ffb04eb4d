"""Table projections: database tables that are a function of the log."""

from projections.tables.projection import TableProjection

__all__ = ["TableProjection"]
