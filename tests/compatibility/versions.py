"""Processes of the released version and of this one, called from a test."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import zipfile
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

from support.commands import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

RELEASES: Final = REPOSITORY / "tests" / "data" / "releases"
WORKER: Final = REPOSITORY / "tests" / "programs" / "version_worker.py"
NEW: Final = "this version"
DEADLINE: Final = 60.0
"""Seconds until an answer is a failure; below the poll interval of the worker's followers."""


class VersionError(Exception):
    """A version raised an exception; the text is its type and message."""


def release_names() -> list[str]:
    """Return each released version that is kept, by its wheel."""
    return sorted(wheel.name.split("-")[1] for wheel in RELEASES.glob("*.whl"))


def unpack(version: str, directory: Path) -> Path:
    """Extract a released wheel, or return the repository for this version."""
    if version == NEW:
        return REPOSITORY
    place = directory / version
    (wheel,) = RELEASES.glob(f"*-{version}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    return place


class Version:
    """One process of one version. ``call`` waits for the answer, ``begin`` returns a future."""

    def __init__(self, name: str, place: Path, directory: Path) -> None:
        self.name = name
        self.place = place
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Future[Any]] = {}
        self._errors = directory / f"{name.replace(' ', '-')}.stderr"
        self._lock = threading.Lock()
        with self._errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(WORKER)],
                cwd=directory,
                env={"PYTHONPATH": f"{place}{os.pathsep}{REPOSITORY / 'tests'}", "PATH": ""},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def begin(self, function: str, /, **options: Any) -> Future[Any]:
        """Send a call; the future gets its result, or VersionError."""
        future: Future[Any] = Future()
        number = next(self._numbers)
        with self._lock:
            self._waiting[number] = future
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"id": number, "name": function, "options": options}))
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return future

    def call(self, function: str, /, **options: Any) -> Any:
        """Send a call, and wait for its result."""
        return self.begin(function, **options).result(DEADLINE)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            answer = json.loads(line)
            with self._lock:
                future = self._waiting.pop(answer["id"])
            if "error" in answer:
                future.set_exception(VersionError(f"{self.name}: {answer['error']}"))
            else:
                future.set_result(answer["result"])
        with self._lock:
            for future in self._waiting.values():
                text = self._errors.read_text()[-2000:]
                future.set_exception(VersionError(f"{self.name} has ended\n{text}"))

    def kill(self) -> None:
        """End the process at once."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
