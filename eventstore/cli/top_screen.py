"""The screen of ``top``, drawn by textual: imported by that command alone.

No text of a log is markup: it comes as lines that are escaped already, and is drawn as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import anyio
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Footer, Sparkline, Static

from eventstore.cli.output import one_line
from eventstore.cli.top_panels import Panel, Rates, make_panels
from eventstore.errors import EventStoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from eventstore.cli.status_report import StatusReport


class TopScreen(App[None]):
    """Reads a report every so often, and draws it; ``q`` ends it.

    ``failure`` is what a read has raised that is no error of the store: it ends the screen.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #place { text-style: bold; padding: 0 1; }
    #rates { margin: 0 1; }
    #report { padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
        Binding("r", "look", "Look now"),
    ]

    def __init__(
        self,
        place: str,
        read: Callable[[], Awaitable[StatusReport]],
        every: float,
        rates: Rates | None = None,
    ) -> None:
        super().__init__()
        self._place = place
        self._read = read
        self._every = every
        self._rates = rates or Rates()
        self._asked = anyio.Event()
        self.looks = 0
        """How many reports were drawn, or could not be read."""
        self.failure: Exception | None = None

    def compose(self) -> ComposeResult:
        """Return what is on the screen."""
        yield Static(self._place, id="place", markup=False)
        yield Sparkline(id="rates")
        with VerticalScroll():
            yield Static("reading…", id="report", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one(VerticalScroll).focus()
        self.run_worker(self._follow())

    def action_look(self) -> None:
        """Look at once."""
        self._asked.set()

    async def _follow(self) -> None:
        try:
            while True:
                await self._look()
                with anyio.move_on_after(self._every):
                    await self._asked.wait()
                self._asked = anyio.Event()
        except Exception as error:
            self.failure = error
            self.exit()

    async def _look(self) -> None:
        try:
            report = await self._read()
        except EventStoreError as error:
            # It may pass, as where a server restarts; what was read before is old.
            panels: Sequence[Panel] = [Panel("cannot be read", (one_line(str(error)),), wrong=True)]
        else:
            self._rates.add(report.facts["position"])
            panels = make_panels(report, self._rates.show())
        self.query_one(Sparkline).data = list(self._rates.seen)
        self.query_one("#report", Static).update(Content("\n").join(map(_drawn, panels)))
        self.looks += 1


def _drawn(panel: Panel) -> Content:
    style = "bold $text-error" if panel.wrong else "bold"
    lines = "".join(f"  {line}\n" for line in panel.lines)
    return Content.assemble((f"{panel.title}\n", style), lines)
