"""A search for entries: the callers' filters as one checked value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict

from eventstore.errors import InvalidInputError
from projections.journal.checks import read_boundary
from projections.journal.columns import field_key, meta_key, meta_value, to_column
from projections.journal.events import MORE_FIELDS
from projections.journal.message_pattern import compile_pattern
from projections.journal.model import MESSAGE_MODES, project_name
from projections.seams.checks import check_text

if TYPE_CHECKING:
    from datetime import datetime

    from projections.journal.model import MessageMode, Project

META: Final = "meta."
"""Prefix of a filter by metadata."""


class MetaFilter(NamedTuple):
    """One key of metadata and the values that it may have.

    Each value has 1 or 0 for a text or none, and ``None`` where any type matches. ``path`` is the
    key as it was given where it has a full stop: it then also leads into objects.
    """

    key: str
    values: tuple[tuple[str, int | None], ...]
    path: str | None = None

    def matches(self, meta: Mapping[str, Any]) -> bool:
        """Return whether metadata has such a value under ``path``."""
        if self.path is None or self.path in meta:
            found: Any = meta.get(self.path or "")
        else:
            found = meta
            for name in self.path.split("."):
                if not isinstance(found, dict) or name not in found:
                    return False
                found = found[name]
        text, is_text = meta_value(found)
        return any(text == value and kind in {None, is_text} for value, kind in self.values)


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
    def paths(self) -> tuple[MetaFilter, ...]:
        """The filters that may lead into objects, which the database alone does not answer."""
        return tuple(wanted for wanted in self.meta if wanted.path is not None)

    @property
    def filters(self) -> bool:
        """Whether it finds less than all entries."""
        return self._replace(project="", mode="substring", case_sensitive=False) != Search("")


def by_filters(project: Project, filters: Mapping[str, Any] | None) -> Search:
    """Return a search by agent, emoji, the newer fields and ``meta.KEY``.

    A filter that is ``None`` or empty does not filter. Raises InvalidInputError for another one.
    """
    search = Search(project_name(project))
    found: list[MetaFilter] = []
    for name, value in _items("filters", filters):
        if name == "agent":
            search = search._replace(agents=_texts("agent", value))
        elif name == "emoji":
            search = search._replace(emojis=_texts("emoji", value))
        elif name in MORE_FIELDS:
            values = value if isinstance(value, list | tuple | set | frozenset) else (value,)
            found.append(MetaFilter(field_key(name), tuple(_value(name, one) for one in values)))
        elif name.startswith(META) and name != META:
            found.append(_by_meta(name.removeprefix(META), value))
        else:
            known = ", ".join(("agent", "emoji", *MORE_FIELDS))
            raise InvalidInputError(
                f"filter {name!r:.80}", f"is not known; known are {known} and meta.KEY"
            )
    return search._replace(meta=tuple(sorted(found)))


class Criteria(TypedDict, total=False):
    """What the entries of a query have to meet; :func:`by_query` has the defaults."""

    start: datetime | str | None
    end: datetime | str | None
    agents: Iterable[str] | None
    emojis: Iterable[str] | None
    message: str | None
    message_mode: MessageMode
    case_sensitive: bool
    meta_filters: Mapping[str, Any] | None


def by_query(
    project: Project,
    *,
    start: object = None,
    end: object = None,
    agents: object = None,
    emojis: object = None,
    message: object = None,
    message_mode: str = "substring",
    case_sensitive: bool = False,
    meta_filters: Mapping[str, Any] | None = None,
) -> Search:
    """Return a search by :class:`Criteria`; raise InvalidInputError or PatternError."""
    if message_mode not in MESSAGE_MODES:
        raise InvalidInputError(
            f"message_mode={message_mode!r:.40}", f"use one of {', '.join(MESSAGE_MODES)}"
        )
    search = Search(
        project_name(project),
        None if _is_empty(start) else read_boundary("start", start, end=False),
        None if _is_empty(end) else read_boundary("end", end, end=True),
        _texts("agents", agents),
        _texts("emojis", emojis),
        None if message is None else check_text("message", message),
        message_mode,
        case_sensitive,
        tuple(sorted(_by_meta(key, one) for key, one in _items("meta_filters", meta_filters))),
    )
    if message_mode == "regex" and search.message is not None:
        compile_pattern(search.message, case_sensitive=case_sensitive)
    return search


def _is_empty(value: object) -> bool:
    """Whether a filter does not filter: it is ``None``, or an empty text, list or object."""
    return value is None or (isinstance(value, Sized) and len(value) == 0)


def _items(what: str, filters: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    if filters is None:
        return []
    given: object = filters
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise InvalidInputError(what, f"must be an object with texts as keys, not {filters!r:.80}")
    return [(name, value) for name, value in given.items() if not _is_empty(value)]


def _by_meta(key: str, value: object) -> MetaFilter:
    path = key if "." in key else None
    return MetaFilter(
        meta_key(check_text("meta", key)), (_value(f"meta {key!r:.80}", value),), path
    )


def _value(what: str, value: object) -> tuple[str, int | None]:
    """Return a value as metadata is compared; a text also finds what reads like it in JSON."""
    try:
        text, is_text = meta_value(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"filter by {what}", f"is no JSON: {error}") from error
    return text, None if is_text else 0


def _texts(what: str, values: object) -> tuple[str, ...]:
    if _is_empty(values):
        return ()
    if isinstance(values, str):
        return (to_column(check_text(what, values)),)
    if not isinstance(values, Iterable):
        raise InvalidInputError(what, f"must be a text or several, not {values!r:.80}")
    return tuple(sorted({to_column(check_text(what, value)) for value in values}))
