"""The span of what a named consumer does with the events that it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.log.spans import start_handling
from eventstore.system.traces import find_spans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.trace import Span

    from eventstore.log.events import Event


class Handling:
    """What a consumer has in hand, from being given events until it asks for others.

    The span is not the reader's current one: what is current belongs to a task, which a
    subscription does not know to have an end.
    """

    def __init__(self, consumer: str) -> None:
        self._consumer = consumer
        self._span: Span | None = None

    def begin(self, events: Sequence[Event]) -> None:
        """Take note of events that are given out."""
        spans = find_spans()
        if spans is not None:
            self._span = start_handling(spans, "handle", self._consumer, events)

    def end(self) -> None:
        """Take note that they are done."""
        if self._span is not None:
            self._span.end()
            self._span = None
