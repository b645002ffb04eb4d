"""What pySigma says of a Sigma file: a second opinion for checks, where it is installed.

Only a check asks it. It is slow beside this project's own reading of Sigma, and much of what it
refuses is no fault here (docs/sigma.md). Its parser needs no network: what pySigma can fetch,
ATT&CK's data, belongs to its validators, which are not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventstore.system.extras import needs_extra

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_REASON: Final = 300
"""Longest reason that is passed on, in characters."""


def pysigma_faults(content: bytes) -> tuple[str, ...]:
    """Return what pySigma finds wrong with a file; nothing where it finds nothing.

    Raises ConfigError where pySigma is not installed.
    """
    with needs_extra("sigma", "asking pySigma"):
        from sigma.collection import SigmaCollection  # noqa: PLC0415
    try:
        collection = SigmaCollection.from_yaml(
            content.decode(), collect_errors=True, collect_filters=True, resolve_references=False
        )
        return tuple(dict.fromkeys(map(_said, _errors(collection))))
    except Exception as error:
        return (_said(error),)


def _errors(collection: Any) -> Iterator[Exception]:
    yield from collection.errors
    for rule in collection.rules:
        for condition in getattr(getattr(rule, "detection", None), "parsed_condition", ()):
            try:
                _ = condition.parsed
            except Exception as error:
                yield error


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"pySigma: {type(error).__name__}: {text}"[:MAX_REASON]
