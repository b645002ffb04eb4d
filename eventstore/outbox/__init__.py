"""Outboxes: events delivered to something that is no database, each until it has arrived."""

from __future__ import annotations

from eventstore.outbox._delivery import RetryLaterError, UndeliverableError
from eventstore.outbox.letters import (
    DeadLetter,
    drop_dead_letters,
    read_dead_letters,
    request_retry,
)
from eventstore.outbox.outbox import Outbox

__all__ = [
    "DeadLetter",
    "Outbox",
    "RetryLaterError",
    "UndeliverableError",
    "drop_dead_letters",
    "read_dead_letters",
    "request_retry",
]
