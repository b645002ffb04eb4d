"""A search for entries: the callers' filters as one checked value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventstore.errors import InvalidInputError
from projections.journal.checks import read_boundary
from projections.journal.columns import meta_key, meta_value, to_column
from projections.journal.message_pattern import compile_pattern
from projections.journal.model import MESSAGE_MODES, project_name
from projections.seams.checks import check_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from projections.journal.model import Project

META: Final = "meta."
"""Prefix of a filter by metadata."""


class MetaFilter(NamedTuple):
    """One key of metadata and its value; ``is_text`` is ``None`` where any type matches."""

    key: str
    value: str
    is_text: int | None


class Search(NamedTuple):
    """A checked search. It is hashable: equal ones are pages of the same question."""

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
        """Whether it finds less than all entries."""
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
    """Return a search by every criterion; raise InvalidInputError or PatternError."""
    if message_mode not in MESSAGE_MODES:
        raise InvalidInputError(
            f"message_mode={message_mode!r:.40}", f"use one of {', '.join(MESSAGE_MODES)}"
        )
    search = Search(
        project_name(project),
        None if start is None else read_boundary("start", start, end=False),
        None if end is None else read_boundary("end", end, end=True),
        _texts("agents", agents),
        _texts("emojis", emojis),
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
        # A text also finds a number or a boolean whose JSON it is.
        found.append(MetaFilter(meta_key(check_text("meta", key)), text, None if is_text else 0))
    return tuple(found)


def _texts(what: str, values: Iterable[str] | None) -> tuple[str, ...]:
    if values is None:
        return ()
    if isinstance(values, str):
        return (to_column(check_text(what, values)),)
    return tuple(sorted({to_column(check_text(what, value)) for value in values}))
