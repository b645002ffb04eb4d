"""What is refused of a projection before a database is opened, and in which words."""

from __future__ import annotations

from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Column, Index, Integer, MetaData, String, Table
from support.totals import Totals

from eventstore import ConfigError, EventStore
from eventstore.errors import ProjectionTableError
from projections import ProjectionRunner, TableProjection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

SQLITE, POSTGRES = "sqlite:///none/events.db", "postgresql://localhost/none"


def tables(*names: str, schema: str | None = None) -> MetaData:
    """Return tables of these names."""
    metadata = MetaData(schema=schema)
    for name in names:
        Table(name, metadata, Column("key", String, primary_key=True))
    return metadata


class View(TableProjection):
    """A projection of one table."""

    name = "view"
    metadata = tables("viewed")

    def handle(self, connection: Any, event: Any) -> None:
        """Do nothing."""


def changed(**attributes: Any) -> TableProjection:
    """Return a projection with other attributes."""
    made: type[TableProjection] = type("Changed", (View,), attributes)
    return made()


def generator(*_: object) -> Iterator[None]:
    """Do nothing, when asked."""
    yield


async def asynchronous_generator(*_: object) -> AsyncIterator[None]:
    """Do nothing, when asked later."""
    yield


class CallableObject:
    async def __call__(self, connection: Any, event: Any) -> None:
        """Do nothing, later."""


async def coroutine(*_: object) -> None:
    """Do nothing, later."""


REFUSED: dict[str, Callable[[], Any]] = {
    "is a class": lambda: View,
    "is no such projection": object,
    "has no name": lambda: changed(name=None),
    "not empty": lambda: changed(name=""),
    "control character": lambda: changed(name="a\nb"),
    "limit of 255": lambda: changed(name="x" * 256),
    "must be a text": lambda: changed(name=7),
    "version True": lambda: changed(version=True),
    "version 0": lambda: changed(version=0),
    "version -1": lambda: changed(version=-1),
    "version '1'": lambda: changed(version="1"),
    "version 1.0": lambda: changed(version=1.0),
    "version 2147483648": lambda: changed(version=2**31),
    "version None": lambda: changed(version=None),
    "has no metadata": lambda: changed(metadata=None),
    "an SQLAlchemy MetaData": lambda: changed(metadata=tables("a").tables["a"]),
    "no on_error": lambda: changed(__init__=lambda self: None),
    "is async def": lambda: changed(handle=coroutine),
    "is a generator": lambda: changed(handle=generator),
    "is an asynchronous generator": lambda: changed(handle=asynchronous_generator),
    "does nothing with events": lambda: changed(handle=TableProjection.handle),
    "handle_group is async def": lambda: changed(handle_group=coroutine),
    "erase is async def": lambda: changed(erase=coroutine),
    "group is async def": lambda: changed(group=staticmethod(partial(coroutine, 1))),
    "handle is async def": lambda: changed(handle=CallableObject()),
    "'consumer' of projection 'view' has a name that the log's": lambda: changed(
        metadata=tables("consumer")
    ),
    "'EVENT' of projection 'view' has a name that the log's": lambda: changed(
        metadata=tables("EVENT")
    ),
    "'projection' of": lambda: changed(metadata=tables("own", "projection")),
    "'sqlite_stat1' of": lambda: changed(metadata=tables("sqlite_stat1")),
    "'head' of": lambda: changed(metadata=tables("head", schema="other")),
    "names the schema 'other'": lambda: changed(metadata=tables("a", schema="other")),
    "in case only": lambda: changed(metadata=tables("Word", "word")),
    "no characters": lambda: changed(metadata=tables("a\0b")),
    "has no columns": lambda: changed(metadata=Table("bare", MetaData()).metadata),
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_projection_that_cannot_be_used_is_refused_before_anything_is_opened(
    message: str,
) -> None:
    for url in (SQLITE, POSTGRES):
        with pytest.raises(ConfigError) as caught:
            EventStore.open(url, inline=[REFUSED[message]()])
        assert message in str(caught.value)


@pytest.mark.parametrize("message", [word for word in REFUSED if "class" not in word][1:])
def test_a_followed_projection_is_refused_in_the_same_words(message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ProjectionRunner(EventStore.open(SQLITE), REFUSED[message]().at("sqlite:///none/a.db"))
    assert message in str(caught.value)


@pytest.mark.parametrize("given", [View, View(), object(), 7])
def test_a_runner_is_given_a_projection_with_a_database(given: Any) -> None:
    with pytest.raises(ConfigError):
        ProjectionRunner(EventStore.open(SQLITE), given)


@pytest.mark.parametrize("inline", [View(), "view", 7, None])
def test_inline_is_a_list(inline: Any) -> None:
    with pytest.raises(ConfigError, match=r"inline=\["):
        EventStore.open(SQLITE, inline=inline)


def test_two_projections_have_neither_a_name_nor_a_table_in_common() -> None:
    with pytest.raises(ConfigError, match="two inline projections are named 'view'"):
        EventStore.open(SQLITE, inline=[View(), changed(metadata=tables("other"))])
    with pytest.raises(ProjectionTableError, match="is one of projection 'view' too"):
        EventStore.open(SQLITE, inline=[View(), changed(name="second", metadata=tables("VIEWED"))])
    EventStore.open(SQLITE, inline=[View(), changed(name="second", metadata=tables("other"))])


LONG = "t" * 64


@pytest.mark.parametrize(
    "metadata",
    [
        tables(LONG),
        tables("ü" * 32),
        Table("t", MetaData(), Column(LONG, Integer, primary_key=True)).metadata,
        Table("t", MetaData(), Column("a", Integer), Index("i" * 64, "a")).metadata,
    ],
    ids=["table", "bytes", "column", "index"],
)
def test_a_name_that_postgresql_would_cut_is_refused_there(metadata: MetaData) -> None:
    with pytest.raises(ProjectionTableError, match="64 bytes"):
        EventStore.open(POSTGRES, inline=[changed(metadata=metadata)])
    with pytest.raises(ProjectionTableError, match="64 bytes"):
        ProjectionRunner(EventStore.open(SQLITE), changed(metadata=metadata).at(POSTGRES))
    EventStore.open(SQLITE, inline=[changed(metadata=metadata)])


def test_a_name_of_63_bytes_is_taken_everywhere() -> None:
    EventStore.open(POSTGRES, inline=[changed(metadata=tables("t" * 63))])


def test_a_plain_function_that_runs_an_asynchronous_one_is_taken() -> None:
    @wraps(coroutine)
    def run(*_: object) -> None:
        """Stand for a wrapper that runs the function to its end."""

    EventStore.open(SQLITE, inline=[changed(handle=run)])


@pytest.mark.parametrize("given", ["later", "", None, 1])
def test_what_to_do_about_newer_views_is_one_of_two_words(given: Any) -> None:
    with pytest.raises(ConfigError, match="'skip' or 'refuse'"):
        EventStore.open(SQLITE, inline=[Totals()], on_newer_view=given)
