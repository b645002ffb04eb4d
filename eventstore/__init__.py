"""An event-sourced store with change subscriptions: one log, many projections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.errors import (
    AccessDeniedError,
    ArchiveError,
    ChangeRejectedError,
    ConfigError,
    ConflictError,
    ConsumerRemovedError,
    CorruptEventError,
    DuplicateEventError,
    EventDataError,
    EventStoreError,
    FileChangedError,
    ForkedError,
    HistoryDivergedError,
    HistoryGoneError,
    HistoryHeldError,
    InvalidInputError,
    LimitExceededError,
    LinkedFileError,
    LogReplacedError,
    NoLogError,
    NotAppliedError,
    NotEmptyError,
    NotServedError,
    ProjectionError,
    ProjectionGoneError,
    ProjectionHeldError,
    ProjectionTableError,
    ProjectionVersionError,
    QueryTimeoutError,
    StorageError,
    StoreClosedError,
    TakenOverError,
    UnknownConsumerError,
    UpcastError,
    ViewNotKeptError,
    WrongLoopError,
    WrongPageError,
)
from eventstore.system.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from eventstore.changes.subscription import Subscription
    from eventstore.log.event_types import EventTypes
    from eventstore.log.events import (
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
    from eventstore.log.operations import Head
    from eventstore.log.upcasting import Upcasters
    from eventstore.store.event_store import EventStore

__all__ = [
    "ANY",
    "END",
    "NO_STREAM",
    "STREAM_EXISTS",
    "AccessDeniedError",
    "Appended",
    "ArchiveError",
    "ChangeRejectedError",
    "ConfigError",
    "ConflictError",
    "ConsumerRemovedError",
    "CorruptEventError",
    "Cursor",
    "DuplicateEventError",
    "Event",
    "EventDataError",
    "EventStore",
    "EventStoreError",
    "EventTypes",
    "FileChangedError",
    "ForkedError",
    "Head",
    "HistoryDivergedError",
    "HistoryGoneError",
    "HistoryHeldError",
    "InvalidInputError",
    "LimitExceededError",
    "LinkedFileError",
    "LogReplacedError",
    "NewEvent",
    "NoLogError",
    "NotAppliedError",
    "NotEmptyError",
    "NotServedError",
    "ProjectionError",
    "ProjectionGoneError",
    "ProjectionHeldError",
    "ProjectionTableError",
    "ProjectionVersionError",
    "QueryTimeoutError",
    "StorageError",
    "StoreClosedError",
    "StreamWrite",
    "Subscription",
    "TakenOverError",
    "UnknownConsumerError",
    "UpcastError",
    "Upcasters",
    "ViewNotKeptError",
    "WrongLoopError",
    "WrongPageError",
]

if not TYPE_CHECKING:
    # Help and completion of the command line start without events and without a database.
    __getattr__, __dir__ = lazy_exports(
        __name__,
        __all__,
        {
            "EventStore": "eventstore.store.event_store",
            "EventTypes": "eventstore.log.event_types",
            "Head": "eventstore.log.operations",
            "Subscription": "eventstore.changes.subscription",
            "Upcasters": "eventstore.log.upcasting",
        }
        | dict.fromkeys(
            [
                "ANY",
                "END",
                "NO_STREAM",
                "STREAM_EXISTS",
                "Appended",
                "Cursor",
                "Event",
                "NewEvent",
                "StreamWrite",
            ],
            "eventstore.log.events",
        ),
    )
