"""An atomic directory that follows a log, with a clock for its grace period."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from projections import DirectoryProjection
from projections.directory import _generations
from projections.directory._atomic_link import AtomicLink
from support.rule_log import LOG_ID, Change, RuleLog, files_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1e9

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Give the clock that generations are kept by."""
    clock = Time()
    monkeypatch.setattr(_generations, "now", clock)
    return clock


def atomic(root: Path, **more: Any) -> DirectoryProjection:
    """Return an atomic directory that earlier generations leave after ten seconds; not open."""
    return DirectoryProjection(
        root, **{"atomic": True, "fsync": False, "grace_seconds": 10, **more}
    )


@pytest.fixture
def live(root: Path, clock: Time) -> Iterator[DirectoryProjection]:
    """Give an open atomic directory."""
    projection = atomic(root)
    projection.open(LOG_ID)
    yield projection
    projection.close()


@pytest.fixture
def filled(log: RuleLog, live: DirectoryProjection) -> DirectoryProjection:
    """Give it with two files."""
    log.commit_into(live, Change("R1", "a.yml", b"1"), Change("R2", "d/b.yml", b"2"))
    return live


def generations(root: Path) -> list[str]:
    """Return the names of all generations, sorted."""
    return sorted(one.name for one in AtomicLink(root).home.iterdir() if one.name.isdecimal())


def held(descriptor: int) -> dict[str, bytes]:
    """Return the files of a directory that is held open."""
    return files_below(Path(f"/proc/self/fd/{descriptor}"))


def refuse(number: int) -> Callable[..., Any]:
    """Return a function that fails as the system does."""

    def call(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return call
