"""What the events of a log mean for a directory: the object that a projection is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, runtime_checkable

import msgspec

from eventstore.log.events import Cursor, Event
from eventstore.picklable import PicklableError
from projections.directory.path_claims import Entry, Position  # noqa: TC001 - msgspec reads both

if TYPE_CHECKING:
    from eventstore.log.redaction import Redaction


class FileChange(NamedTuple):
    """What an event means for a directory: the file of ``key`` is now this.

    ``path`` is relative, with ``/``; both are None where the file is gone.
    """

    key: str
    path: str | None
    content: bytes | None


Files: TypeAlias = Callable[[Event], FileChange | None]
"""Says what an event means for a directory; None where it means nothing."""


class OutdatedError(PicklableError):
    """Only a rebuild takes out what ``position`` defined. Never leaves the projection."""

    def __init__(self, position: int) -> None:
        super().__init__(f"the event at position {position} was redacted")
        self.position = position


class Companion(Protocol):
    """A file that is published beside the manifest: an immutable function of the log."""

    @property
    def cursor(self) -> Cursor:
        """Where in the log it is."""

    def encode(self) -> bytes:
        """Return the file's content; equal companions give equal bytes."""

    def after(self, events: Sequence[Event], cursor: Cursor) -> Companion:
        """Return the companion as of ``cursor``, after these whole commits.

        Raises OutdatedError where only a rebuild takes out what was redacted.
        """


class CompanionFormat(Protocol):
    """How a companion file begins, and how it is read."""

    @property
    def name(self) -> str:
        """The file's name, in the root of the directory; it begins with ``.eventstore``."""

    def empty(self, log_id: str) -> Companion:
        """Return the companion before the first event."""

    def decode(self, raw: bytes, where: str) -> Companion:
        """Read the file's content; raise StorageError, naming ``where``, if it is damaged."""


class Line(msgspec.Struct, frozen=True):
    """One publication in a commit journal: where in the log it ends, and the new and changed files.

    ``companion`` is JSON that continues the companion: see JournalFormat.
    """

    position: Position
    hash: str
    files: dict[str, Entry]
    companion: msgspec.Raw = msgspec.Raw(b"null")


@runtime_checkable
class JournalFormat(CompanionFormat, Protocol):
    """The format of a companion that the lines of a commit journal can continue."""

    def checksum(self, raw: bytes) -> str:
        """Return the checksum that stands for this content of the file."""

    def delta(self, before: Companion, after: Companion) -> bytes | None:
        """Return as JSON what leads from one companion to the other; None if it cannot be told."""

    def continued(self, companion: Companion, lines: Sequence[Line]) -> Companion:
        """Return the companion after these lines; raise StorageError if one is damaged."""


class DirectoryContent(Protocol):
    """What the events of a log mean for a directory, and what is published beside the files."""

    @property
    def from_snapshot(self) -> bool:
        """Whether the events that trimming keeps, and those since, give the same files."""

    @property
    def companion(self) -> CompanionFormat | None:
        """The file that is published beside the others, None without one."""

    def file_change(self, event: Event) -> FileChange | None:
        """Return what an event means; None where it means nothing for a file.

        Any exception is the reason why the event cannot be applied. Redacted events are asked
        about, too.
        """

    def erased_key(self, redaction: Redaction) -> str | None:
        """Return the key whose file goes with a redacted event, None where none does.

        Raises OutdatedError where that is not known: the directory is then rebuilt.
        """


class FunctionContent:
    """The content that a function gives: see :data:`Files`.

    The file of a redacted event is gone unless the function has another answer. Since keys are
    the function's own, a redaction of what was applied before means a rebuild.
    """

    from_snapshot = False
    companion = None

    def __init__(self, files: Files) -> None:
        self._files = files

    def file_change(self, event: Event) -> FileChange | None:
        """Return what the function says of an event."""
        try:
            change = self._files(event)
        except Exception:
            if not event.redacted:
                raise
            change = None
        if change is None and event.redacted:
            return FileChange(event.stream, None, None)
        return change

    def erased_key(self, redaction: Redaction) -> str | None:
        """Raise OutdatedError."""
        raise OutdatedError(redaction.position)
