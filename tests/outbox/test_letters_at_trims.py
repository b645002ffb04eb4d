"""Dead letters before and after trims: the list, and another try, stay the same."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.logs import some
from support.receivers import Receiver

from eventstore import Event, EventStore
from eventstore.outbox import Outbox, UndeliverableError, read_dead_letters
from eventstore.outbox.letters import Letters
from eventstore.outbox.trim_policy import keep_letters
from eventstore.store.status import describe_consumer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

at_once = partial(Outbox, first_pause=0.0, longest_pause=0.0, attempts=1)


class Model:
    """What an operator expects of two outboxes: it knows deliveries, and nothing of the log."""

    def __init__(self, store: EventStore, random: Random) -> None:
        self.store, self.random = store, random
        self.receivers = {name: Receiver() for name in ("o", "~outbox/p")}
        self.outboxes = {
            name: at_once(store, name, receiver, streams="a/")
            for name, receiver in self.receivers.items()
        }
        self.sent: dict[int, tuple[str, Any]] = {}
        self.dead: dict[str, dict[int, tuple[str, bool]]] = {name: {} for name in self.outboxes}
        self.tried = dict.fromkeys(self.outboxes, 0)

    async def append(self) -> None:
        """Append to a stream, and to one that no outbox delivers."""
        number = len(self.sent)
        done = await self.store.append(f"a/{number % 3}", some(1))
        self.sent[done.position] = (f"a/{number % 3}", 0)
        await self.store.append("b/1", some(1))

    async def run(self, name: str) -> None:
        """Deliver to the head; some events fail now, also those that are tried again."""
        receiver, dead = self.receivers[name], self.dead[name]
        new = [at for at in self.sent if at > self.tried[name]]
        again = [at for at, (_, retrying) in dead.items() if retrying]
        reason = f"reason {self.random.random()}"
        bad = {at for at in [*new, *again] if self.random.random() < 0.5}
        receiver.failing = dict.fromkeys(bad, UndeliverableError(reason))
        receiver.received = []
        await self.outboxes[name].run(follow=False)
        assert sorted(receiver.received) == sorted({*new, *again} - bad)
        for at in again:
            dead.pop(at)
        dead.update(dict.fromkeys(bad, (reason, False)))
        self.tried[name] = max(self.sent, default=0)

    async def ask(self, name: str, *, drop: bool) -> None:
        """Ask for another try of some letters, or drop them."""
        dead = self.dead[name]
        some_of_them = [at for at in dead if self.random.random() < 0.5]
        if not some_of_them:
            return
        outbox = self.outboxes[name]
        await (outbox.drop if drop else outbox.retry)(*some_of_them)
        for at in some_of_them:
            reason, _ = dead.pop(at)
            if not drop:
                dead[at] = (reason, True)

    async def check(self) -> None:
        """Compare the lists with what is expected."""
        for name, dead in self.dead.items():
            found = await read_dead_letters(self.store, name)
            assert {one.position: (one.reason, one.retrying) for one in found} == dead
            assert all(one.stream == self.sent[one.position][0] for one in found)


async def reached(store: EventStore) -> int:
    """Return the position up to which a trim is held up by no outbox."""
    return min(state.cursor.position for state in await store.consumers())


async def rejections(store: EventStore) -> list[tuple[int, Any]]:
    head = await store.head()
    told = [
        await describe_consumer(store.feed.log, one, head, store.clock())
        for one in await store.consumers()
    ]
    return [(one["rejections"], one["last_rejection"]) for one in told]


@pytest.mark.anyio
@pytest.mark.promise("moving")
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(one, marks=pytest.mark.slow) for one in (1, 2))]
)
async def test_letters_are_listed_and_tried_again_as_if_nothing_had_been_trimmed(
    store: EventStore, tmp_path: Path, seed: int
) -> None:
    model = Model(store, random := Random(seed))
    for name in model.outboxes:
        await model.run(name)
    for number in range(4):
        for _ in range(random.randrange(5)):
            await model.append()
        for name in model.outboxes:
            await model.run(name)
            await model.ask(name, drop=random.random() < 0.4)
        told, head = await rejections(store), await store.head()
        before = random.randint(head.first_position, await reached(store) + 1)
        await store.trim(before, archive=tmp_path / f"{number}")
        await model.check()
        assert await rejections(store) == told
    for outbox in model.outboxes.values():
        await outbox.drop()
        assert await outbox.dead_letters() == []
    await store.trim(await reached(store) + 1, archive=tmp_path / "last")
    first = (await store.head()).first_position
    kept = [one async for one in store.read(until=first - 1, streams="a/", kept=True)]
    assert kept == [], "what was delivered or dropped is not kept"


positions = st.integers(1, 4)
records: st.SearchStrategy[tuple[str, Any]] = st.one_of(
    st.tuples(st.just("ChangeRejected"), st.fixed_dictionaries(
        {"position": positions, "stream": st.just("a/1"), "reason": st.text("xy", max_size=2)})),
    st.tuples(st.sampled_from(["RetryRequested", "LettersDropped"]),
              st.fixed_dictionaries({"positions": st.lists(positions, max_size=2)})),
    st.tuples(st.sampled_from(["DeliveryFailed", "LetterDelivered"]),
              st.fixed_dictionaries({"position": positions, "reason": st.just("again")})),
    st.tuples(st.just("Other"), st.just({})),
)  # fmt: skip
STREAMS = ("consumer/o", "consumer/~outbox/o", "consumer/p", "consumer/~outbox/p", "a/1")


def make_events(found: Sequence[tuple[str, tuple[str, Any]]]) -> list[Event]:
    return [
        Event(at, stream, at, type_, at, b"%d" % at, 0, msgspec.json.encode(data), b"", at, b"")
        for at, (stream, (type_, data)) in enumerate(found, 5)
    ]


def letters(events: Sequence[Event]) -> list[Any]:
    found = []
    for stream in ("consumer/o", "consumer/p"):
        fold = Letters(stream)
        for event in events:
            fold.apply(event)
        found.append(fold.dead)
    return found


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STREAMS), records), max_size=20), st.data())
def test_what_is_kept_gives_the_same_letters(found: Any, data: st.DataObject) -> None:
    events = make_events(found)
    first = data.draw(st.integers(0, len(events)))
    second = data.draw(st.integers(first, len(events)))
    wanted = set(keep_letters(events))
    stays = [one for one in events[:first] if one.position in wanted] + events[first:]
    assert letters(stays) == letters(events)
    # A later trim sees what the first one has kept, and the rest of the log.
    again = set(keep_letters(stays))
    end = events[second - 1].position if second else 0
    stays = [one for one in stays if one.position > end or one.position in again]
    assert letters(stays) == letters(events)
    assert {at for dead in letters(events) for at in dead} <= wanted
