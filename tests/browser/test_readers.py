"""The console for every reader: screen readers, keyboards, small and large windows, dark rooms."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from eventstore import NewEvent

if TYPE_CHECKING:
    from browser.pages import Console

AXE: Final = Path(__file__).parent / "node_modules/axe-core/axe.min.js"
PAGES: Final = (
    "overview",
    "rules",
    "rules/r1",
    "timeline",
    "timeline/compare/0/now",
    "fleet",
    "integrity",
)

RUN_AXE: Final = """
const done = arguments[arguments.length - 1];
axe.run(document).then((found) => done(found.violations.map((one) =>
  `${one.id}: ${one.help}: ${one.nodes.map((node) => node.target.join(" ")).join(", ")}`)));
"""


@pytest.fixture
def filled(console: Console) -> Console:
    """Sign in to a log with something for each page."""
    console.define("r1", name="A rule")
    console.append("source/s", NewEvent("RuleRejected", {"source": "s", "path": "bad.yml",
        "sha256": "0" * 64, "reason": "it is not YAML"}))  # fmt: skip

    async def come() -> None:
        async with console.store.subscribe_changes(consumer="worker") as changes:
            await anext(changes)
            await changes.ack()

    console.run(come)
    console.append("a/1", NewEvent("Happened", 1))
    position = console.store.feed.log.newest.position
    console.run(console.store.redact, position, "asked for", "ana")
    console.run(console.server.gateway.hour.take)
    console.sign_in("admin")
    return console


def show(console: Console, page: str) -> None:
    """Open a page, and return once it has everything."""
    console.open(page)
    wanted = {
        "overview": ".facts",
        "rules": ".rows a",
        "timeline": ".events li",
        "timeline/compare/0/now": ".revert",
        "fleet": ".rows .row",
        "integrity": ".anchor",
    }
    if "compare" in page:
        console.find(".differences summary").click()
        console.find(".differences button").click()
    if page == "integrity":
        console.press("Verify")
    if page == "rules/r1":
        console.unfold("Who wrote each line")
        console.unfold("What it changed")
        console.find("td code")
    console.find(wanted.get(page, ".past .diff"))


@pytest.fixture
def dark(driver: Any) -> Any:
    """Return a function that says what the reader's system prefers."""

    def prefer(scheme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    yield prefer
    prefer("")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_checker_of_accessibility_finds_nothing(filled: Console, dark: Any, scheme: str) -> None:
    if not AXE.exists() and os.environ.get("RULETIDE_BROWSER") != "required":
        pytest.skip("axe-core is missing: npm install --prefix tests/browser")
    source = AXE.read_text()
    dark(scheme)
    found = {}
    for page in PAGES:
        show(filled, page)
        # As an extension of the browser would: pages of the console load no script of others.
        filled.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": source})
        found[page] = filled.driver.execute_async_script(RUN_AXE)
    assert {page: faults for page, faults in found.items() if faults} == {}


@pytest.mark.parametrize("width", [360, 2_560])
def test_no_page_is_wider_than_its_window(filled: Console, driver: Any, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for page in PAGES:
            show(filled, page)
            assert filled.script("return document.documentElement.scrollWidth") <= width, page
            assert filled.find("h1").is_displayed()
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_keyboard_reaches_and_does_everything(filled: Console) -> None:
    from selenium.webdriver.common.keys import Keys

    show(filled, "overview")

    def press(*keys: str) -> Any:
        for key in keys:
            filled.driver.switch_to.active_element.send_keys(key)
        return filled.driver.switch_to.active_element

    filled.script("document.activeElement.blur()")
    skip = press(Keys.TAB)
    assert skip.text == "Skip to content"
    assert skip.is_displayed()
    assert press(Keys.TAB).text == "Overview"
    assert press(Keys.TAB).text == "Rules"
    press(Keys.ENTER)
    filled.find(".rows a")
    filled.until(lambda: filled.script("return document.activeElement.id") == "view")
    assert press(Keys.TAB).get_attribute("id") == "words"
    press("r", "1", *[Keys.TAB] * 5)  # The list can be scrolled by keys.
    assert filled.script("return document.activeElement.className") == "long"
    assert press(Keys.TAB).text == "r1"
    press(Keys.ENTER)
    filled.until(lambda: filled.text("h1") == "r1")


def test_of_many_rules_only_those_in_sight_are_elements(filled: Console) -> None:
    filled.define(*[f"many-{n:05}" for n in range(2_000)])
    show(filled, "rules")
    filled.until(lambda: filled.text("[role=status]") == "2,001 rules")
    assert len(filled.all(".rows .row")) < 80
    filled.script("document.querySelector('.long').scrollTop = 1e9")
    filled.until(lambda: filled.texts(".rows a")[-1] == "r1")
    assert len(filled.all(".rows .row")) < 80
    filled.write("#words", "many-01999")
    filled.until(lambda: filled.texts(".rows a") == ["many-01999"])
