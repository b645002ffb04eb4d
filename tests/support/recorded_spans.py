"""Spans that are recorded in memory, by the SDK of OpenTelemetry."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.trace import Span


class Recorded:
    """The spans that have ended, and the tracer of the program under test."""

    def __init__(self, provider: TracerProvider) -> None:
        self._exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("program")

    def all(self, name: str = "") -> list[ReadableSpan]:
        """Return those of a name, in the order of their ends."""
        return [one for one in self._exporter.get_finished_spans() if name in ("", one.name)]

    def one(self, name: str) -> ReadableSpan:
        """Return the only one of a name."""
        (span,) = self.all(name)
        return span


@contextmanager
def recording(sampler: Sampler = ALWAYS_ON) -> Iterator[Recorded]:
    """Set a provider up as a program does, for the block: the API lets a program do so once."""
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    with mock.patch.object(trace, "_TRACER_PROVIDER", provider):
        yield Recorded(provider)
    provider.shutdown()


@pytest.fixture
def spans() -> Iterator[Recorded]:
    """Give the spans that a test records."""
    with recording() as recorded:
        yield recorded


def traceparent(span: Span | ReadableSpan) -> str:
    """Return the context of a span as it travels."""
    context = span.get_span_context()
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def parent(span: ReadableSpan) -> int:
    """Return the id of a span's parent; 0 for one without."""
    return span.parent.span_id if span.parent is not None else 0


def own(span: Span | ReadableSpan) -> int:
    """Return a span's id."""
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def links(span: ReadableSpan) -> set[int]:
    """Return the ids of the spans that one has links to."""
    return {link.context.span_id for link in span.links}
