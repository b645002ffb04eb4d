"""A flood of forged messages: none is delivered, none is fatal, and the cost is bounded.

The follower is a process of its own that only reaches the log and the server; the flood goes
to the very channel that it listens on.
"""

from __future__ import annotations

import hmac
import random
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
import msgspec
import pytest
from support.logs import LASTING, LOG_URLS
from support.processes import child, lines, wait_for
from support.redis import private_redis
from support.waiting import DEADLINE

from eventstore import Cursor, EventStore, NewEvent
from eventstore.log.operations import CommitBatch
from eventstore.notify._redis import channel
from eventstore.notify._signed_messages import MAX_MESSAGE_BYTES, Signer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from support.redis import RedisServer

    from eventstore import Event

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

KEY: Final = "the key that the fleet shares"
PIPELINE: Final = 100
Forge: TypeAlias = "Callable[[random.Random], bytes]"


def forgeries(log_id: str, real: Sequence[bytes], lost: Sequence[bytes]) -> dict[str, Forge]:
    """Return ways to make messages: of real ones, and of those of a lost branch of the log."""
    stranger, insider = Signer([b"a key of somebody else"]), Signer([KEY.encode()])
    kept = {one: Signer([KEY.encode()]).encode("another log", one, None) for one in (1, 10**6)}
    large = b"\x01" + b"x" * (4 * MAX_MESSAGE_BYTES)

    def altered(chance: random.Random) -> bytes:
        message = bytearray(chance.choice(real))
        message[chance.randrange(len(message))] ^= 1 + chance.randrange(255)
        return bytes(message)

    def cut(chance: random.Random) -> bytes:
        message = chance.choice(real)
        return message[: chance.randrange(len(message))] + chance.randbytes(chance.randrange(3))

    def signed(body: object) -> bytes:
        raw = msgspec.msgpack.encode(body)
        return b"\x01" + hmac.digest(KEY.encode(), raw, "sha256") + raw

    bodies: tuple[object, ...] = (
        None, [], [log_id], {"a": 1}, [log_id, b"", "x", 1, 1, 1, 1],
        [log_id, b"", 2**64 - 1, -1, 2**64 - 1, b"", []],
    )  # fmt: skip
    wrong = [signed(body) for body in bodies]
    huge = [-1, 0, 10**6, 2**63, 2**64, 10**19, 10**30]
    return {
        "invented": lambda chance: b"\x01" + chance.randbytes(chance.randrange(200)),
        "numbers": lambda chance: b"%d" % chance.choice(huge),
        "replayed": lambda chance: chance.choice(real),
        "altered": altered,
        "cut": cut,
        "stranger": lambda chance: stranger.encode(log_id, chance.randrange(10**6), None),
        "another log": lambda chance: kept[chance.choice([1, 10**6])],
        "another log, fresh": lambda chance: insider.encode(
            "another log", chance.randrange(99), None
        ),
        "lost branch": lambda chance: chance.choice(lost),
        "malformed": lambda chance: chance.choice(wrong),
        "oversized": lambda chance: large if chance.random() < 0.001 else b"\x01",
    }


def lost_branch(log_id: str, events: Sequence[Event], count: int) -> list[bytes]:
    """Return signed messages, not yet sent, of a copy of the log that grew differently."""
    signer, found = Signer([KEY.encode()]), []
    for number in range(count):
        last = events[-1].position + number % 50
        told = CommitBatch(
            Cursor(log_id, last, random.Random(number).randbytes(32)),
            (msgspec.structs.replace(events[-1], position=last + 1, commit=last + 1),),
        )
        found.append(signer.encode(log_id, last + 1, told))
    return found


class Spy:
    """Hears what is really sent on a channel."""

    def __init__(self, server: RedisServer, name: str) -> None:
        self._client = server.client()
        listen: Any = self._client.pubsub
        self._heard = listen(ignore_subscribe_messages=True)
        self._heard.subscribe(name)
        self._heard.get_message(timeout=1)

    def messages(self, count: int) -> list[bytes]:
        found: list[bytes] = []
        deadline = time.monotonic() + DEADLINE
        while len(found) < count and time.monotonic() < deadline:
            if message := self._heard.get_message(timeout=1):
                found.append(bytes(message["data"]))
        self._heard.close()
        self._client.close()
        return found


class Flood(threading.Thread):
    """Publishes forgeries, at most ``rate`` in a second, until it is told to stop or has enough."""

    def __init__(
        self, server: RedisServer, name: str, ways: dict[str, Forge], count: int, rate: float
    ) -> None:
        super().__init__(daemon=True)
        self._server, self._name, self._ways = server, name, ways
        self._count, self._rate = count, rate
        self.sent = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        chance, began = random.Random(11), time.monotonic()
        names = list(self._ways)
        with self._server.client() as client:
            while self.sent < self._count and not self.stopped.is_set():
                pipeline = client.pipeline(transaction=False)
                for number in range(PIPELINE):
                    pipeline.publish(self._name, self._ways[names[number % len(names)]](chance))
                pipeline.execute()
                self.sent += PIPELINE
                self.stopped.wait(max(0.0, self.sent / self._rate - (time.monotonic() - began)))


def resident(pid: int) -> float:
    """Return a process's memory in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


async def append_timed(
    store: EventStore, heard: Iterator[str], ids: list[str], count: int, busy: Callable[[], bool]
) -> list[float]:
    """Append ``count`` events, or as long as it is busy; return each one's way in ms."""
    taken: list[float] = []
    while len(taken) < count or busy():
        event = NewEvent("T", len(ids))
        done = await store.append("a/1", [event])
        returned = time.monotonic()
        ids.append(event.id)
        word, position, id_, at = next(heard).split()
        assert (word, int(position), id_) == ("got", done.position, event.id)
        assert done.position == len(ids)
        taken.append((float(at) - returned) * 1e3)
        await anyio.sleep(0.02)
    return sorted(taken)


def tell(title: str, taken: Sequence[float]) -> None:
    print(
        f"{title}: p50 {taken[len(taken) // 2]:.1f} ms, p99 {taken[int(len(taken) * 0.99)]:.1f}, "
        f"worst {taken[-1]:.1f} of {len(taken)}"
    )


async def flooded(
    url: str, keys: list[str], count: int, rate: float
) -> tuple[dict[str, int], int, float, int]:
    """Flood a follower; return its counters, looks at the log, seconds, and the commits."""
    with private_redis() as server:
        async with EventStore.open(url, notify=server.url, notify_keys=keys) as store:
            log_id = (await store.head()).log_id
            spy = Spy(server, channel(log_id))
            with child("reporting_follower", url, server.url, *keys) as process:
                wait_for(process, "ready")
                heard, ids = lines(process), list[str]()
                tell("without a flood", await append_timed(store, heard, ids, 50, lambda: False))
                real = spy.messages(50)
                events = [event async for event in store.read()]
                ways = forgeries(log_id, real, lost_branch(log_id, events, 200))
                if not keys:
                    ways = {"numbers": lambda _: b"%d" % 10**19}
                flood = Flood(server, channel(log_id), ways, count, rate)
                before, began = resident(process.pid), time.monotonic()
                flood.start()
                during = await append_timed(store, heard, ids, 20, flood.is_alive)
                seconds = time.monotonic() - began
                tell(f"{flood.sent:,} messages in {seconds:.0f} s", during)
                report = await store.append("a/1", [NewEvent("Report", 0)])
                assert next(heard).split()[1] == str(report.position)
                looks = int(next(heard).split()[1])
                facts = msgspec.json.decode(next(heard).partition(" ")[2])
                print(
                    f"looks {looks}, memory {before:.0f} → {resident(process.pid):.0f} MB, {facts}"
                )
                assert resident(process.pid) < before + 60
        return facts, looks, seconds, len(ids)


SIZES = [
    3_300,
    pytest.param(1_000_000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
]


@pytest.mark.promise("slow-follower")
@pytest.mark.parametrize("kind", LASTING)
@pytest.mark.parametrize("count", SIZES)
async def test_no_forged_message_is_delivered_or_fatal(
    tmp_path: Path, kind: str, count: int
) -> None:
    facts, *_ = await flooded(LOG_URLS[kind](tmp_path), [KEY], count, 20_000)
    # What is replayed is stale by then on a slow machine.
    replayed = facts.get("messages_replayed", 0) + facts.get("messages_stale", 0)
    assert replayed > 0
    for reason in ("unsigned", "forged", "foreign", "malformed"):
        assert facts[f"messages_{reason}"] > 0, reason
    assert facts["messages_news"] >= 70


@pytest.mark.promise("slow-follower")
@pytest.mark.parametrize("kind", LASTING)
@pytest.mark.parametrize("count", [5_000, *SIZES[1:]])
async def test_without_a_key_a_flood_of_hints_costs_few_looks(
    tmp_path: Path, kind: str, count: int
) -> None:
    facts, looks, seconds, commits = await flooded(LOG_URLS[kind](tmp_path), [], count, 10_000)
    assert facts["messages_hints"] >= count / 2
    # Some for each commit, which ends all doubt, and 20 in a second for what is untrue.
    assert looks <= 6 * commits + 25 * seconds + 50
