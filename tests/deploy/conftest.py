"""What a failing test of the compose file shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.compose_stack import Stack

if TYPE_CHECKING:
    from collections.abc import Generator


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
