"""Every error that this package raises on purpose: one root, typed fields.

Each message says what happened, where, and what to do about it. Errors of drivers and
libraries are translated into these where they occur and chained with ``raise … from``.
"""

from eventstore.errors._consumers import (
    ChangeRejectedError,
    ConsumerRemovedError,
    NotAppliedError,
    TakenOverError,
    UnknownConsumerError,
)
from eventstore.errors._log import (
    ArchiveError,
    ConflictError,
    DuplicateEventError,
    HistoryDivergedError,
    HistoryGoneError,
    HistoryHeldError,
    NoLogError,
    NotEmptyError,
    UpcastError,
)
from eventstore.errors._owners import (
    ForkedError,
    StoreClosedError,
    WrongLoopError,
)
from eventstore.errors._projections import (
    ProjectionError,
    ProjectionTableError,
    ProjectionVersionError,
)
from eventstore.errors._root import (
    ConfigError,
    EventStoreError,
    InvalidInputError,
    LimitExceededError,
)
from eventstore.errors._storage import (
    CorruptEventError,
    FileChangedError,
    LinkedFileError,
    LogReplacedError,
    QueryTimeoutError,
    StorageError,
)

__all__ = [
    "ArchiveError",
    "ChangeRejectedError",
    "ConfigError",
    "ConflictError",
    "ConsumerRemovedError",
    "CorruptEventError",
    "DuplicateEventError",
    "EventStoreError",
    "FileChangedError",
    "ForkedError",
    "HistoryDivergedError",
    "HistoryGoneError",
    "HistoryHeldError",
    "InvalidInputError",
    "LimitExceededError",
    "LinkedFileError",
    "LogReplacedError",
    "NoLogError",
    "NotAppliedError",
    "NotEmptyError",
    "ProjectionError",
    "ProjectionTableError",
    "ProjectionVersionError",
    "QueryTimeoutError",
    "StorageError",
    "StoreClosedError",
    "TakenOverError",
    "UnknownConsumerError",
    "UpcastError",
    "WrongLoopError",
]

for _name in __all__:  # Messages, and pickles of every version, name the classes by this package.
    globals()[_name].__module__ = __name__
