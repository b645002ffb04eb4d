"""Chromium and its driver from PATH, and a server of a log in memory for each test.

Without Chromium, its driver or the package ``selenium`` these tests are skipped with the reason, or
fail where ``RULETIDE_BROWSER`` is ``required``, as in CI.
"""

from __future__ import annotations

import os
import shutil
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import pytest
from anyio.from_thread import start_blocking_portal
from server.conftest import served

from eventstore import EventStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anyio.from_thread import BlockingPortal

    from browser.pages import Console

ARGUMENTS: Final = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic",
    "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--lang=en-GB", "--window-size=1280,900", "--force-prefers-reduced-motion",
)  # fmt: skip


@cache
def missing() -> str:
    """Return what these tests lack; empty where all is there."""
    lacking = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    try:
        import selenium  # noqa: F401
    except ImportError:
        lacking.append("the package selenium (--group browser)")
    return ", ".join(lacking)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a browser, and skip it where there is none and none is required."""
    for item in items:
        if item.path.parent.name == "browser":
            item.add_marker(pytest.mark.browser)
            if missing() and os.environ.get("RULETIDE_BROWSER") != "required":
                item.add_marker(pytest.mark.skip(f"no browser: {missing()} not found"))


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give one Chromium, with a profile of its own."""
    assert not missing(), f"no browser: {missing()} not found"
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    opened.set_script_timeout(120)
    opened.set_page_load_timeout(120)
    yield opened
    opened.quit()


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    """Give an event loop in a thread of its own: the test is where the reader is."""
    with start_blocking_portal() as opened:
        yield opened


@pytest.fixture
def console(driver: Any, portal: BlockingPortal, tmp_path: Path) -> Iterator[Console]:
    """Give the console of a log in memory, signed out; the browser must complain of nothing."""
    from browser.pages import Console

    with (
        portal.wrap_async_context_manager(EventStore.open("memory://")) as store,
        portal.wrap_async_context_manager(served(store)) as server,
    ):
        opened = Console(driver, portal, server)
        driver.get_log("browser")
        yield opened
        complaints = [one["message"] for one in driver.get_log("browser")]
        driver.get("about:blank")
        driver.delete_all_cookies()
    assert [one for one in complaints if not opened.expects(one)] == []
