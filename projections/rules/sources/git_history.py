"""Which commit a file of a git work tree comes from, read without trusting the repository.

The repository may be hostile: its configuration can name programs that git would run. So git
is given a configuration of its own, in an empty directory, and nothing of the repository but
its objects. No hook, filter, pager, signature check or remote of the repository is ever used.
"""

from __future__ import annotations

import codecs
import hashlib
import logging
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from eventstore.system.safe_files import read_regular
from projections.rules.sources.git_lock import find_git_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

log = logging.getLogger(__name__)

LONGEST: Final = 3.0
"""Longest time that one look spends on git, in seconds; what is not found by then is left out."""

MAX_TEXT: Final = 300
"""Longest author and subject that are recorded, in characters."""

MOST_PATHS: Final = 100
"""Most paths that are named to git one by one; for more, it lists the whole directory."""

_HASH: Final = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_LOG: Final = (
    "log",
    "-c",
    "--name-only",
    "--no-renames",
    "--no-show-signature",
    "--no-ext-diff",
    "--no-textconv",
    "--no-notes",
    "--no-mailmap",
    "--no-color",
    "--format=%x01%H%x02%an <%ae>%x02%s",
)


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository: the top of its work tree, its head and where its objects are."""

    top: Path
    head: str
    objects: Path
    shallow: frozenset[str]


def describe_files(
    root: Path, contents: Mapping[str, bytes], removed: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Return what git knows of files below ``root``, by path: ready for an event's metadata.

    ``contents`` are files that are there, ``removed`` are paths that are gone. An entry is
    ``{"commit", "author", "subject"}`` of the newest commit that touched the file, or
    ``{"uncommitted": True}`` where the head has other content. Empty outside of a work tree,
    where git is not installed, and for files that git could not tell about in time.
    """
    repository = find_repository(Path(os.path.realpath(root)))
    if repository is None or _find_git() is None:
        return {}
    inside = _paths_inside(repository.top, root, [*contents, *removed])
    try:
        with _git(repository) as git:
            return _describe(git, repository, inside, contents)
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("git tells nothing about %s: %s", root, error)
        return {}


def find_repository(directory: Path) -> Repository | None:
    """Return the repository around a directory; None without one, and without any commit."""
    found = find_git_directory(directory)
    if found is None:
        return None
    top, git = found
    common = git
    try:
        if (link := _read(git / "commondir")) is not None:
            common = git / os.fsdecode(link.strip())
        if (reason := _not_read(_read(common / "config") or b"")) is not None:
            _warn_once(str(common), reason)
            return None
        head = _resolve(git, common)
        lines = (_read(common / "shallow") or b"").split()
        shallow = frozenset(line.decode() for line in lines if _HASH.fullmatch(line))
    except (OSError, ValueError):
        return None
    if head is None:
        return None
    return Repository(top, head, common / "objects", shallow)


def _not_read(config: bytes) -> str | None:
    """Return why a repository with this configuration is not read; None where it is."""
    section = b""
    for line in config.splitlines():
        text = line.strip().lower()
        if text.startswith(b"["):
            section = text.partition(b"]")[0]
        name, _, value = (part.strip() for part in text.partition(b"="))
        if (section, name) == (b"[core", b"worktree"):
            return "core.worktree is set"
        if (section, name, value.strip(b'"')) == (b"[extensions", b"refstorage", b"reftable"):
            return "its references are a reftable"
    return None


@cache
def _warn_once(repository: str, reason: str) -> None:
    log.warning(
        "%s: %s, which is not supported: definitions are recorded without their commits",
        repository,
        reason,
    )


def _resolve(git: Path, common: Path) -> str | None:
    """Return the hash that HEAD leads to; None where it leads nowhere that is known here."""
    value = (_read(git / "HEAD") or b"").strip()
    for _ in range(5):
        if _HASH.fullmatch(value):
            return value.decode()
        name = os.fsdecode(value.removeprefix(b"ref: "))
        if not name.startswith("refs/") or ".." in name:
            return None
        value = (_read(git / name) or _read(common / name) or _packed(common, name)).strip()
    return None


def _packed(common: Path, name: str) -> bytes:
    wanted = b" " + os.fsencode(name)
    for line in (_read(common / "packed-refs") or b"").splitlines():
        if line.endswith(wanted) and _HASH.fullmatch(line.removesuffix(wanted)):
            return line.removesuffix(wanted)
    return b""


def _read(path: Path) -> bytes | None:
    try:
        return read_regular(path, follow=True)
    except OSError:
        return None


def _paths_inside(top: Path, root: Path, paths: Iterable[str]) -> dict[str, str]:
    """Return the path within the work tree of each path below ``root`` that has one."""
    inside = {}
    for path in paths:
        real = os.path.realpath(root / path)
        if real.startswith(f"{top}{os.sep}"):
            inside[path] = os.path.relpath(real, top)
    return inside


class _Git:
    """Runs git on the objects of one repository, with a configuration of its own."""

    def __init__(self, environment: dict[str, str], directory: str) -> None:
        self._environment = environment
        self._directory = directory
        self._deadline = time.monotonic() + LONGEST
        self.timed_out = False

    def lines(self, *words: str, separator: bytes = b"\n") -> Iterator[bytes]:
        """Yield what git prints, until the caller has enough or the time is up."""
        with subprocess.Popen(  # noqa: S603 - no word of it is a shell's
            [_find_git() or "git", "-c", "core.quotePath=false", "--no-pager", *words],
            cwd=self._directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            timer = threading.Timer(self._deadline - time.monotonic(), self._stop, [process])
            timer.start()
            try:
                assert process.stdout is not None  # noqa: S101 - for the type checker
                if separator == b"\n":
                    yield from (line.rstrip(b"\n") for line in process.stdout)
                else:
                    yield from process.stdout.read().split(separator)
            finally:
                timer.cancel()
                process.kill()

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        self.timed_out = True
        process.kill()


@contextmanager
def _git(repository: Repository) -> Iterator[_Git]:
    with tempfile.TemporaryDirectory(prefix="eventstore-git-") as directory:
        own = Path(directory)
        for name in ("objects", "refs"):
            (own / name).mkdir()
        (own / "HEAD").write_text(f"{repository.head}\n")
        kind = "sha256" if len(repository.head) == 64 else "sha1"
        version = 1 if kind == "sha256" else 0
        lines = [f"[core]\nrepositoryformatversion = {version}\nbare = true\n"]
        if version:
            lines.append(f"[extensions]\nobjectformat = {kind}\n")
        (own / "config").write_text("".join(lines))
        (own / "shallow").write_text("".join(f"{one}\n" for one in sorted(repository.shallow)))
        yield _Git(
            {
                "PATH": os.environ.get("PATH", os.defpath),
                "LC_ALL": "C",
                "HOME": directory,
                "GIT_DIR": directory,
                "GIT_OBJECT_DIRECTORY": str(repository.objects),
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_CONFIG_GLOBAL": os.devnull,
                "GIT_ATTR_NOSYSTEM": "1",
                "GIT_NO_REPLACE_OBJECTS": "1",
                "GIT_NO_LAZY_FETCH": "1",
                "GIT_ALLOW_PROTOCOL": "none",
                "GIT_LITERAL_PATHSPECS": "1",
                "GIT_OPTIONAL_LOCKS": "0",
                "GIT_TERMINAL_PROMPT": "0",
            },
            directory,
        )


def _describe(
    git: _Git, repository: Repository, inside: dict[str, str], contents: Mapping[str, bytes]
) -> dict[str, dict[str, Any]]:
    paths = sorted(set(inside.values()))
    named = paths if len(paths) <= MOST_PATHS else [os.path.commonpath(paths) or "."]
    where = ["--", *named] if named != ["."] else []
    blobs = _blobs(git, repository, where)
    committed, found = [], {}
    for path, name in inside.items():
        content, blob = contents.get(path), blobs.get(name)
        if (blob is None) if content is None else _is_blob(content, blob):
            committed.append(path)
        elif not git.timed_out:
            found[path] = {"uncommitted": True}
    commits = _commits(git, repository, {inside[path] for path in committed}, where)
    for path in committed:
        if (commit := commits.get(inside[path])) is not None:
            found[path] = commit
        elif path not in contents and not git.timed_out and not repository.shallow:
            found[path] = {"uncommitted": True}  # It was never in any commit.
    return found


def _blobs(git: _Git, repository: Repository, where: list[str]) -> dict[str, str]:
    """Return the hash of each file of the head, by path."""
    found = {}
    words = ("ls-tree", "-r", "-z", "--full-tree", repository.head)
    for entry in git.lines(*words, *where, separator=b"\0"):
        about, _, path = entry.partition(b"\t")
        if path:
            found[os.fsdecode(path)] = about.split()[2].decode()
    return found


def _is_blob(content: bytes, blob: str | None) -> bool:
    """Return whether this is the content of a blob, line ends of a checkout aside."""
    if blob is None:
        return False
    kind = hashlib.sha1 if len(blob) == 40 else hashlib.sha256
    forms = {content, content.replace(b"\r\n", b"\n")}
    return any(
        kind(b"blob %d\0" % len(form) + form, usedforsecurity=False).hexdigest() == blob
        for form in forms
    )


def _commits(
    git: _Git, repository: Repository, wanted: set[str], where: list[str]
) -> dict[str, dict[str, Any]]:
    """Return the newest commit that touched each path, as far as the history is there."""
    found: dict[str, dict[str, Any]] = {}
    commit: dict[str, Any] | None = None
    if not wanted:
        return found
    for line in git.lines(*_LOG, repository.head, *where):
        if line.startswith(b"\x01"):
            hash_, author, subject = line[1:].decode(errors="replace").split("\x02", 2)
            # The first commit of a shallow clone seems to have touched every file.
            commit = None
            if hash_ not in repository.shallow:
                texts = author[:MAX_TEXT], subject[:MAX_TEXT]
                commit = {"commit": hash_, "author": texts[0], "subject": texts[1]}
        elif line and commit is not None:
            path = os.fsdecode(_unquoted(line))
            if path in wanted and path not in found:
                found[path] = commit
                if len(found) == len(wanted):
                    break
    return found


def _unquoted(line: bytes) -> bytes:
    if line.startswith(b'"') and line.endswith(b'"'):
        return bytes(codecs.escape_decode(line[1:-1])[0])
    return line


@cache
def _find_git() -> str | None:
    """Return the path of git; says once that it is not installed."""
    found = shutil.which("git")
    if found is None:
        log.warning("git is not installed: definitions are recorded without their commits")
    return found
