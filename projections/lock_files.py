"""Lock files beside a log that is a file: ``NAME-KIND-DIGEST``, each with its holder's note.

A log on PostgreSQL has named locks of its own instead, and one in memory belongs to one process.
"""

from __future__ import annotations

import hashlib
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import msgspec

from eventstore.storage.sqlite.paths import log_file
from eventstore.system.file_lock import read_held_note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eventstore import EventStore

T = TypeVar("T")


def name_digest(name: str) -> str:
    """Return 16 hex digits for a name, which may be no file's."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def lock_path(store: EventStore, kind: str, name: str) -> Path | None:
    """Return where the lock file of a name is; ``None`` without files that can be locked."""
    path = log_file(store.url)
    if path is None or sys.platform == "win32":
        return None
    return path.with_name(f"{path.name}-{kind}-{name_digest(name)}")


def held_notes(store: EventStore, kind: str) -> Iterator[bytes]:
    """Return the notes of the locks of one kind that are held now, by the names of the files."""
    path = log_file(store.url)
    if path is None or sys.platform == "win32":
        return
    for lock in sorted(path.parent.glob(f"{_glob_safe(path.name)}-{kind}-*")):
        with suppress(OSError):
            note = read_held_note(lock)
            if note is not None:
                yield note


def decode_note(note: bytes, kind: type[T]) -> T | None:
    """Return what a note says; ``None`` for one that its holder has not written, or for any other.

    Any user who may write beside the log can have put it there.
    """
    try:
        return msgspec.json.decode(note, type=kind)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _glob_safe(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
