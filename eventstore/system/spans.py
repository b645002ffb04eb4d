"""Spans of OpenTelemetry; imported only where the program has imported that: see ``traces``."""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

from opentelemetry import context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanContext, Tracer

    Attributes: TypeAlias = Mapping[str, str | int | bool]

MAX_LINKS: Final = 32
"""Links of one span at the most."""

Kind: TypeAlias = Literal["INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]

_OTHERS: Final = context.create_key("eventstore-others")
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class Spans:
    """Makes the spans of one provider."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def inject(self, headers: MutableMapping[str, str]) -> None:
        """Add the context that the caller is in to the headers of a request."""
        _PROPAGATOR.inject(headers)

    def extract(self, headers: Mapping[str, str]) -> Context:
        """Return the context that headers name; an empty one where they name none."""
        return _PROPAGATOR.extract(headers)

    def read(self, traceparent: str) -> SpanContext | None:
        """Return the context of a span that a text names; None for any other text."""
        span = trace.get_current_span(self.extract({"traceparent": traceparent}))
        found = span.get_span_context()
        return found if found.is_valid else None

    def start(
        self,
        name: str,
        kind: Kind,
        attributes: Attributes,
        *,
        links: Sequence[SpanContext] = (),
        parent: Context | None = None,
    ) -> Span:
        """Return a new span that is not the current one; its parent is that, without another."""
        linked = [trace.Link(one) for one in links[:MAX_LINKS]]
        return self._tracer.start_span(name, parent, trace.SpanKind[kind], attributes, linked)

    def start_after(
        self, name: str, kind: Kind, attributes: Attributes, causes: Sequence[SpanContext]
    ) -> Span:
        """Return a new span of what ``causes`` have led to: a child of the only one, or links.

        Within a span that is recorded it is a child of that one, with links.
        """
        if len(causes) > 1 or current_span() is not None:
            return self.start(name, kind, attributes, links=causes)
        parent = trace.set_span_in_context(trace.NonRecordingSpan(causes[0]), context.Context())
        return self.start(name, kind, attributes, parent=parent)

    @contextmanager
    def within(self, span: Span) -> Iterator[Span]:
        """Make a span the current one, and end it with the block.

        An exception is named by its class alone: its text may have content.
        """
        with trace.use_span(
            span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            try:
                yield span
            except Exception as error:
                self.fail(span, type(error).__name__)
                raise

    def fail(self, span: Span, kind: str) -> None:
        """Mark a span as failed; ``kind`` names the error."""
        span.set_attribute("error.type", kind)
        span.set_status(trace.Status(trace.StatusCode.ERROR))

    @contextmanager
    def working_for(self, callers: Sequence[Span]) -> Iterator[None]:
        """Do work within the span of its first caller; a request is linked to those of others."""
        others = tuple(span.get_span_context() for span in callers[1 : 1 + MAX_LINKS])
        here = context.set_value(_OTHERS, others, trace.set_span_in_context(callers[0]))
        token = context.attach(here)
        try:
            yield
        finally:
            context.detach(token)

    def other_callers(self) -> tuple[SpanContext, ...]:
        """Return the spans of the other callers for which the current work is done."""
        return cast("tuple[SpanContext, ...]", context.get_value(_OTHERS) or ())


def current_span() -> Span | None:
    """Return the span that the caller is in, where it is recorded."""
    span = trace.get_current_span()
    return span if span is not trace.INVALID_SPAN and span.is_recording() else None


def spans_in_force() -> Spans | None:
    """Return what makes the spans of the provider in force; None where there is none."""
    return _spans_of(trace.get_tracer_provider())


@lru_cache(maxsize=1)
def _spans_of(provider: trace.TracerProvider) -> Spans | None:
    if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None
    return Spans(provider.get_tracer("eventstore"))
