"""How a command ends: one line on stderr and an exit status for everything that can go wrong."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from eventstore.cli import output, signals
from eventstore.cli.messages import operator_text
from eventstore.cli.options import USAGE_ERROR
from eventstore.errors import EventStoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("eventstore")


def interrupted_status() -> int:
    """Return the exit status of a one-shot command that a signal has ended: 130 or 143."""
    return 128 + (signals.received() or signals.SIGNALS[0])


def conclude(error: BaseException, *, json: bool, verbose: bool) -> int:
    """Print why a command failed; return its exit status. Wrong usage is raised.

    An EventStoreError or OSError is one line. Any other exception is a fault of the program: one
    line that says so, and with ``verbose`` the traceback. A pipe whose reader has gone (``| head``)
    is no failure.
    """
    causes = list(_leaves(error))
    if signals.received() or any(isinstance(cause, KeyboardInterrupt) for cause in causes):
        return interrupted_status()
    if all(isinstance(cause, BrokenPipeError) for cause in causes):
        output.discard_stdout()
        return 0
    for cause in causes:
        if isinstance(cause, USAGE_ERROR):
            raise cause
    faults = [cause for cause in causes if not isinstance(cause, EventStoreError | OSError)]
    if faults:
        _report_fault(faults[0], json=json, verbose=verbose)
    else:
        output.write_failure(causes[0], operator_text(causes[0]), json=json)
    return 1


def _report_fault(fault: BaseException, *, json: bool, verbose: bool) -> None:
    if verbose:
        log.error("the traceback of the fault:", exc_info=fault)
    said = f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__
    how = "please report it with the traceback above" if verbose else "-v shows the traceback"
    output.write_failure(fault, f"this is a fault of the program: {said}; {how}", json=json)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
