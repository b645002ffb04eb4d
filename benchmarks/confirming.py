"""From the click on *Revert* to the last worker's word that it runs the good rule again.

``python -m benchmarks.confirming``: a server and three workers, as processes of one SQLite log. A
bad rule is synced, all workers confirm it, and a browser reverts it. Measured in the page: from
the click to the answer of ``/v1/fleet``, asked again at once, that has every worker confirm.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio

from benchmarks.console_page import browser, served, show, sign_in, wait_for
from benchmarks.processes import write_rules
from eventstore import EventStore
from eventstore.server.tokens import create_token
from projections.rules import RuleSync
from projections.rules.fleet import read_fleet

if TYPE_CHECKING:
    from collections.abc import Iterator

RULES: Final = 1_000
WORKERS: Final = 3
ROUNDS: Final = 30
ENGINE: Final = Path(__file__).parents[1] / "examples" / "engine.py"

CLICK: Final = """
const [workers, after, done] = arguments;
const began = performance.now();
document.querySelector(".revert button[type=submit]").click();
for (;;) {
  const fleet = await (await fetch("/v1/fleet", { cache: "no-store" })).json();
  const confirmed = fleet.workers.filter((one) => one.verdict === "current" && one.loaded > after);
  if (confirmed.length === workers) break;
}
done(performance.now() - began);
"""


@contextmanager
def worker(log: str, name: str) -> Iterator[None]:
    """Run the example engine; it ends with its input."""
    words = [sys.executable, str(ENGINE), "--url", log, "--worker", name]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.communicate()


def confirmed(log: str) -> int:
    """Return the head, once all workers run what it has."""

    async def read() -> int:
        async with EventStore.open(log, notify="none") as store:
            head = (await store.head()).position
            workers = (await read_fleet(store)).workers
        return head if [one.verdict for one in workers] == ["current"] * WORKERS else 0

    end = time.monotonic() + 600  # A busy machine is no failure.
    while time.monotonic() < end:
        if head := anyio.run(read):
            return head
        time.sleep(0.1)
    raise TimeoutError("a worker does not confirm")


async def sync(log: str, folder: Path) -> None:
    """Take in the files."""
    async with EventStore.open(log) as store:
        await RuleSync(store, folder, source="bench").sync_once()


def revert(driver: Any, url: str, log: str, rules: Path, number: int) -> float:
    """Break a rule, and bring it back by the browser; return the milliseconds to the last word."""
    good = confirmed(log)
    file = sorted(rules.rglob("*.yml"))[number]
    file.write_text(file.read_text() + f"# bad {number}\n")
    anyio.run(sync, log, rules)
    bad = confirmed(log)
    driver.get("about:blank")
    driver.get(f"{url}/#/timeline/compare/{good}/now")
    wait_for(driver, "return document.querySelector('.differences button') !== null")
    driver.execute_script("document.querySelector('.differences button').click()")
    wait_for(driver, "return document.getElementById('reason') !== null")
    driver.execute_script("document.getElementById('reason').value = 'it fires everywhere'")
    time.sleep(1)  # An operator reads: the workers' reports are not held back by those before.
    return float(
        driver.execute_async_script(
            f"(async (...arguments) => {{{CLICK}}})(...arguments)", WORKERS, bad
        )
    )


async def make_log(log: str, rules: Path) -> str:
    """Make the log; return a token that reads and reverts."""
    write_rules(rules, range(RULES))
    await sync(log, rules)
    async with EventStore.open(log, notify="none") as store:
        return await create_token(store, "bench", ["read", "append", "state"])


def main() -> None:
    """Print the median and the worst of some reverts."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as opened:
        folder = Path(name)
        log = f"sqlite:///{folder / 'log.db'}"
        token = anyio.run(partial(make_log, log, folder / "rules"))
        url = opened.enter_context(served(log))
        for number in range(WORKERS):
            opened.enter_context(worker(log, f"worker-{number}"))
        driver = opened.enter_context(browser(folder / "profile"))
        sign_in(driver, url, token)
        times = [revert(driver, url, log, folder / "rules", number) for number in range(ROUNDS)]
        show("click to the last of three workers' word", times)


if __name__ == "__main__":
    main()
