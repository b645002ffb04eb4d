"""An event-sourced store with change subscriptions: one log, many views."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from eventstore.errors import (
    ArchiveError,
    ChangeRejectedError,
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
    NotAppliedError,
    NotEmptyError,
    ProjectionError,
    StorageError,
    StoreClosedError,
    TakenOverError,
    UpcastError,
)
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

if TYPE_CHECKING:
    from eventstore.changes.subscription import Subscription
    from eventstore.store.event_store import EventStore

__all__ = [
    "ANY",
    "END",
    "NO_STREAM",
    "STREAM_EXISTS",
    "Appended",
    "ArchiveError",
    "ChangeRejectedError",
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
    "NotAppliedError",
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

_MODULES: Final = {
    "EventStore": "eventstore.store.event_store",
    "Subscription": "eventstore.changes.subscription",
}
"""What needs a database is imported at its first use: help and completion start without."""


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
