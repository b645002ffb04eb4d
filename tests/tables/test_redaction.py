"""Redacted events and the projections that users write."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import anyio
import pytest
from sqlalchemy import (
    Connection,
    Integer,
    MetaData,
    String,
    create_engine,
    delete,
    insert,
    select,
)  # fmt: skip
from support.event_tables import event_table
from support.waiting import eventually

from eventstore import Event, EventStore, NewEvent
from projections import DirectoryProjection, ProjectionRunner, TableProjection
from projections.directory import FileChange

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

words = event_table("words", word=String, nth=Integer)


class Words(TableProjection):
    """Numbers the words as they come, so that one that goes moves all behind it."""

    name = "words"
    metadata: ClassVar[MetaData] = words.metadata

    def handle(self, connection: Connection, event: Event) -> None:
        """Note the next word."""
        assert not event.redacted
        if event.type == "Said":
            nth = len(connection.execute(select(words)).all())
            row = {"position": event.position, "word": event.data, "nth": nth}
            connection.execute(insert(words).values(row))


class Erasing(Words):
    """Leaves the other numbers alone; never computed again."""

    erased: ClassVar[list[tuple[int, str]]] = []

    def erase(self, connection: Connection, position: int, stream: str) -> None:
        """Take the word out."""
        self.erased.append((position, stream))
        connection.execute(delete(words).where(words.c.position == position))


def noted(path: Path) -> list[tuple[str, int]]:
    """Return words and numbers, in order."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        rows = connection.execute(select(words.c.word, words.c.nth).order_by(words.c.position))
        found = [(word, nth) for word, nth in rows]
    engine.dispose()
    return found


async def say(store: EventStore, *said: str) -> None:
    """Append words, one commit each."""
    for word in said:
        await store.append("a/1", [NewEvent("Said", word)])


@pytest.mark.promise("redaction")
@pytest.mark.parametrize("on_error", ["stop", "set_aside"])
async def test_an_inline_projection_is_computed_again(tmp_path: Path, on_error: str) -> None:
    path = tmp_path / "log.db"
    projection = Words(on_error="stop" if on_error == "stop" else "set_aside")
    async with EventStore.open(f"sqlite:///{path}", inline=[projection]) as store:
        await say(store, "one", "two", "three")
        for _ in range(2):
            await store.redact(1, "a request")
            assert noted(path) == [("two", 0), ("three", 1)]
        await say(store, "four")
        await store.redact(3, "a request")
        assert noted(path) == [("two", 0), ("four", 1)]


async def test_a_followed_projection_is_computed_again(tmp_path: Path) -> None:
    url, path = f"sqlite:///{tmp_path}/log.db", tmp_path / "projections.db"
    async with EventStore.open(url) as store:
        runner = ProjectionRunner(store, Words().at(f"sqlite:///{path}"))
        await say(store, "one", "two")
        await runner.catch_up()
        await store.redact(1, "a request")
        assert (await runner.catch_up()).position == 3
        assert noted(path) == [("two", 0)]
        await say(store, "three")
        await runner.catch_up()
        fresh = tmp_path / "fresh.db"
        await ProjectionRunner(store, Words().at(f"sqlite:///{fresh}")).catch_up()
        assert noted(path) == noted(fresh) == [("two", 0), ("three", 1)]


async def test_a_running_projection_is_computed_again_and_goes_on(tmp_path: Path) -> None:
    url, path = f"sqlite:///{tmp_path}/log.db", tmp_path / "projections.db"
    async with EventStore.open(url) as store:
        await say(store, "one", "two")
        projection = Words().at(f"sqlite:///{path}")
        await ProjectionRunner(store, projection).catch_up()

        async def holds(*said: str) -> bool:
            return [word for word, _ in noted(path)] == list(said)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ProjectionRunner(store, projection).run)
            await say(store, "three")
            await eventually(lambda: holds("one", "two", "three"))
            await store.redact(2, "a request")
            await say(store, "four")
            await eventually(lambda: holds("one", "three", "four"))
            tasks.cancel_scope.cancel()


async def test_a_projection_that_can_erase_is_asked_once(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    Erasing.erased.clear()
    async with EventStore.open(f"sqlite:///{path}", inline=[Erasing()]) as store:
        await say(store, "one", "two", "three")
        await store.redact(2, "a request")
        await store.redact(2, "a request")
        assert Erasing.erased == [(2, "a/1")]
        assert noted(path) == [("one", 0), ("three", 2)]
        await ProjectionRunner(store, Erasing().at(f"sqlite:///{path}")).rebuild()
        assert Erasing.erased == [(2, "a/1")]


async def test_a_projection_may_ask_for_redacted_events(tmp_path: Path) -> None:
    class Counting(Words):
        takes_redacted = True
        seen: ClassVar[list[bool]] = []

        def handle(self, connection: Connection, event: Event) -> None:
            self.seen.append(event.redacted)

    async with EventStore.open(f"sqlite:///{tmp_path}/log.db") as store:
        await say(store, "one", "two")
        await store.redact(1, "a request")
        await ProjectionRunner(store, Counting().at(f"sqlite:///{tmp_path}/v.db")).catch_up()
    assert Counting.seen == [True, False, False]


async def test_what_was_set_aside_is_forgotten_too(tmp_path: Path) -> None:
    class Failing(Erasing):
        def handle(self, connection: Connection, event: Event) -> None:
            if event.type == "Said":
                raise ValueError(event.data)

    path = tmp_path / "log.db"
    projection = Failing(on_error="set_aside")
    async with EventStore.open(f"sqlite:///{path}", inline=[projection]) as store:
        await say(store, "secret")
        await store.redact(1, "a request")
    assert b"secret" not in await anyio.Path(path).read_bytes()


async def test_files_under_keys_of_ones_own_are_computed_again(tmp_path: Path) -> None:
    def by_name(event: Event) -> FileChange | None:
        if event.type != "Put" or event.redacted:
            return None
        return FileChange(event.data["name"], event.data["name"], event.data["text"].encode())

    async with EventStore.open("memory://") as store:
        runner = ProjectionRunner(store, DirectoryProjection(tmp_path / "live", files=by_name))
        for text in ("old", "new"):
            await store.append("a/1", [NewEvent("Put", {"name": "x", "text": text})])
        await runner.catch_up()
        await store.redact(2, "a request")
        await runner.catch_up()
        assert (tmp_path / "live" / "x").read_text() == "old"
