"""Which files a directory tree has, by the path under which each of them counts.

Links are followed inside the tree, those to folders too. A file that several paths lead to counts
once: by a path without hidden parts, of these by the shortest, of equally long ones by the first
in alphabetical order. Two hard links are two files.
"""

from __future__ import annotations

import heapq
import stat
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING

from eventstore.system.printable import escape_path
from projections.rules.formats.scratch_names import ignored_folder, scratch_kind
from projections.rules.sources._bound_reads import FoundEntry, list_inside, real_path
from projections.rules.sources.ignored_files import IgnoredFile
from projections.rules.sources.source_error import (
    MANIFESTS,
    SourceError,
    SourceMissingError,
    projected_directory,
)

if TYPE_CHECKING:
    import re
    from pathlib import Path


@dataclass(slots=True)
class Tree:
    """What one walk has found; paths are relative to the root, with ``/``.

    ``entries`` are the files to be read. ``problems`` gives the reason for each path that cannot
    be followed: what is below it is not known. ``empty`` are folders without any entry.
    ``links`` maps each link, by its absolute path, to where it led.
    """

    entries: dict[str, FoundEntry] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    ignored: list[IgnoredFile] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)

    @property
    def moved(self) -> bool:
        """Whether a link leads elsewhere by now, so that the walk saw two states of the tree."""
        return any(real_path(link) != real for link, real in self.links.items())


def walk(root: Path, filename: re.Pattern[str], unlike: str) -> Tree:
    """List the tree below ``root``; ``unlike`` is the reason for names that do not match.

    Raises SourceError where the root is missing, is no directory or cannot be listed, and where
    a directory in it is a projected one.
    """
    return _TreeWalk(root, filename, unlike).walk()


def no_rule(name: str, filename: re.Pattern[str], unlike: str) -> str | None:
    """Return why a file of this base name, which is not hidden, is no rule; None where it is."""
    reason = scratch_kind(name)
    return unlike if reason is None and not filename.fullmatch(name) else reason


class _TreeWalk:
    """One walk. Folders wait in the order of their paths' lengths, so the shortest comes first."""

    def __init__(self, root: Path, filename: re.Pattern[str], unlike: str) -> None:
        self._root = root
        self._filename = filename
        self._unlike = unlike
        self._real_root = real_path(root) or str(root)
        self._tree = Tree()
        self._waiting: list[tuple[int, str, str, str]] = [(0, "", str(root), self._real_root)]
        self._visited: set[str] = set()
        self._real_of: dict[str, str] = {}
        self._file_links: list[tuple[str, FoundEntry, str]] = []
        self._hidden: list[tuple[str, FoundEntry]] = []

    def walk(self) -> Tree:
        # Not by recursion: a tree may be nested more deeply than Python's stack.
        while self._waiting:
            _, prefix, folder, real = heapq.heappop(self._waiting)
            if real not in self._visited:  # Links may form loops.
                self._visited.add(real)
                self._real_of[prefix] = base = real.rstrip("/") + "/"
                for entry in self._list(folder, prefix):
                    self._sort_in(prefix, entry, base)
        self._add_file_links()
        self._add_hidden()
        return self._tree

    def _sort_in(self, prefix: str, entry: FoundEntry, base: str) -> None:
        path = prefix + entry.name
        if entry.name.startswith("."):
            self._hidden.append((path, entry))
        elif entry.is_symlink:
            self._follow(path, entry)
        elif entry.is_folder:
            if reason := ignored_folder(entry.name):
                self._tree.ignored.append(IgnoredFile(path + "/", reason))
            else:
                self._wait(path, entry, base + entry.name)
        elif self._is_rule(path, entry):
            self._tree.entries[path] = entry

    def _wait(self, path: str, entry: FoundEntry, real: str) -> None:
        heapq.heappush(self._waiting, (len(path) + 1, path + "/", entry.path, real))

    def _follow(self, path: str, entry: FoundEntry) -> None:
        if scratch_kind(entry.name):
            self._is_rule(path, entry)
            return
        real = real_path(entry.path)
        inside = f"{real}/".startswith(self._real_root.rstrip("/") + "/")
        problem, is_folder = _target(entry)
        exists = not problem
        if not inside:
            problem = "is a link that leads out of the directory"
            # A README elsewhere is no rule, and no folder that could hold one.
            if exists and not is_folder and not self._filename.fullmatch(entry.name):
                problem = ""
        self._tree.links[entry.path] = real
        if problem:
            self._tree.problems[path] = problem
        elif is_folder:
            self._wait(path, entry, real)
        elif self._is_rule(path, entry):
            self._file_links.append((path, entry, real))

    def _is_rule(self, path: str, entry: FoundEntry) -> bool:
        """Whether a file has a rule's name; note it among the ignored ones where it has not."""
        reason = no_rule(entry.name, self._filename, self._unlike)
        if reason is not None:
            self._tree.ignored.append(IgnoredFile(path, reason))
        return reason is None

    def _add_file_links(self) -> None:
        """Add links to files, each instead of a longer path to the same file."""
        if not self._file_links:
            return
        entries = self._tree.entries
        path_of = {self._real_of[_folder(path)] + one.name: path for path, one in entries.items()}
        for path, entry, real in self._file_links:
            known = path_of.get(real)
            if known is None or (len(path), path) < (len(known), known):
                if known is not None:
                    del entries[known]
                path_of[real] = path
                entries[path] = entry

    def _add_hidden(self) -> None:
        """Ignore hidden files and folders, but not where a visible link leads into one."""
        used: set[str] = set()
        for target in self._tree.links.values():
            used |= {target, *map(str, PurePath(target).parents)}
        for path, entry in self._hidden:
            if used and real_path(entry.path) in used:
                continue
            is_folder = entry.is_folder
            self._tree.ignored.append(IgnoredFile(path + "/" * is_folder, "is hidden"))

    def _list(self, folder: str, prefix: str) -> list[FoundEntry]:
        try:
            entries = sorted(list_inside(folder, self._real_root), key=lambda entry: entry.name)
        except FileNotFoundError as error:
            if not prefix:
                raise SourceMissingError(self._root) from error
            return []  # It went while we looked: the next scan tells.
        except OSError as error:
            reason = f"cannot be listed: {error.strerror}"
            if not prefix:
                raise SourceError(self._root, f"it {reason}") from error
            self._tree.problems[prefix.removesuffix("/")] = reason
            return []
        if any(entry.name in MANIFESTS for entry in entries):
            raise projected_directory(self._root, escape_path(prefix))
        if not entries and prefix:
            self._tree.empty.append(prefix)
        return entries


def _folder(path: str) -> str:
    """Return the part of a path up to its last slash, that included."""
    return path[: path.rfind("/") + 1]


def _target(entry: FoundEntry) -> tuple[str, bool]:
    """Return what is wrong with where a link leads, empty if nothing is; whether it is a folder."""
    try:
        return "", stat.S_ISDIR(entry.stat().st_mode)
    except FileNotFoundError:
        return "is a link to nothing", False
    except OSError as error:
        return f"cannot be read: {error.strerror}", False
