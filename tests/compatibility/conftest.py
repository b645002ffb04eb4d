"""Every test runs both ways: the released version first and this one first."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from support.postgres import shared_server

from .versions import NEW, Version, release_names, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WAYS = [pair for old in release_names() for pair in ((old, NEW), (NEW, old))]


class Pair(NamedTuple):
    """The version that acts first and the one that goes on with what it left."""

    first: Version
    second: Version


@pytest.fixture(scope="session")
def start_version(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Version]:
    """Start a process of a version; the caller ends it."""
    base = tmp_path_factory.mktemp("releases")
    places = {name: unpack(name, base) for name in [*release_names(), NEW]}

    def start(name: str) -> Version:
        return Version(name, places[name], tmp_path_factory.mktemp("version"))

    return start


@pytest.fixture(scope="session")
def running(start_version: Callable[[str], Version]) -> Iterator[dict[str, Version]]:
    """One process of each version, which the tests share."""
    versions = {name: start_version(name) for name in [*release_names(), NEW]}
    yield versions
    for version in versions.values():
        version.kill()


@pytest.fixture(params=WAYS, ids=[f"{first} then {second}" for first, second in WAYS])
def pair(request: pytest.FixtureRequest, running: dict[str, Version]) -> Pair:
    """Give two versions in each order."""
    first, second = request.param
    return Pair(running[first], running[second])


@pytest.fixture(params=WAYS, ids=[f"{first} then {second}" for first, second in WAYS])
def own_pair(
    request: pytest.FixtureRequest, start_version: Callable[[str], Version]
) -> Iterator[Pair]:
    """Give two versions, in each order, in processes that the test may kill."""
    first, second = request.param
    with start_version(first) as one, start_version(second) as other:
        yield Pair(one, other)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name an empty log on each database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'log.db'}"
    return shared_server().fresh_schema()


@pytest.fixture
def other_url(url: str, tmp_path: Path) -> str:
    """Name another empty log on the same database."""
    if url.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'other.db'}"
    return shared_server().fresh_schema()
