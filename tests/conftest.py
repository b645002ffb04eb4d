"""What every test shares: each event loop that the library promises, and the database server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.logs import FakeClock
from support.postgres import shared_log, shared_server
from support.postgres_programs import PostgresError, find_programs

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from support.postgres import Server


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each asynchronous test on both event loops."""
    return str(request.param)


@pytest.fixture
def clock() -> FakeClock:
    """Give a clock that stands still."""
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a database file that is not there yet."""
    return tmp_path / "events.db"


@pytest.fixture
def url(path: Path) -> str:
    """Name the same file as a URL."""
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def postgres() -> Server:
    """Return the database server that tests share; it ends with the process."""
    return shared_server()


def pytest_report_header() -> str:
    """Name the database server that the tests will run on."""
    try:
        return f"postgresql: {find_programs()}"
    except PostgresError as error:
        return f"postgresql: {error}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of the database server's log with each failure."""
    report = yield
    if report.failed and (log := shared_log()):
        report.sections.append(("PostgreSQL", log))
    return report
