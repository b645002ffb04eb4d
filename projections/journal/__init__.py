"""The journal: progress logs of agents, project by project."""

from projections.journal.factory import get_journal
from projections.journal.model import (
    OUTCOMES,
    ChecksumError,
    EntryConflictError,
    JournalChange,
    PatternError,
    PatternTimeoutError,
    ProjectMetrics,
    ProjectRecord,
    UnknownProjectError,
)
from projections.journal.protocol import JournalProtocol
from projections.journal.store import Journal
from projections.journal.tables import JournalTables

__all__ = [
    "OUTCOMES",
    "ChecksumError",
    "EntryConflictError",
    "Journal",
    "JournalChange",
    "JournalProtocol",
    "JournalTables",
    "PatternError",
    "PatternTimeoutError",
    "ProjectMetrics",
    "ProjectRecord",
    "UnknownProjectError",
    "get_journal",
]
