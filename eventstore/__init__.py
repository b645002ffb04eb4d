"""An event-sourced store with change subscriptions: one log, many views."""

from eventstore.errors import (
    ArchiveError,
    ConfigError,
    ConflictError,
    CorruptEventError,
    DuplicateEventError,
    EventStoreError,
    HistoryDivergedError,
    HistoryGoneError,
    HistoryHeldError,
    InvalidInputError,
    LimitExceededError,
    NotEmptyError,
    ProjectionError,
    StorageError,
    StoreClosedError,
    TakenOverError,
    UpcastError,
)
from eventstore.events import (
    ANY,
    END,
    NO_STREAM,
    STREAM_EXISTS,
    Appended,
    Cursor,
    Event,
    NewEvent,
    StreamWrite,
)
from eventstore.ports import Head
from eventstore.store import EventStore
from eventstore.subscription import Subscription
from eventstore.upcasting import Upcasters

__all__ = [
    "ANY",
    "END",
    "NO_STREAM",
    "STREAM_EXISTS",
    "Appended",
    "ArchiveError",
    "ConfigError",
    "ConflictError",
    "CorruptEventError",
    "Cursor",
    "DuplicateEventError",
    "Event",
    "EventStore",
    "EventStoreError",
    "Head",
    "HistoryDivergedError",
    "HistoryGoneError",
    "HistoryHeldError",
    "InvalidInputError",
    "LimitExceededError",
    "NewEvent",
    "NotEmptyError",
    "ProjectionError",
    "StorageError",
    "StoreClosedError",
    "StreamWrite",
    "Subscription",
    "TakenOverError",
    "UpcastError",
    "Upcasters",
]
