"""The console in headless Chromium: ``python -m benchmarks.console_page [--only-memory]``.

A server process of a SQLite log on loopback, as ``eventstore serve`` runs it. Measured are:

- the first view: from the navigation to the overview's facts, without anything in the browser's
  cache, and to the sign-in form for those who are signed out;
- a filter of 10,000 rules: from the input event to the next frame that has its result;
- the memory of a page that is left open, after a forced garbage collection each time. An hour of
  the overview is 720 polls: the page's own timer makes them, 100 times as fast. The timeline gets
  all events that are appended meanwhile.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio

from benchmarks.processes import write_rules
from eventstore import EventStore, NewEvent
from eventstore.server.tokens import create_token
from projections.rules import RuleSync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RULES: Final = 10_000
VIEWS: Final = 20
STEPS: Final = 6
PAUSE: Final = 1.0
"""Seconds between two questions to the page meanwhile: each takes some of its memory, too."""

FASTER: Final = 100
"""How much faster the page's timers run while its memory is measured."""

BATCH: Final = 100
"""Events of an append meanwhile."""

NOTE: Final = """
const wanted = %s;
addEventListener("DOMContentLoaded", () => new MutationObserver((_, watch) => {
  if (!document.querySelector(wanted)) return;
  watch.disconnect();
  requestAnimationFrame(() => { window.shownAfter = performance.now(); });
}).observe(document, { childList: true, subtree: true }));
"""
"""Notes when what is wanted is in a frame, in milliseconds since the navigation."""

HURRY: Final = f"""
const real = window.setInterval;
window.polls = 0;
window.setInterval = (act, pause) => {{
  let busy = false;
  return real(async () => {{
    if (busy) return;
    busy = true;
    await act();
    busy = false;
    window.polls += 1;
  }}, pause / {FASTER});
}};
"""

NEWEST: Final = (
    "Number(document.querySelector('.events .position')?.textContent.replace(/[^0-9]/g, ''))"
)
"""The position of the event that the timeline has got last."""

FILTER: Final = """
const [text, done] = arguments;
const field = document.getElementById("words");
const began = performance.now();
field.value = text;
field.dispatchEvent(new Event("input", { bubbles: true }));
requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
"""

BROWSER: Final = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1280,900", "--enable-precise-memory-info",
)  # fmt: skip


def show(name: str, values: list[float]) -> None:
    """Print the median and the worst of some times."""
    said = f"median {statistics.median(values):6.1f} ms, worst {max(values):6.1f} ms"
    print(f"{name:<42} {said}, of {len(values)}", flush=True)


async def make_log(url: str, folder: Path) -> str:
    """Make a log of many rules; return a token that may read it."""
    write_rules(folder, range(RULES))
    async with EventStore.open(url, notify="none") as store:
        await RuleSync(store, folder).sync_once()
        return await create_token(store, "bench", ["read"])


@contextmanager
def served(url: str) -> Iterator[str]:
    """Serve a log in a process of its own; give its address."""
    command = [sys.executable, "-m", "eventstore.cli", "serve", "--listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen([*command, "--url", url], stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            yield json.loads(child.stdout.readline())["url"]
        finally:
            child.terminate()


@contextmanager
def browser(folder: Path) -> Iterator[Any]:
    """Open Chromium, headless, with a profile of its own."""
    from selenium import webdriver  # noqa: PLC0415 - the dependency group browser
    from selenium.webdriver.chrome.service import Service  # noqa: PLC0415

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in (*BROWSER, f"--user-data-dir={folder}"):
        options.add_argument(argument)
    opened = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    try:
        opened.set_script_timeout(60)
        yield opened
    finally:
        opened.quit()


def wait_for(driver: Any, script: str, pause: float = 0.005) -> Any:
    """Return what a script gives once that is neither null nor false."""
    end = time.monotonic() + 600  # A busy machine is no failure.
    while time.monotonic() < end:
        if found := driver.execute_script(script):
            return found
        time.sleep(pause)
    raise TimeoutError(script)


def first_views(driver: Any, url: str, page: str, wanted: str, *, cached: bool) -> list[float]:
    """Return how long it takes from a navigation to a frame with what is wanted."""
    added = driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": NOTE % json.dumps(wanted)}
    )
    times = []
    for _ in range(VIEWS):
        driver.get("about:blank")
        if not cached:
            driver.execute_cdp_cmd("Network.clearBrowserCache", {})
        driver.get(f"{url}/#/{page}")
        times.append(float(wait_for(driver, "return window.shownAfter")))
    driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    return times


def sign_in(driver: Any, url: str, token: str) -> None:
    """Take a token into the cookie, as the page does."""
    driver.get(url)
    driver.execute_async_script(
        """const [token, done] = arguments;
        fetch("/v1/session", { method: "PUT", headers: { "content-type": "application/json" },
          body: JSON.stringify({ token }) }).then(done);""",
        token,
    )


def filters(driver: Any, url: str) -> list[float]:
    """Return how long it takes from an input to the next frame, of many rules."""
    driver.get("about:blank")
    driver.get(f"{url}/#/rules")
    said = "return document.querySelector('main [role=status]')?.textContent === '10,000 rules'"
    wait_for(driver, said)
    texts = [text for n in range(VIEWS) for text in (str(n), f"rule {n}", "zzz", "")]
    return [float(driver.execute_async_script(FILTER, text)) for text in texts]


def memory(driver: Any) -> tuple[float, int]:
    """Return the heap of a page in MiB after a collection, and how many nodes it has."""
    driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    metrics = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    found = {one["name"]: one["value"] for one in metrics}
    return found["JSHeapUsedSize"] / 2**20, int(found["Nodes"])


def left_open(driver: Any, url: str, page: str, go_on: Callable[[], str]) -> None:
    """Print the memory of a page again and again while ``go_on`` lets it do an hour's work."""
    driver.execute_cdp_cmd("Performance.enable", {})
    added = driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": HURRY})
    driver.get("about:blank")
    driver.get(f"{url}/#/{page}")
    for _ in range(STEPS):
        said = go_on()
        heap, nodes = memory(driver)
        print(f"{page:<10} after {said:<14} heap {heap:6.2f} MiB, {nodes:5} nodes", flush=True)
    driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def append(url: str, count: int) -> int:
    """Append so many events; return the last position."""

    async def run() -> int:
        async with EventStore.open(url, notify="none") as store:
            for at in range(0, count, BATCH):
                events = [
                    NewEvent("Happened", {"n": at + n, "text": "x" * 200}) for n in range(BATCH)
                ]
                done = await store.append(f"a/{at}", events)
            return done.position

    return anyio.run(run)


def times(driver: Any, url: str, token: str) -> None:
    """Print first views and filters; leaves the browser signed in."""
    show("signed out, nothing cached", first_views(driver, url, "", "#token", cached=False))
    sign_in(driver, url, token)
    for name, cached in (("nothing cached", False), ("cached", True)):
        show(f"overview, {name}", first_views(driver, url, "", ".facts", cached=cached))
    show("rules (10,000), cached", first_views(driver, url, "rules", ".rows a", cached=True))
    show("a filter of 10,000 rules", filters(driver, url))


def memories(driver: Any, url: str, log: str, polls: int, events: int) -> None:
    """Print the memory of both pages that change while they are open."""

    def poll(step: list[int]) -> str:
        step[0] += polls // STEPS
        wait_for(driver, f"return window.polls >= {step[0]}", PAUSE)
        return f"{step[0]} polls"

    def follow(step: list[int]) -> str:
        last = append(log, events // STEPS)
        step[0] += events // STEPS
        wait_for(driver, f"return {NEWEST} === {last}", PAUSE)
        return f"{step[0]} events"

    left_open(driver, url, "overview", partial(poll, [0]))
    left_open(driver, url, "timeline", partial(follow, [0]))


def run(folder: Path, polls: int, events: int, *, only_memory: bool) -> None:
    """Measure everything, on a log in a folder."""
    log = f"sqlite:///{folder / 'log.db'}"
    token = anyio.run(make_log, log, folder / "rules")
    with served(log) as url, browser(folder / "profile") as driver:
        if only_memory:
            sign_in(driver, url, token)
        else:
            times(driver, url, token)
        memories(driver, url, log, polls, events)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--polls", type=int, default=720, help="polls of the overview")
    parser.add_argument("--events", type=int, default=12_000, help="events that the timeline gets")
    parser.add_argument("--only-memory", action="store_true", help="leave the times out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), given.polls, given.events, only_memory=given.only_memory)


if __name__ == "__main__":
    main()
