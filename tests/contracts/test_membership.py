"""No backend is left out of the contract suite, and the public names are the intended ones."""

from support.logs import LASTING, LOG_URLS

import eventstore
from eventstore.storage.backends import BACKENDS

SERVED = {"http", "https"}
"""Schemes of logs behind a server: `http` joins the suite, `tests/remote/test_tls.py` has both."""

INTENDED = {
    "ANY", "END", "NO_STREAM", "STREAM_EXISTS",
    "Appended", "Cursor", "Event", "EventStore", "Head", "NewEvent", "StreamWrite",
    "Subscription", "Upcasters",
    "AccessDeniedError", "ArchiveError", "ChangeRejectedError", "ConfigError", "ConflictError",
    "ConsumerRemovedError", "CorruptEventError",
    "DuplicateEventError", "EventStoreError", "ForkedError", "HistoryDivergedError",
    "HistoryGoneError", "HistoryHeldError", "InvalidInputError", "LimitExceededError", "NoLogError",
    "NotAppliedError", "NotEmptyError", "NotServedError", "ProjectionError",
    "StorageError", "StoreClosedError",
    "TakenOverError", "UnknownConsumerError", "UpcastError", "WrongLoopError", "WrongPageError",
    "FileChangedError", "LinkedFileError", "LogReplacedError",
    "ProjectionGoneError", "ProjectionHeldError", "ProjectionTableError", "ProjectionVersionError",
    "QueryTimeoutError", "EventTypes", "EventDataError", "ViewNotKeptError",
}  # fmt: skip


def test_every_backend_is_in_the_contract_suite() -> None:
    assert {*LOG_URLS, *SERVED} == set(BACKENDS)
    assert set(LASTING) == set(LOG_URLS) - {"memory"}


def test_the_public_names_are_exactly_the_intended_ones() -> None:
    assert set(eventstore.__all__) == INTENDED
    assert len(eventstore.__all__) == len(INTENDED)
    assert all(hasattr(eventstore, name) for name in eventstore.__all__)


def test_every_error_has_the_one_root() -> None:
    errors = [
        value
        for value in vars(eventstore).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]
    assert len(errors) == sum(name.endswith("Error") for name in INTENDED)
    assert all(issubclass(error, eventstore.EventStoreError) for error in errors)
