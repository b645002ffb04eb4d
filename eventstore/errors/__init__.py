"""Every error that this package raises on purpose: one root, typed fields.

Each message says what happened, where, and what to do about it. Errors of drivers and
libraries are translated into these where they occur and chained with ``raise … from``.
"""

from eventstore.errors._consumers import ChangeRejectedError as ChangeRejectedError
from eventstore.errors._consumers import ConsumerRemovedError as ConsumerRemovedError
from eventstore.errors._consumers import NotAppliedError as NotAppliedError
from eventstore.errors._consumers import TakenOverError as TakenOverError
from eventstore.errors._consumers import UnknownConsumerError as UnknownConsumerError
from eventstore.errors._log import ArchiveError as ArchiveError
from eventstore.errors._log import ConflictError as ConflictError
from eventstore.errors._log import DuplicateEventError as DuplicateEventError
from eventstore.errors._log import HistoryDivergedError as HistoryDivergedError
from eventstore.errors._log import HistoryGoneError as HistoryGoneError
from eventstore.errors._log import HistoryHeldError as HistoryHeldError
from eventstore.errors._log import NoLogError as NoLogError
from eventstore.errors._log import NotEmptyError as NotEmptyError
from eventstore.errors._log import UpcastError as UpcastError
from eventstore.errors._log import ViewNotKeptError as ViewNotKeptError
from eventstore.errors._owners import ForkedError as ForkedError
from eventstore.errors._owners import StoreClosedError as StoreClosedError
from eventstore.errors._owners import WrongLoopError as WrongLoopError
from eventstore.errors._projections import EventDataError as EventDataError
from eventstore.errors._projections import ProjectionError as ProjectionError
from eventstore.errors._projections import ProjectionGoneError as ProjectionGoneError
from eventstore.errors._projections import ProjectionHeldError as ProjectionHeldError
from eventstore.errors._projections import ProjectionTableError as ProjectionTableError
from eventstore.errors._projections import ProjectionVersionError as ProjectionVersionError
from eventstore.errors._remote import AccessDeniedError as AccessDeniedError
from eventstore.errors._remote import NotServedError as NotServedError
from eventstore.errors._remote import WrongPageError as WrongPageError
from eventstore.errors._root import ConfigError as ConfigError
from eventstore.errors._root import EventStoreError as EventStoreError
from eventstore.errors._root import InvalidInputError as InvalidInputError
from eventstore.errors._root import LimitExceededError as LimitExceededError
from eventstore.errors._storage import CorruptEventError as CorruptEventError
from eventstore.errors._storage import FileChangedError as FileChangedError
from eventstore.errors._storage import LinkedFileError as LinkedFileError
from eventstore.errors._storage import LogReplacedError as LogReplacedError
from eventstore.errors._storage import QueryTimeoutError as QueryTimeoutError
from eventstore.errors._storage import StorageError as StorageError

for _value in list(vars().values()):
    # Messages and pickles, those of earlier versions too, name the classes by this package.
    if getattr(_value, "__module__", "").startswith(f"{__name__}."):
        _value.__module__ = __name__
