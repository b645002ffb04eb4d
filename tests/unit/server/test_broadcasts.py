"""Who may join those that are written to together, and what is written to whom."""

from __future__ import annotations

from typing import Any, Self

import anyio
import pytest

from eventstore.log.events import Cursor
from eventstore.log.operations import Query
from eventstore.server import _broadcasts
from eventstore.server._broadcasts import Broadcast, Broadcasts, Form, Listener, Part

pytestmark = pytest.mark.anyio

FORM = Form(lambda _, __: b"", lambda _: b"")


class Connection:
    """What is written to it; ``full`` is where the client reads nothing."""

    full = False

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.enough = anyio.Event()

    def write_part(self, body: bytes, _chunk: bytes) -> bool:
        if not self.full:
            self.written.append(body)
        if len(self.written) == 3:
            self.enough.set()
        return not self.full


def at(position: int) -> Cursor:
    return Cursor("log", position, b"%032d" % position)


def joined(listener: int, broadcast: int) -> tuple[bool, Listener, Any]:
    connection: Any = Connection()
    one = Listener(connection, at(listener), lambda: True)
    changes: Any = None  # It is not run.
    return Broadcast(changes, at(broadcast), FORM).join(one), one, connection


@pytest.mark.parametrize(("listener", "may"), [(6, False), (7, True), (8, True)])
async def test_one_that_lacks_what_was_written_reads_it_first(listener: int, may: bool) -> None:
    assert joined(listener, 7)[0] is may


@pytest.mark.parametrize(
    ("position", "written", "after", "stays"),
    [(7, [b"8 and 9"], 9, True), (8, [], 8, False), (9, [], 9, True), (12, [], 12, True)],
)
async def test_a_part_is_written_whole_or_not_at_all(
    position: int,
    written: list[bytes],
    after: int,
    stays: bool,
) -> None:
    _, listener, connection = joined(position, 7)
    listener.write(Part(8, at(9), b"8 and 9"))
    assert (connection.written, listener.cursor) == (written, at(after))
    assert (listener.joined is not None) is stays


async def test_one_that_does_not_read_leaves_where_it_is() -> None:
    _, listener, connection = joined(7, 7)
    connection.full = True
    listener.write(Part(8, at(9), b"8 and 9"))
    assert (listener.joined, listener.cursor) == (None, at(7))


async def test_a_sign_is_written_to_all_and_says_how_far_they_are() -> None:
    for position in (7, 12):
        _, listener, connection = joined(position, 7)
        listener.write(Part(0, at(9), b": alive"))
        assert (connection.written, listener.cursor) == ([b": alive"], at(max(position, 9)))


class Reading:
    """A subscription whose one read takes until it is let go; how many were begun and cut short."""

    cursor = None

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.go = anyio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.ended += 1

    def commits(self) -> Self:
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        self.begun += 1
        await self.go.wait()
        raise OSError("the disk is broken")


async def test_signs_interrupt_no_read_and_all_learn_of_its_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_broadcasts, "HEARTBEAT", 0.001)
    changes: Any = Reading()
    _, one, connection = joined(7, 7)
    running = Broadcast(changes, at(7), Form(lambda _, __: b"", lambda _: b"alive"))
    assert running.join(one)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(running.run)
        with anyio.fail_after(60):
            await connection.enough.wait()
        changes.go.set()
    assert set(connection.written) == {b"alive"}
    assert (changes.begun, changes.ended, one.joined, one.cursor) == (1, 1, None, at(7))
    assert b"a fault of the program" in one.problem


async def test_a_log_restored_to_an_earlier_state_ends_what_was_written_together() -> None:
    opened: list[Cursor] = []

    def subscribe(_: Query, after: Cursor) -> Any:
        opened.append(after)
        return Reading()

    async with anyio.create_task_group() as tasks:
        broadcasts = Broadcasts(subscribe)
        broadcasts.start(tasks)
        _, old, _ = joined(9, 10)
        old.cursor = at(9)
        assert broadcasts.join(old, Query(), FORM)
        _, new, _ = joined(5, 7)
        assert not broadcasts.join(new, Query(), FORM)
        new.cursor = at(8)  # It may have read before the others were written to.
        new.lacked = 0
        assert not broadcasts.join(new, Query(), FORM)
        assert old.joined
        assert broadcasts.join(new, Query(), FORM)
        left: list[Any] = [old.joined, old.problem, *opened]
        assert left == [None, b"", at(9), at(8)]
        tasks.cancel_scope.cancel()
