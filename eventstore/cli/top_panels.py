"""What ``top`` draws: headings and lines, and how many events come each second."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from eventstore.cli.output import one_line
from eventstore.cli.status_report import consumer_line, log_facts, view_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from eventstore.cli.status_report import StatusReport

RATES: Final = 120
"""Rates that are drawn."""

WELL: Final = "Everything that is checked is well."


class Panel(NamedTuple):
    """A heading and its lines, each as a terminal may show it."""

    title: str
    lines: tuple[str, ...]
    wrong: bool = False


class Rates:
    """Events per second between two looks at the log, the newest ones."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: tuple[float, int] | None = None
        self.seen: deque[float] = deque(maxlen=RATES)

    def add(self, position: int) -> None:
        """Take note of the head; of a log that was replaced by an older one there is no rate."""
        now = self._clock()
        if self._last is not None and now > self._last[0]:
            then, before = self._last
            self.seen.append(max(0, position - before) / (now - then))
        self._last = now, position

    def show(self) -> str:
        """Return the newest rate for people."""
        return f"{self.seen[-1]:,.1f} events/s" if self.seen else ""


def make_panels(report: StatusReport, rate: str) -> list[Panel]:
    """Return a report as headings and lines, what is not well first."""
    facts = dict(report.facts)
    consumers, views = facts.pop("consumers"), facts.pop("views")
    number = len(report.faults)
    title = "One thing is not well" if number == 1 else f"{number} things are not well"
    found = [
        _panel(title, report.faults, wrong=True) if number else _panel(WELL, ()),
        _panel("log", _aligned([("appended", rate), *log_facts(facts)])),
        _panel("consumers", map(consumer_line, consumers)),
        _panel("views", map(view_line, views)),
        *(
            _panel(name, [entry.line for entry in entries])
            for name, entries in report.sections.items()
        ),
    ]
    return [panel for panel in found if panel.lines or panel.title == WELL]


def _aligned(facts: Sequence[tuple[str, object]]) -> list[str]:
    width = max(len(name) for name, _ in facts)
    return [f"{name:<{width}}  {value}" for name, value in facts if value != ""]


def _panel(title: str, lines: Iterable[str], *, wrong: bool = False) -> Panel:
    return Panel(one_line(title), tuple(map(one_line, lines)), wrong)
