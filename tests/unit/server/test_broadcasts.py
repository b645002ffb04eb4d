"""Who may join those that are written to together, and what is written to whom."""

from __future__ import annotations

from typing import Any

import pytest

from eventstore.log.events import Cursor
from eventstore.server._broadcasts import Broadcast, Form, Listener, Part

pytestmark = pytest.mark.anyio

FORM = Form(lambda _, __: b"", lambda _: b"")


class Connection:
    """What is written to it; ``full`` is where the client reads nothing."""

    full = False

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write_part(self, body: bytes, _chunk: bytes) -> bool:
        if not self.full:
            self.written.append(body)
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
