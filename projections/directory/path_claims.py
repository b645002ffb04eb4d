"""Which key has which path: a pure function of the log, without a disk in sight.

Each key claims one path. The first to claim it holds it; a later one waits, and takes its
place once nothing of the others stands there any more: neither the same path, nor a file
where it needs a directory, nor a directory where it needs a file. A commit is judged as a
whole, so two keys may swap their paths in one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, NamedTuple, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PRIVATE: Final = ".eventstore"
"""How the names of a projection's own files in the root begin."""

Digest: TypeAlias = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Position: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A file: whose it is, the event that defined it, SHA-256 (hex) and size in bytes."""

    key: str
    position: Position
    sha256: Digest
    size: int


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """A file whose path another key has; ``since`` is the event that first claimed it."""

    path: str
    position: Position
    since: Position
    sha256: Digest
    size: int


class Definition(NamedTuple):
    """What a key's latest event says: its file's path, digest (hex) and size in bytes."""

    path: str
    position: int
    sha256: str
    size: int


def parents(path: str) -> Iterator[str]:
    """Yield the directories above ``path``, the nearest first, without the root."""
    end = path.rfind("/")
    while end > 0:
        yield path[:end]
        end = path.rfind("/", 0, end)


def kept_name(sha256: str) -> str:
    """Return the name under which the content of a waiting file is kept in the root."""
    return f"{PRIVATE}-{sha256}.kept"


class Claims:
    """The files that the log says, and those that wait for their path.

    ``files`` are by path, ``waiting`` by key, ``rejected`` are reasons by the position of
    the event. ``touched`` are the paths that changed since the last :meth:`copy`.
    """

    def __init__(
        self,
        files: Mapping[str, Entry] | None = None,
        waiting: Mapping[str, Waiting] | None = None,
        rejected: Mapping[int, str] | None = None,
    ) -> None:
        self.files: dict[str, Entry] = {}
        self.waiting = dict(waiting or {})
        self.rejected = dict(rejected or {})
        self.touched: set[str] = set()
        self._path_of: dict[str, str] = {}
        self._below: dict[str, int] = {}
        for path, entry in (files or {}).items():
            self._hold(path, entry)
        self.touched.clear()

    def copy(self) -> Claims:
        """Return an independent copy in which nothing was touched yet."""
        twin = Claims(None, self.waiting, self.rejected)
        twin.files = self.files.copy()
        twin._path_of = self._path_of.copy()
        twin._below = self._below.copy()
        return twin

    def take(self, definitions: Mapping[str, Definition | None]) -> list[str]:
        """Apply one commit; return the keys that now wait because of it.

        ``definitions`` gives each key's new file, ``None`` where it is gone, in log order.
        """
        freed = False
        fresh = []
        for key, definition in definitions.items():
            path = self._path_of.get(key)
            if path is not None and definition is not None and path == definition.path:
                self._hold(path, Entry(key, *definition[1:]))
                continue
            if path is not None:
                self._release(path)
                freed = True
            before = self.waiting.pop(key, None)
            if definition is not None:
                self._wait(key, definition, before)
                fresh.append(key)
        # Older claims come first, and have a chance only where something was given up.
        for key in sorted(self.waiting, key=self._since) if freed else fresh:
            self._try(key)
        return [key for key in fresh if key in self.waiting]

    def position_of(self, key: str) -> int | None:
        """Return the event that defines a key's file, held or waiting; ``None`` without one."""
        path = self._path_of.get(key)
        claim = self.waiting.get(key) if path is None else self.files[path]
        return None if claim is None else claim.position

    def erase(self, key: str, position: int) -> bool:
        """Drop what the event at ``position`` defined for ``key``, now that it is redacted.

        It acts like a removal at its place. Returns False where that is not enough: while a
        key waits for its path, another past may have made another one wait.
        """
        if self.waiting:
            return False
        self.rejected.pop(position, None)
        path = self._path_of.get(key)
        if path is not None and self.files[path].position <= position:
            self._release(path)
        return True

    def why(self, key: str) -> str:
        """Say why ``key`` waits."""
        path = self.waiting[key].path
        for held in (path, *parents(path)):
            if held in self.files:
                kind = "path" if held == path else "directory"
                return f"the {kind} {held!r} is the file of {self.files[held].key!r}"
        return f"{path!r} is a directory of other files"

    def _since(self, key: str) -> int:
        return self.waiting[key].since

    def _wait(self, key: str, definition: Definition, before: Waiting | None) -> None:
        path, position, digest, size = definition
        since = before.since if before is not None and before.path == path else position
        self.waiting[key] = Waiting(path, position, since, digest, size)

    def _try(self, key: str) -> None:
        claim = self.waiting[key]
        path = claim.path
        if path in self.files or path in self._below or any(p in self.files for p in parents(path)):
            return
        del self.waiting[key]
        self._hold(path, Entry(key, claim.position, claim.sha256, claim.size))

    def _hold(self, path: str, entry: Entry) -> None:
        if path not in self.files:
            for parent in parents(path):
                self._below[parent] = self._below.get(parent, 0) + 1
        self.files[path] = entry
        self._path_of[entry.key] = path
        self.touched.add(path)

    def _release(self, path: str) -> None:
        del self._path_of[self.files.pop(path).key]
        for parent in parents(path):
            self._below[parent] -= 1
            if not self._below[parent]:
                del self._below[parent]
        self.touched.add(path)
