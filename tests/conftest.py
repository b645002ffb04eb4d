"""What every test shares: each event loop that the library promises, and the database server."""

from __future__ import annotations

import os
import tomllib
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from support.examples import examples
from support.logs import LASTING, LOG_URLS
from support.network import HOST
from support.postgres import shared_log, shared_server
from support.postgres_programs import PostgresError, find_programs
from support.proxy import proxied
from support.unit_guard import no_process_and_no_server

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from support.postgres import Server
    from support.proxy import Proxy

    from eventstore.testing import FakeClock


pytest_plugins = ["eventstore.testing.plugin"]

TESTS = Path(__file__).parent

ON_CONTRACTS = {"changes", "cli", "journal", "memories", "registry", "rules", "sql", "tables"}
"""Subjects whose tests ask PostgreSQL nothing but what the contracts promise, or ask much."""

REDIS = {("notify", "test_redis.py"), ("notify", "test_forgery.py")}
"""Modules about Redis, which does not ask what database the log is in."""

FIRST_CONTRACTS = {
    "append",
    "append_many",
    "backend",
    "commits",
    "consumers",
    "expected",
    "idempotency",
    "subscriptions",
}
"""Contracts that the default run shows on PostgreSQL too; the slow lane shows the others there."""

# How long an example takes depends on the machine and what else runs there: no test may fail by it.
settings.register_profile(
    "tests",
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")

BY_LOOPS = {"postgres_head", "postgres_loop_reads", "postgres_short_read", "postgres_view_append"}
"""Tests of PostgreSQL itself in which an event loop waits for answers, and no thread."""

FILES = {
    "accounted_files",
    "commits_of_files",
    "half_files",
    "rest",
    "sigma_files",
    "strange_names",
    "sync_rejections",
    "watch",
    "watched_roots",
}
"""Tests of files of rules: a master reads and appends as those of ``sync`` show on PostgreSQL and
with trio."""

APPENDS = {"append", "append_many", "expected", "idempotency"}
"""The first contracts that the slow lane shows on PostgreSQL with threads too."""

FURTHER = {"trio", "threads"}
"""What runs tests beside asyncio."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the unit tests, and what is left to the slow lane.

    Unit tests are those of tests/unit, and each contract on the log in memory with asyncio. What
    starts no process and no server either, but is more than a unit, is marked ``in_process``: the
    contracts in memory with trio and with the blocking store, and whole commands on a log of their
    own. Of what runs on both event loops, and with the blocking store, the further runs are left to
    the slow lane: threads do what they wait for. So are the runs on PostgreSQL of what stands on
    the contracts (``ON_CONTRACTS``) and of all contracts but the first (``FIRST_CONTRACTS``), and
    the contracts on a log that was trimmed. An event loop meets a database in threads, but for
    short answers of PostgreSQL. So what all of these do on PostgreSQL with trio is left to the
    soak, as are the tests of PostgreSQL itself but those of loops (``BY_LOOPS``), of several
    processes, and of files of rules (``FILES``) in any way there and with trio anywhere; with
    threads on PostgreSQL all contracts but appends (``APPENDS``), and on SQLite with trio and
    threads all but the first: each contract is run in memory in every way, and on every database
    with asyncio. A trimmed log on PostgreSQL is left to the soak too, which is left out unless
    ``-m`` names it. Behind a server those of appends are run with asyncio, the others in the soak.
    """
    for item in items:
        if _is_further_pair(item) or _is_shown_beside(item) or _is_further_served(item):
            item.add_marker(pytest.mark.soak)
    _leave_out_the_soak(config, items)
    _leave_out(config, items, _is_further_past)
    for item in items:
        parameters = _parameters(item)
        place = _place(item.path)
        in_memory = parameters.get("url") == "memory" and place[0] == "contracts"
        further = FURTHER & _runners(item)
        if parameters.get("past") == "trimmed":
            item.add_marker(pytest.mark.slow)
        elif in_memory and further:
            item.add_marker(pytest.mark.in_process)
            item.add_marker(pytest.mark.slow)
        elif place[:2] == ("unit", "cli") and "run" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.in_process)
        elif in_memory or place[0] == "unit":
            item.add_marker(pytest.mark.unit)
        elif item.get_closest_marker("soak") is not None:
            continue  # It has a lane of its own.
        elif further or _stands_on_contracts(item, first=True) or _is_served(item):
            item.add_marker(pytest.mark.slow)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the folders that hold no unit test where only these are asked for."""
    if config.option.markexpr == "unit" and collection_path.parent == TESTS:
        return collection_path.name not in {"unit", "contracts"} or None
    return None


def _is_served(item: pytest.Item) -> bool:
    """Tell whether an item runs a contract behind a server, but for the shortest of the first."""
    return _parameters(item).get("url") == "http" and _place(item.path)[-1] != "test_expected.py"


def _is_further_served(item: pytest.Item) -> bool:
    """Tell whether an item runs a contract behind a server that is left to the soak.

    Appends are tried there with asyncio in the lanes, everything else on other logs alone.
    """
    if _parameters(item).get("url") != "http":
        return False
    first = {"test_append.py", "test_append_many.py", "test_expected.py", "test_idempotency.py"}
    return bool(FURTHER & _runners(item)) or _place(item.path)[-1] not in first


def _leave_out_the_soak(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect soak tests: another ``-m``, such as "not slow", replaces that of pyproject.toml."""
    if "soak" in config.option.markexpr:
        return
    _leave_out(config, items, lambda item: item.get_closest_marker("soak") is not None)


def _leave_out(
    config: pytest.Config, items: list[pytest.Item], unwanted: Callable[[pytest.Item], bool]
) -> None:
    left_out = [item for item in items if unwanted(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not unwanted(item)]


def _parameters(item: pytest.Item) -> dict[str, object]:
    return getattr(getattr(item, "callspec", None), "params", {})


def _runners(item: pytest.Item) -> set[object]:
    parameters = _parameters(item)
    return {parameters.get("anyio_backend"), parameters.get("runner")}


def _is_further_pair(item: pytest.Item) -> bool:
    """Tell whether an item pairs a way to run and a database that others pair with others."""
    runners, names = _runners(item), item.name.partition("[")[2].lower()
    parameters = _parameters(item)
    place = _place(item.path)
    if "trio" in runners and (_stands_on_contracts(item, first=False) or _is_by_threads(place)):
        return True
    if parameters.get("past") == "trimmed" and parameters.get("url") == "postgresql":
        return True
    if place[0] == "contracts" and "threads" in runners and "postgres" in names:
        return _subject(place) not in APPENDS
    pairs = ("trio", "sqlite"), ("threads", "sqlite")
    return _is_further_contract(place) and any(
        runner in runners and database in names for runner, database in pairs
    )


def _is_shown_beside(item: pytest.Item) -> bool:
    """Tell whether another run of the same test shows what an item shows."""
    parameters, place = _parameters(item), _place(item.path)
    if place[0] == "rules" and _subject(place) in FILES:
        return "trio" in _runners(item) or "postgres" in item.name.partition("[")[2]
    if place[-1] == "test_rule_stores.py":  # Signed hints are hints, and more.
        return "postgresql-redis" in parameters.values()
    if place[-1] == "test_rolling.py":  # Inline views on SQLite, followed ones on PostgreSQL.
        return (parameters.get("kind") == "sqlite") is not (parameters.get("rollout") == "inline")
    return False


def _is_by_threads(place: tuple[str, ...]) -> bool:
    subject = _subject(place)
    by_threads = subject.startswith("postgres") and subject not in BY_LOOPS
    return place[0] == "storage" and (by_threads or subject == "processes")


def _is_further_contract(place: tuple[str, ...]) -> bool:
    return place[0] == "contracts" and _subject(place) not in FIRST_CONTRACTS


def _subject(place: tuple[str, ...]) -> str:
    return place[-1].removeprefix("test_").removesuffix(".py")


def _is_further_past(item: pytest.Item) -> bool:
    """Tell whether an item runs a contract on a trimmed log where others with asyncio do so."""
    parameters = _parameters(item)
    further = parameters.get("runner") in FURTHER or parameters.get("url") in {"memory", "http"}
    return parameters.get("past") == "trimmed" and further


@cache
def _place(module: Path) -> tuple[str, ...]:
    """Return the folders and the name of a test module, below tests/ (asked for each test)."""
    return module.relative_to(TESTS).parts


def _stands_on_contracts(item: pytest.Item, *, first: bool) -> bool:
    """Tell whether an item runs a contract, or a package that stands on them, on PostgreSQL.

    With ``first`` the contracts that come first are left out (``FIRST_CONTRACTS``).
    """
    if "postgres" not in item.name.partition("[")[2].lower():
        return False
    place = _place(item.path)
    if place[0] == "contracts":
        return not first or _is_further_contract(place)
    return place[0] in ON_CONTRACTS or place in REDIS


@pytest.fixture(autouse=True)
def guard_unit_tests(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that starts a process or uses a server where its lane promises neither."""
    if not {"unit", "in_process"} & {marker.name for marker in request.node.iter_markers()}:
        yield
    else:
        with no_process_and_no_server():
            yield


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each asynchronous test on both event loops."""
    return str(request.param)


@pytest.fixture
def clock(event_clock: FakeClock) -> FakeClock:
    """Give a clock that stands still."""
    return event_clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a database file that is not there yet."""
    return tmp_path / "events.db"


@pytest.fixture
def url(path: Path) -> str:
    """Name the same file as a URL."""
    return f"sqlite:///{path}"


@pytest.fixture(params=LASTING)
def lasting_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name a log that can be opened again, and by two stores or processes at once."""
    return LOG_URLS[request.param](tmp_path)


@pytest.fixture(scope="session")
def postgres() -> Server:
    """Return the database server that tests share; it ends with the process."""
    return shared_server()


@pytest.fixture
def proxy(postgres: Server) -> Iterator[Proxy]:
    """Give a network between that server and its clients, which does what it is told."""
    with proxied(HOST, postgres.port) as proxy:
        yield proxy


def pytest_configure() -> None:
    """Refuse to test an installation that is older than pyproject.toml: it lacks commands.

    New files get the permissions that tests expect under any umask of the caller.
    """
    os.umask(0o022)
    project = tomllib.loads((TESTS.parent / "pyproject.toml").read_text())["project"]
    for group, declared in project["entry-points"].items():
        installed = {entry.name: entry.value for entry in entry_points(group=group)}
        if declared.items() - installed.items():
            raise pytest.UsageError(
                f"the installed package lacks entry points of {group!r} in pyproject.toml: "
                "run pip install -e '.[test]' again"
            )


def pytest_report_header(config: pytest.Config) -> str:
    """Name the database server that the tests will run on; unit tests need none."""
    if config.option.markexpr == "unit":
        return "postgresql: none, for unit tests"
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
