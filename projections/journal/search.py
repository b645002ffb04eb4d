"""What is looked for among a project's entries: the callers' filters as one checked value."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import re2

from eventstore.errors import InvalidInputError
from projections.journal.columns import from_column, meta_key, meta_value, to_column
from projections.journal.model import (
    MESSAGE_MODES,
    PatternError,
    PatternTimeoutError,
    check_pattern,
    check_text,
    project_name,
    read_boundary,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from projections.journal.model import Project

META: Final = "meta."
"""What the name of a filter by metadata begins with."""

CHECK_EVERY: Final = 256
"""Messages between two looks at the clock; RE2 takes some microseconds for each."""


class MetaFilter(NamedTuple):
    """One key of metadata and its value; ``is_text`` is ``None`` where either kind will do."""

    key: str
    value: str
    is_text: int | None


class Search(NamedTuple):
    """What is looked for: hashable, so that pages of one question can be told to be that."""

    project: str
    start_us: int | None = None
    end_us: int | None = None
    agents: tuple[str, ...] = ()
    emojis: tuple[str, ...] = ()
    message: str | None = None
    mode: str = "substring"
    case_sensitive: bool = False
    meta: tuple[MetaFilter, ...] = ()

    @property
    def filters(self) -> bool:
        """Whether it asks for less than everything."""
        return self._replace(project="", mode="substring", case_sensitive=False) != Search("")


def by_filters(project: Project, filters: Mapping[str, Any] | None) -> Search:
    """Return a search by ``agent``, ``emoji`` and ``meta.KEY``; raise InvalidInputError."""
    search = Search(project_name(project))
    meta: dict[str, Any] = {}
    for name, value in _items("filters", filters):
        if name == "agent":
            search = search._replace(agents=(to_column(check_text("agent", value)),))
        elif name == "emoji":
            search = search._replace(emojis=(to_column(check_text("emoji", value)),))
        elif name.startswith(META) and name != META:
            meta[name.removeprefix(META)] = value
        else:
            raise InvalidInputError(
                f"filter {name!r:.80}", "is not known; known are agent, emoji and meta.KEY"
            )
    return search._replace(meta=_by_meta(meta))


def by_query(
    project: Project,
    start: object,
    end: object,
    agents: Iterable[str] | None,
    emojis: Iterable[str] | None,
    message: str | None,
    message_mode: str,
    meta_filters: Mapping[str, Any] | None,
    *,
    case_sensitive: bool,
) -> Search:
    """Return a search by everything that there is; raise InvalidInputError, PatternError."""
    if message_mode not in MESSAGE_MODES:
        raise InvalidInputError(
            f"message_mode={message_mode!r:.40}", f"use one of {', '.join(MESSAGE_MODES)}"
        )
    search = Search(
        project_name(project),
        None if start is None else read_boundary("start", start, end=False),
        None if end is None else read_boundary("end", end, end=True),
        _listed("agents", agents),
        _listed("emojis", emojis),
        None if message is None else check_text("message", message),
        message_mode,
        case_sensitive,
        _by_meta(dict(_items("meta_filters", meta_filters))),
    )
    if message_mode == "regex" and message is not None:
        compile_pattern(message, case_sensitive=case_sensitive)
    return search


def _items(what: str, filters: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    if filters is None:
        return []
    if not isinstance(filters, dict) or not all(isinstance(name, str) for name in filters):
        raise InvalidInputError(what, f"must be an object with texts as keys, not {filters!r:.80}")
    return list(filters.items())


def _by_meta(meta: Mapping[str, Any]) -> tuple[MetaFilter, ...]:
    found = []
    for key, value in sorted(meta.items()):
        try:
            text, is_text = meta_value(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidInputError(
                f"filter by meta {key!r:.80}", f"is no JSON: {error}"
            ) from error
        # A text also finds the number, or the truth, that reads like it: callers read them so.
        found.append(MetaFilter(meta_key(check_text("meta", key)), text, None if is_text else 0))
    return tuple(found)


def _listed(what: str, values: Iterable[str] | None) -> tuple[str, ...]:
    if values is None:
        return ()
    if isinstance(values, str):
        return (to_column(check_text(what, values)),)
    return tuple(sorted({to_column(check_text(what, value)) for value in values}))


def compile_pattern(pattern: str, *, case_sensitive: bool) -> Callable[[str], Any]:
    """Return RE2's search for a pattern; raise PatternError where it is none."""
    options = re2.Options()
    options.case_sensitive = case_sensitive
    options.never_capture = True
    # It would write to stderr what is raised here.
    options.log_errors = False
    try:
        compiled: Callable[[str], Any] = re2.compile(check_pattern(pattern), options).search
    except re2.error as error:
        reason = error.args[0] if error.args else error
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise PatternError(pattern, text) from error
    return compiled


def matching(search: Search, rows: Iterable[Any], seconds: float) -> Iterator[tuple[int, int]]:
    """Yield the keys of the rows whose message matches the search's regular expression.

    ``rows`` are ``(ts_us, position, message)``, the message as its column has it. Raises
    PatternTimeoutError after ``seconds``: RE2 takes a time in proportion to the text, whatever
    the pattern, so it is enough to look at the clock between messages.
    """
    pattern = search.message or ""
    found = compile_pattern(pattern, case_sensitive=search.case_sensitive)
    end = time.monotonic() + seconds
    for number, (ts_us, position, message) in enumerate(rows):
        if number % CHECK_EVERY == 0 and time.monotonic() > end:
            raise PatternTimeoutError(pattern, seconds)
        if found(from_column(message)) is not None:
            yield ts_us, position
