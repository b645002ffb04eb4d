"""From events to the changes of a directory: what each one means, checked, or why not."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from eventstore.log.redaction import read_redaction
from eventstore.picklable import PicklableError
from projections.directory.content import OutdatedError
from projections.directory.path_claims import PRIVATE, Claims, Definition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eventstore.log.events import Event
    from projections.directory.content import DirectoryContent, FileChange

MAX_NAME_BYTES: Final = 255
"""Longest component of a path: what Linux file systems take."""

MAX_PATH_BYTES: Final = 4096
"""Longest path: ``PATH_MAX`` of Linux."""

MAX_DEPTH: Final = 100
"""Most components of a path. Each directory above a file costs memory and system calls."""

MAX_RECORDS: Final = 1000
"""Most records kept of events that could not be applied; the newest of them stay."""

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")


class RejectedError(PicklableError):
    """With ``stop``: the first event that cannot be applied. Never leaves this package.

    ``position`` is the event's, ``commit`` that of the commit that has to wait with it.
    """

    def __init__(self, position: int, commit: int, reason: str) -> None:
        super().__init__(reason)
        self.position, self.commit, self.reason = position, commit, reason


def check_path(path: str) -> str:
    """Return ``path`` if it names a file inside the root; raise ValueError with the reason.

    A path is relative, its components are parted by ``/`` and none is empty, ``.`` or
    ``..``. A backslash is an ordinary character of a name, as everywhere on POSIX.
    """
    if _CONTROL.search(path):
        raise ValueError(f"the path {path!r:.200} contains a control character")
    try:
        raw = path.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the path {path!r:.200} cannot be written as UTF-8") from None
    if len(raw) > MAX_PATH_BYTES:
        raise ValueError(f"the path {path[:80]!r}… has {len(raw)} bytes, over {MAX_PATH_BYTES}")
    if raw.startswith(b"/"):
        raise ValueError(f"the path {path!r:.200} is absolute")
    names = raw.split(b"/")
    for name in names:
        if name in {b"", b".", b".."}:
            raise ValueError(f"the path {path!r:.200} has the component {name.decode()!r}")
        if len(name) > MAX_NAME_BYTES:
            raise ValueError(f"the path {path[:80]!r}… has a name of over {MAX_NAME_BYTES} bytes")
    if len(names) > MAX_DEPTH:
        raise ValueError(f"the path {path[:80]!r}… lies over {MAX_DEPTH} directories deep")
    if path.startswith(PRIVATE):
        raise ValueError(f"the path {path!r:.200} begins with {PRIVATE}, which is reserved")
    return path


def read_change(event: Event, content: DirectoryContent) -> FileChange | None:
    """Return the checked change of one event; raise ValueError where it makes no sense.

    Anything that ``content`` raises is a reason, so one event cannot end the process.
    """
    try:
        change = content.file_change(event)
    except Exception as error:
        name = "" if type(error) is ValueError else f"{type(error).__name__}: "
        raise ValueError(f"{name}{error}"[:500]) from error
    if change is not None:
        _check_change(change)
    return change


def _check_change(change: FileChange) -> None:
    key, content = change.key, change.content
    path: object = change.path  # A function of users may return anything.
    try:
        key.encode()
    except (AttributeError, UnicodeEncodeError):
        raise ValueError(f"its key {key!r:.80} is no text that UTF-8 can hold") from None
    if path is None:
        return
    if not isinstance(path, str) or not isinstance(content, bytes):
        raise ValueError("its path is no text, or its content no bytes")  # noqa: TRY004
    check_path(path)


class _Commit(NamedTuple):
    """The changes of one commit, the last of each key, and what could not be read."""

    changes: dict[str, tuple[int, FileChange]]
    rejected: dict[int, str]


def _read_commit(events: Sequence[Event], content: DirectoryContent) -> _Commit:
    commit = _Commit({}, {})
    for event in events:
        try:
            change = read_change(event, content)
        except ValueError as error:
            commit.rejected[event.position] = str(error)
            continue
        if change is not None:
            # The last definition counts, in the place of the last one.
            commit.changes.pop(change.key, None)
            commit.changes[change.key] = (event.position, change)
    return commit


def _by_commit(events: Sequence[Event]) -> Mapping[int, list[Event]]:
    commits: dict[int, list[Event]] = {}
    for event in events:
        commits.setdefault(event.commit, []).append(event)
    return commits


def fold(
    claims: Claims,
    contents: dict[str, bytes],
    events: Sequence[Event],
    content: DirectoryContent,
    *,
    stop: bool,
    erase: bool = False,
) -> None:
    """Move ``claims`` on by whole commits, and leave each key's new file in ``contents``.

    With ``erase``, redactions take out what was applied before; raises :class:`OutdatedError`
    where only a rebuild can. Without it they are passed over.

    With ``stop``, raises :class:`RejectedError` for the first event that cannot be applied;
    the arguments are then of no more use.
    """
    for number, group in _by_commit(events).items():
        if erase:
            _erase(claims, group[0], content)
        changes, rejected = _read_commit(group, content)
        if stop and rejected:
            position, reason = next(iter(rejected.items()))
            raise RejectedError(position, number, reason)
        claims.rejected.update(rejected)
        waiting = claims.take(_definitions(changes, contents))
        if stop and waiting:
            key = waiting[0]
            raise RejectedError(claims.waiting[key].position, number, claims.why(key))
    for position in list(claims.rejected)[:-MAX_RECORDS]:
        del claims.rejected[position]


def _erase(claims: Claims, event: Event, content: DirectoryContent) -> None:
    if (redaction := read_redaction(event)) is None:
        return
    key = content.erased_key(redaction)
    if key is not None and not claims.erase(key, redaction.position):
        raise OutdatedError(redaction.position)


def _definitions(
    changes: Mapping[str, tuple[int, FileChange]], contents: dict[str, bytes]
) -> dict[str, Definition | None]:
    definitions: dict[str, Definition | None] = {}
    for key, (position, change) in changes.items():
        if change.path is None or change.content is None:
            contents.pop(key, None)
            definitions[key] = None
        else:
            contents[key] = change.content
            digest = sha256(change.content).hexdigest()
            definitions[key] = Definition(change.path, position, digest, len(change.content))
    return definitions
