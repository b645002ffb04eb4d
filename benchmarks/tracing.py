"""What traces cost an append: without their hooks against with them, in turn, on one store.

``python -m benchmarks.tracing [PAIRS]`` prints what a NewEvent costs, and the ratios of
:mod:`benchmarks.observing`, for a program that

- has not imported OpenTelemetry, as most have not;
- has, and has set up no provider;
- records every append.
"""

from __future__ import annotations

import sys
from statistics import median
from time import process_time
from typing import Any

import anyio

from benchmarks.observing import report
from eventstore import EventStore, NewEvent
from eventstore.log import events
from eventstore.store import _log_access, _submission, _writer
from eventstore.system.traces import NO_SPAN

EVENTS = 20_000

HOOKS: dict[tuple[Any, str], tuple[Any, Any]] = {
    (module, name): (getattr(module, name), instead)
    for module, name, instead in (
        (events, "current_traceparent", lambda: ""),
        (_log_access, "append_span", lambda _: NO_SPAN),
        (_submission, "current_span", lambda: None),
        (_writer, "within_callers", lambda _: NO_SPAN),
    )
}
"""Each hook, and what does nothing in its place."""


def hook(_store: EventStore | None, on: bool) -> None:
    for (module, name), (real, nothing) in HOOKS.items():
        setattr(module, name, real if on else nothing)


def time_new_events(pairs: int) -> None:
    found: dict[bool, list[float]] = {True: [], False: []}
    for at in range(2 * pairs):
        on = at % 4 in (0, 3)
        hook(None, on)
        begun = process_time()
        for _ in range(EVENTS):
            NewEvent("Placed", {"total": 12})
        found[on].append((process_time() - begun) / EVENTS * 1e6)
    print(
        f"NewEvent: {median(found[False]):.2f} µs without, "
        f"{median(found[True]):.2f} µs with (worst {max(found[True]):.2f})"
    )


async def compare(what: str, pairs: int) -> None:
    print(what)
    time_new_events(min(pairs, 20))
    await report("traces", pairs, hook)
    hook(None, True)


async def main(pairs: int) -> None:
    await compare("OpenTelemetry is not imported", pairs)
    from opentelemetry import trace  # noqa: PLC0415 - measured from here on

    await compare("OpenTelemetry is imported, no provider is set up", pairs)
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above

    trace.set_tracer_provider(TracerProvider())
    with trace.get_tracer("benchmark").start_as_current_span("all"):
        await compare("every append is recorded", pairs)


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 60)
