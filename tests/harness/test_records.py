"""The check of what followers received can fail: each kind of damage is found, and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import pytest
from support.postgres import shared_server
from support.records import FAULTS, Log, check_all

from eventstore import EventStore, NewEvent, StreamWrite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WISHES: Final = ("plain", "category a/", "shard 1 3", "consumer w")


async def fill(url: str) -> None:
    """Make a log of 30 events, and a consumer that has seen them."""
    async with EventStore.open(url, notify="none") as store:
        for number in range(10):
            one, two, three = (NewEvent("T", part, id=f"{number}-{part}") for part in range(3))
            writes = [StreamWrite(f"a/{number}", [one, two]), StreamWrite("b/1", [three])]
            await store.append_many(writes)
        async with store.subscribe_changes(consumer="w") as subscription:
            async for _ in subscription:
                if subscription.position == 30:
                    await subscription.ack()
                    break


async def append_one(url: str) -> None:
    async with EventStore.open(url, notify="none") as store:
        await store.append("c/1", [NewEvent("T", 0, id="one")])


@pytest.fixture(scope="module")
def log() -> str:
    """Name a log that no test changes."""
    url = shared_server().fresh_schema()
    anyio.run(fill, url)
    return url


@pytest.fixture
def url(log: str, tmp_path: Path) -> str:
    """Name that log, and write down honestly what four followers got of it."""
    stored = Log(log)
    for wish in WISHES:
        lines = [f"follow {wish}"]
        for event in stored.wanted(wish.split()):
            lines.append(f"event {event.position} {event.id} {event.hash} 1.0")
            if wish.startswith("consumer") and event.position == event.commit:
                lines.append(f"commit {event.commit} {event.hash} 3")
        tmp_path.joinpath(f"{wish.split()[0]}.record").write_text("\n".join(lines) + "\n")
    return log


def damage(path: Path, change: Callable[[list[str]], None]) -> None:
    lines = path.read_text().splitlines()
    change(lines)
    path.write_text("\n".join(lines) + "\n")


def drop(lines: list[str]) -> None:
    del lines[5]


def drop_the_last(lines: list[str]) -> None:
    del lines[-1]


def swap(lines: list[str]) -> None:
    lines[5], lines[6] = lines[6], lines[5]


def repeat(lines: list[str]) -> None:
    lines.insert(6, lines[5])


def repeat_later(lines: list[str]) -> None:
    lines.insert(9, lines[5])


def change_the_id(lines: list[str]) -> None:
    lines[5] = lines[5].replace("-", "--")


def change_the_hash(lines: list[str]) -> None:
    lines[5] = lines[5][:-6] + "zz 1.0"


def test_an_honest_record_has_no_faults(url: str, tmp_path: Path) -> None:
    found = check_all(url, tmp_path)
    assert {name: found[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0)
    assert (found["followers"], found["events"], found["diverged"]) == (4, 30, 0)
    assert found["records"] > 80


@pytest.mark.promise("subscription")
@pytest.mark.parametrize("kind", ["plain", "category", "shard"])
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (drop, "missed"),
        (drop_the_last, "missed"),
        (swap, "disordered"),
        (repeat, "repeated"),
        (repeat_later, "repeated"),
        (change_the_id, "false"),
        (change_the_hash, "false"),
    ],
)
def test_each_damage_is_counted_once(
    url: str, tmp_path: Path, kind: str, change: Callable[[list[str]], None], fault: str
) -> None:
    damage(tmp_path / f"{kind}.record", change)
    found = check_all(url, tmp_path)
    assert {name: found[name] for name in FAULTS if found[name]} == {fault: 1}


def test_a_commit_that_is_torn_is_found(url: str, tmp_path: Path) -> None:
    damage(tmp_path / "consumer.record", lambda lines: lines.insert(3, "commit 2 00 2"))
    assert check_all(url, tmp_path)["torn"] > 0


def test_a_consumer_whose_cursor_was_not_stored_is_found(url: str, tmp_path: Path) -> None:
    longer = shared_server().fresh_schema()
    anyio.run(fill, longer)
    anyio.run(append_one, longer)
    assert check_all(longer, tmp_path)["behind"] == 1


def test_followers_of_a_lost_history_must_have_been_told_and_rightly(
    url: str, tmp_path: Path
) -> None:
    other = shared_server().fresh_schema()
    anyio.run(fill, other)
    damage(tmp_path / "plain.record", lambda lines: lines.append("diverged 30 1.0"))
    found = check_all(other, tmp_path, url)
    assert (found["diverged"], found["alarmed"]) == (1, 0)
    # Those that go on as if nothing had happened have what the log has not.
    assert found["false"] > 0
    found = check_all(url, tmp_path, url)
    assert found["alarmed"] == 1
