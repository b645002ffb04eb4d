"""Fixtures of the seams: every backend once, with an event loop each, on one or the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.logs import LASTING, LOG_URLS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from eventstore.testing import FakeClock
    from projections.seams.projected_store import ProjectedStore


@pytest.fixture(
    params=[("sqlite", "asyncio"), ("memory", "trio"), ("postgresql", "asyncio")], ids="-".join
)
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Give a backend and an event loop."""
    backend, loop = request.param
    assert backend in LOG_URLS
    return backend, loop


@pytest.fixture(params=list(zip(LASTING, ("trio", "asyncio"), strict=True)), ids="-".join)
def lasting_pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Give a backend whose log is still there once it is closed, and an event loop."""
    backend, loop = request.param
    return backend, loop


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Give the event loop of the pair, asyncio where there is none."""
    for name in ("pair", "lasting_pair"):
        if name in request.fixturenames:
            loop: str = request.getfixturevalue(name)[1]
            return loop
    return "asyncio"


@pytest.fixture
def url(pair: tuple[str, str], tmp_path: Path) -> str:
    """Name a log that is not there yet."""
    return LOG_URLS[pair[0]](tmp_path)


@pytest.fixture
def lasting_url(lasting_pair: tuple[str, str], tmp_path: Path) -> str:
    """Name a log that can be opened again, and by two stores at once."""
    return LOG_URLS[lasting_pair[0]](tmp_path)


def opened(make: Callable[..., ProjectedStore]) -> Any:
    """Return a fixture that gives an open store on an empty log, as ``make`` makes it."""

    @pytest.fixture
    async def give(url: str, clock: FakeClock) -> AsyncIterator[ProjectedStore]:
        async with make(url, by="tests", notify="none", clock=clock) as store:
            yield store

    return give
