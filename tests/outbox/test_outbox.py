"""Deliveries: each event until it has arrived, in the order of its stream, or a dead letter."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import pytest
from support.logs import some
from support.receivers import Receiver
from support.waiting import eventually, until

from eventstore import (
    ConfigError,
    Event,
    EventStore,
    HistoryGoneError,
    InvalidInputError,
    TakenOverError,
    UnknownConsumerError,
)
from eventstore.archive import trim
from eventstore.archive.keepers import Needs
from eventstore.outbox import Outbox, RetryLaterError, UndeliverableError, read_dead_letters
from eventstore.outbox.letters import Letters

pytestmark = pytest.mark.anyio

at_once = partial(Outbox, first_pause=0.0, longest_pause=0.0)


async def test_every_event_arrives_once_and_in_the_order_of_its_stream(store: EventStore) -> None:
    for number in range(12):
        await store.append(f"a/{number % 3}", some(1))
    receiver = Receiver()
    receiver.failing[2] = RuntimeError("not now")
    slow = anyio.Event()

    async def deliver(event: Event) -> None:
        if event.position == 1:
            await slow.wait()
        if receiver.attempts.count(2) == 4:
            receiver.failing.clear()
        await receiver(event)
        if len(receiver.received) == 8:
            slow.set()

    await at_once(store, "o", deliver).run(follow=False)

    assert sorted(receiver.received) == list(range(1, 13))
    for stream in range(3):
        own = [one for one in receiver.received if one % 3 == stream]
        assert own == sorted(own)
    assert receiver.received[-4:] == [1, 4, 7, 10]
    assert [state.cursor.position for state in await store.consumers()] == [12]


async def test_what_is_given_up_is_listed_and_can_be_tried_again(store: EventStore) -> None:
    await store.append("a/1", some(3))
    receiver = Receiver()
    receiver.failing[2] = RuntimeError("refused by https://me:PASSWORD@there.example/x")
    outbox = at_once(store, "o", receiver, attempts=3)
    await outbox.run(follow=False)

    assert receiver.attempts == [1, 2, 2, 2, 3]
    (letter,) = await outbox.dead_letters()
    assert (letter.position, letter.stream, letter.retrying) == (2, "a/1", False)
    assert letter.reason.startswith("after 3 attempts: refused by")
    assert "PASSWORD" not in letter.reason

    with pytest.raises(InvalidInputError, match=r"position 3: .*no dead letter"):
        await outbox.retry(3)
    receiver.failing[2] = RuntimeError("still")
    await outbox.retry()
    assert [letter.retrying for letter in await outbox.dead_letters()] == [True]
    await outbox.run(follow=False)
    assert [letter.reason for letter in await outbox.dead_letters()] == ["after 3 attempts: still"]

    receiver.failing.clear()
    await outbox.retry(2)
    await outbox.run(follow=False)
    assert receiver.received == [1, 3, 2]
    assert await outbox.dead_letters() == []
    assert await outbox.retry() == []


async def test_a_running_outbox_takes_requests_of_others_at_once(store: EventStore) -> None:
    await store.append("a/1", some(1))
    receiver = Receiver()
    receiver.failing[1] = UndeliverableError("unknown here")
    outbox = at_once(store, "o", receiver)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run)

        async def given_up() -> bool:
            names = [state.name for state in await store.consumers()]
            return "o" in names and bool(await read_dead_letters(store, "o"))

        await eventually(given_up)
        assert receiver.attempts == [1]
        receiver.failing.clear()
        await at_once(store, "o", receiver).retry(by="operator")
        await until(lambda: receiver.received == [1])

        async def empty() -> bool:
            return not await read_dead_letters(store, "o")

        await eventually(empty)
        tasks.cancel_scope.cancel()


async def test_pauses_double_and_a_receiver_can_ask_for_longer_ones(store: EventStore) -> None:
    await store.append("a/1", some(1))
    receiver, pauses = Receiver(), list[float]()
    receiver.failing[1] = RetryLaterError(70.0, "busy")

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 5:
            receiver.failing[1] = RuntimeError("broken")

    await Outbox(store, "o", receiver, sleep=sleep, first_pause=1.0, longest_pause=60.0).run(
        follow=False
    )

    assert pauses[:5] == [70.0] * 5
    assert len(pauses) == 11
    assert all(pause <= 60.0 for pause in pauses[5:])


async def test_an_attempt_that_takes_too_long_has_failed(store: EventStore) -> None:
    await store.append("a/1", some(1))

    async def deliver(_: Event) -> None:
        await anyio.sleep_forever()

    outbox = at_once(store, "o", deliver, attempts=2, timeout=0.01)
    await outbox.run(follow=False)
    (letter,) = await outbox.dead_letters()
    assert letter.reason == "after 2 attempts: TimeoutError"


async def test_what_was_not_acknowledged_comes_again(store: EventStore) -> None:
    await store.append("a/1", some(1))
    await store.append("b/1", some(2))
    receiver, stuck = Receiver(), anyio.Event()

    async def deliver(event: Event) -> None:
        if event.position == 1:
            stuck.set()
            await anyio.sleep_forever()
        await receiver(event)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(at_once(store, "o", deliver).run)
        await until(lambda: receiver.received == [2, 3])
        await stuck.wait()
        tasks.cancel_scope.cancel()

    await at_once(store, "o", receiver).run(follow=False)
    assert receiver.received == [2, 3, 1, 2, 3]


async def test_the_newest_runner_takes_over(store: EventStore) -> None:
    receiver = Receiver()
    async with anyio.create_task_group() as tasks:
        ended: list[Exception] = []

        async def first() -> None:
            try:
                await at_once(store, "o", receiver).run()
            except TakenOverError as error:
                ended.append(error)

        async def known() -> bool:
            return bool(await store.consumers())

        tasks.start_soon(first)
        await eventually(known)
        await store.append("a/1", some(1))
        await until(lambda: receiver.received == [1])
        await at_once(store, "o", receiver).run(follow=False)
        await until(lambda: ended)


async def test_an_outbox_of_everything_delivers_none_of_its_own_records(store: EventStore) -> None:
    await store.append("a/1", some(1))
    receiver = Receiver()
    receiver.failing[1] = UndeliverableError("no")
    outbox = at_once(store, "o", receiver)
    for _ in range(3):
        await outbox.run(follow=False)
        await outbox.retry()
    assert set(receiver.attempts) == {1}


async def test_a_dead_letter_whose_event_was_trimmed_says_so(
    store: EventStore, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a version has done it that kept nothing for dead letters."""
    monkeypatch.setattr(trim, "read_needs", lambda _: Needs([], frozenset(), ()))
    await store.append("a/1", some(1))
    receiver = Receiver()
    receiver.failing[1] = UndeliverableError("no")
    outbox = at_once(store, "o", receiver)
    await outbox.run(follow=False)
    await store.trim(2, archive=tmp_path / "archive")
    await outbox.retry()
    await outbox.run(follow=False)
    (letter,) = await outbox.dead_letters()
    assert letter.reason == "the event was trimmed"


async def test_events_that_were_trimmed_before_they_were_delivered_end_the_run(
    store: EventStore, tmp_path: Any
) -> None:
    for _ in range(3):
        await store.append("a/1", some(1))
    outbox = at_once(store, "o", Receiver(), after=0)
    await outbox.run(follow=False)
    await store.rewind_consumer("o", to=0)
    await store.trim(3, archive=tmp_path / "archive", force=True)
    with pytest.raises(HistoryGoneError):
        await outbox.run(follow=False)


async def test_what_cannot_deliver_is_refused(store: EventStore) -> None:
    await store.append("a/1", some(1))
    not_callable: Any = "https://hooks.example"
    with pytest.raises(ConfigError, match="async function"):
        Outbox(store, "o", not_callable)
    plain: Any = lambda _: None  # noqa: E731
    with pytest.raises(ConfigError, match="async function"):
        await Outbox(store, "o", plain).run(follow=False)
    for wrong in ({"attempts": 0}, {"concurrency": True}, {"timeout": 0}, {"first_pause": -1}):
        with pytest.raises(InvalidInputError):
            Outbox(store, "o", Receiver(), **wrong)
    with pytest.raises(UnknownConsumerError):
        await read_dead_letters(store, "another")


async def test_records_of_another_shape_are_passed_over(store: EventStore) -> None:
    """As an import from elsewhere may bring them."""
    await store.append("a/1", some(1))
    letters = Letters("consumer/o")
    async for event in store.read():
        for type_ in ("ChangeRejected", "RetryRequested", "LetterDelivered", "DeliveryFailed"):
            for data in (b"null", b'{"position":"x"}', b'{"positions":[1]}', b"[]"):
                letters.apply(
                    Event(
                        position=event.position,
                        stream="consumer/o",
                        version=1,
                        type=type_,
                        commit=event.commit,
                        raw_id=event.raw_id,
                        content=event.content,
                        raw_data=data,
                        raw_metadata=None,
                        recorded_us=event.recorded_us,
                        hash=event.hash,
                    )
                )
    assert letters.dead == {}
