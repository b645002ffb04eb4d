"""The pictures of the documentation, taken where ``RULETIDE_PICTURES`` names a directory for them.

Without it each page is walked through in the same way, and no picture is written.
"""

from __future__ import annotations

import base64
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from eventstore import NewEvent
from eventstore.server._hour_samples import LastHour, Sample
from projections.rules import RuleSync

if TYPE_CHECKING:
    from browser.pages import Console

RULES: Final = Path(__file__).parents[2] / "config/rules/ttp"
SIZE: Final = {"width": 1000, "height": 680, "deviceScaleFactor": 1, "mobile": False}


def take(console: Console, name: str) -> None:
    """Write a picture of what is in sight, where pictures are wanted."""
    folder = os.environ.get("RULETIDE_PICTURES")
    if folder:
        shown = console.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        Path(folder, f"console-{name}.png").write_bytes(base64.b64decode(shown["data"]))


def fill(console: Console) -> None:
    """Sync the rules of ``config/``, switch one off, reject a file, and let a worker follow."""
    sync = partial(RuleSync(console.store, RULES, source="ttp", format="ttp").sync_once)
    console.run(sync)
    console.append("rule-state/R1002", NewEvent("RuleStateSet", {"rule_id": "R1002", "state": {
        "state": "disabled", "set_by": "ana", "reason": "fires on every login"}}))  # fmt: skip
    console.append("source/ttp", NewEvent("RuleRejected", {"source": "ttp", "line": 19,
        "path": "lsass_memory_access.yml", "sha256": "0" * 64,
        "reason": "rule R1003: emits[1].confidence is missing"}))  # fmt: skip

    async def come() -> None:
        async with console.store.subscribe_changes(consumer="worker-1") as changes:
            await anext(changes)
            await changes.ack()

    console.run(come)
    change(console)
    hour = console.server.gateway.hour = LastHour(console.store)
    now = hour.began_us
    hour.began_us -= 7_200_000_000
    for at in range(360, -1, -1):  # A quiet hour with three commits.
        position = 16 + (at < 260) + (at < 120) + (at < 50)
        hour.samples.append(Sample(now - at * 10_000_000, position, 3 * (at % 90 < 4)))


def change(console: Console) -> None:
    """Define R1001 again, with another confidence and name."""

    async def read() -> dict[str, Any]:
        return [dict(event.data) async for event in console.store.read(streams="rule/R1001")][0]  # noqa: RUF015

    data = console.run(read)
    text = data["content"].replace("rule_version: 2", "rule_version: 3")
    assert text != data["content"]
    data |= {"content": text, "previous_path": data["path"], "rule_version": 3}
    console.append("rule/R1001", NewEvent("RuleDefined", data))


def test_the_pages_that_the_documentation_shows_are_there_and_are_taken(console: Console) -> None:
    console.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", SIZE)
    try:
        fill(console)
        console.sign_in("admin")
        console.until(lambda: len(console.all(".plot polyline")) >= 3)
        take(console, "overview")
        console.open("rules")
        console.until(lambda: len(console.all(".rows a")) == 16)
        take(console, "rules")
        console.open("timeline/compare/16/now")
        console.until(lambda: len(console.all(".differences li")) == 2)
        console.press("Revert…")
        console.until(lambda: "-rule_version: 3" in console.texts(".revert .removed"))
        console.write("#reason", "fires on every login")
        console.script("document.querySelector('.revert').scrollIntoView()")
        take(console, "revert")
        console.open("integrity")
        console.press("Verify")
        console.until(lambda: "all as written" in console.text())
        take(console, "integrity")
    finally:
        console.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
