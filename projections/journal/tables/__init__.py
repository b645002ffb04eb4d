"""The journal's tables, and the projection that keeps them."""

from projections.journal.tables.projection import JournalTables

__all__ = ["JournalTables"]
