"""Proxies in front of one log, and what a failing test of the compose file shows."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from support.compose_stack import Stack
from support.edge import IN_A_ROW, PROXIES, Edge, at_edge, find_program
from support.served import Served, serving_log

from eventstore import NewEvent
from eventstore.server.settings import ServerSettings

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show each service's exit status and the end of its output, and of its PostgreSQL's log."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and isinstance(stack, Stack):
        report.sections.append(("services", stack.describe()))
    return report


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """Serve a log with a complete page of events for proxies that keep pages."""
    settings = ServerSettings(behind_proxy=True, shared_pages=True)
    with serving_log("memory://", settings=settings) as served:
        events = [NewEvent("Placed", number) for number in range(1_024)]
        served.run(served.store.append("order/1", events))
        yield served


@pytest.fixture(scope="module")
def edges(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Edge]]:
    """Start each edge once, the one of nginx also behind Caddy."""
    for program in PROXIES:
        find_program(program)
    with ExitStack() as stack:
        directory = tmp_path_factory.mktemp("edge")
        nginx, caddy = (
            stack.enter_context(at_edge(name, served.port, directory)) for name in PROXIES
        )
        row = stack.enter_context(at_edge("caddy", nginx.port, directory / "row", nginx))
        yield {"nginx": nginx, "caddy": caddy, IN_A_ROW: row}
