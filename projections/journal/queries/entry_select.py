"""The SQL statements of a search for entries, made once for each shape of a search.

A *shape* is a search without its values: what its statements differ by. Their parameters are named
by what they filter, with a number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import BigInteger, Select, and_, bindparam, func, or_, select, tuple_

from projections.journal.columns import fold, meta_key, to_column
from projections.journal.search import MetaFilter, Search
from projections.journal.tables.schema import entry_table, meta_table, project_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, FromClause

SHAPES: Final = 256
"""Shapes of searches whose statements are kept."""

_PROJECT: Final = (
    select(project_table.c.id).where(project_table.c.name == bindparam("project")).scalar_subquery()
)


class Part(NamedTuple):
    """Which of the entries that a search finds: as of a position, below the key of an entry."""

    as_of: int | None = None
    below: tuple[int, int] | None = None


WHOLE: Final = Part()


def values_of(search: Search, part: Part) -> dict[str, Any]:
    """Return the values of a search's statements, by the names of their parameters."""
    found: dict[str, Any] = {
        "project": to_column(search.project),
        "start": search.start_us,
        "end": search.end_us,
        "as_of": part.as_of,
    }
    found["below_us"], found["below_position"] = part.below or (None, None)
    for name, values in (("agent", search.agents), ("emoji", search.emojis)):
        found |= {f"{name}{n}": value for n, value in enumerate(values)}
    for n, wanted in enumerate(search.meta):
        found[f"key{n}"] = wanted.key
        if wanted.path is not None:
            found[f"first{n}"] = meta_key(wanted.path.partition(".")[0])
        for m, (value, is_text) in enumerate(wanted.values):
            found[f"value{n}_{m}"], found[f"text{n}_{m}"] = value, is_text
    if search.message is not None:
        text = to_column(search.message) if search.case_sensitive else fold(search.message)
        found["message"] = text
    return found


def shapes_of(search: Search, part: Part) -> tuple[Search, Part]:
    """Return what a statement depends on, without the values that are asked for."""
    return _shape_of(search), _shape_of_part(part)


def _shape_of(search: Search) -> Search:
    """Return a search without its values."""
    return Search(
        "",
        None if search.start_us is None else 0,
        None if search.end_us is None else 0,
        ("",) * len(search.agents),
        ("",) * len(search.emojis),
        None if search.message is None else "",
        search.mode,
        search.case_sensitive,
        tuple(
            MetaFilter(
                "",
                tuple(("", None if is_text is None else 0) for _, is_text in wanted.values),
                None if wanted.path is None else "",
            )
            for wanted in search.meta
        ),
    )


def _shape_of_part(part: Part) -> Part:
    """Return a part without its values."""
    return Part(None if part.as_of is None else 0, None if part.below is None else (0, 0))


class EntrySelect:
    """Builds the statements of one shape of a search.

    It starts from the table of metadata where the search asks for any, and joins entries only
    where it needs their columns.
    """

    def __init__(self, dialect: str, shape: Search, part: Part) -> None:
        entry = entry_table.c
        self._conditions: list[ColumnElement[bool]] = []
        self._source: FromClause = entry_table
        self.ts_us, self.position, owner = entry.ts_us, entry.position, entry.project_id
        self._joined = True
        joined = [
            number
            for number, one in enumerate(shape.meta)
            if one.path is None and len(one.values) == 1
        ]
        for number in joined:
            table = meta_table.alias(f"meta{number}")
            at = table.c
            if number == joined[0]:
                self._source, self._joined = table, False
                self.ts_us, self.position, owner = at.ts_us, at.position, at.project_id
            else:
                self._source = self._source.join(
                    table, (at.ts_us == self.ts_us) & (at.position == self.position)
                )
            self._conditions += [at.project_id == _PROJECT, at.key == bindparam(f"key{number}")]
            self._conditions.append(_has_value(table, number, shape.meta[number]))
        if not joined:
            self._conditions.append(owner == _PROJECT)
        for number, wanted in enumerate(shape.meta):
            if number not in joined:
                self._conditions.append(self._among(number, wanted))
        self._limit_keys(shape, part)
        if shape.agents or shape.emojis or shape.message is not None:
            self._join()
        self._limit_entries(dialect, shape)

    def _among(self, number: int, wanted: MetaFilter) -> ColumnElement[bool]:
        """Return that an entry has one of several values, or may have one inside an object."""
        at = meta_table.c
        found = and_(at.key == bindparam(f"key{number}"), _has_value(meta_table, number, wanted))
        if wanted.path is not None:
            found = or_(found, (at.key == bindparam(f"first{number}")) & (at.is_text == 0))
        return self.position.in_(select(at.position).where(at.project_id == _PROJECT, found))

    def _limit_keys(self, shape: Search, part: Part) -> None:
        limits = self._conditions
        if shape.start_us is not None:
            limits.append(self.ts_us >= bindparam("start"))
        if shape.end_us is not None:
            limits.append(self.ts_us <= bindparam("end"))
        if part.as_of is not None:
            limits.append(self.position <= bindparam("as_of"))
        if part.below is not None:
            below = [bindparam(name, type_=BigInteger) for name in ("below_us", "below_position")]
            limits.append(tuple_(self.ts_us, self.position) < tuple_(*below))

    def _limit_entries(self, dialect: str, shape: Search) -> None:
        entry = entry_table.c
        for name, values in (("agent", shape.agents), ("emoji", shape.emojis)):
            if values:
                column = entry[name]
                each: list[Any] = [bindparam(f"{name}{n}") for n in range(len(values))]
                any_of = column.in_(each) if len(each) > 1 else column == each[0]
                self._conditions.append(any_of)
        if shape.message is None or shape.mode == "regex":
            return
        column = entry.message if shape.case_sensitive else entry.folded
        text = bindparam("message", type_=column.type)
        if shape.mode == "exact":
            self._conditions.append(column == text)
        else:
            within = func.instr if dialect == "sqlite" else func.strpos
            self._conditions.append(within(column, text) > 0)

    def _join(self) -> None:
        if not self._joined:
            self._joined = True
            self._source = self._source.join(entry_table, entry_table.c.position == self.position)

    def count(self) -> Select[Any]:
        """Return the statement that counts."""
        return select(func.count()).select_from(self._source).where(*self._conditions)

    def select(self, columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
        """Return the statement that gives columns of entries, newest first."""
        self._join()
        return (
            select(*columns)
            .select_from(self._source)
            .where(*self._conditions)
            .order_by(self.ts_us.desc(), self.position.desc())
        )


def _has_value(table: FromClause, number: int, wanted: MetaFilter) -> ColumnElement[bool]:
    at = table.c
    each = [
        at.value == bindparam(f"value{number}_{n}")
        if is_text is None
        else (at.value == bindparam(f"value{number}_{n}"))
        & (at.is_text == bindparam(f"text{number}_{n}"))
        for n, (_, is_text) in enumerate(wanted.values)
    ]
    return or_(*each)
