"""The data of every workload: JSON of about 250 bytes, over 64 streams."""

from __future__ import annotations

from typing import Any, Final

from eventstore import NewEvent

STREAMS: Final = [f"rule/R{number:04d}" for number in range(64)]

TYPE: Final = "RuleTuned"


def payload(number: int) -> dict[str, Any]:
    """Return the data of one event: 250 bytes as JSON, give or take a few."""
    return {
        "rule_id": f"R{number % 64:04d}",
        "number": number,
        "severity": "high",
        "confidence": 0.75,
        "tags": ["attack.execution", "attack.t1059.001"],
        "set_by": "ana@example.org",
        "reason": "Fires on the nightly inventory job; raised until the job is signed. "
        "See the runbook for the exception.",
    }


def new_events(count: int) -> list[NewEvent]:
    """Return events made ready to be appended."""
    return [NewEvent(TYPE, payload(number)) for number in range(count)]
