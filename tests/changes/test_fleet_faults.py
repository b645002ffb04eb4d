"""Twenty followers in five processes, while everything around them fails: promise 5.

Each run lasts a minute or more: ``pytest -m soak -s tests/changes/test_fleet_faults.py``. What each
follower received is compared with the log by a program of its own (``tests/support/records.py``).
"""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
from programs.recording_followers import NOTHING_LEFT
from support.fleet import until
from support.followers import PROCESSES, followers
from support.network import HOST
from support.postgres import private_server
from support.proxy import proxied
from support.records import FAULTS
from support.redis import private_redis
from support.standby import standby

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from support.fleet import Member
    from support.followers import Followers
    from support.postgres import Server
    from support.proxy import Proxy
    from support.redis import RedisServer
    from support.standby import Standby

pytestmark = [pytest.mark.soak, pytest.mark.timeout(400)]

SECONDS: Final = 60.0
KEY: Final = "the key that the fleet shares"
BUFFER: Final = 256 * 1024
"""What Redis keeps for a slow subscriber in the run that lowers it."""

KEYS: Final = pytest.mark.parametrize("keys", [[], [KEY]], ids=["hints", "inline"])


@dataclass
class Arena:
    """The servers, a proxy before each for the writer and one for the followers, and the fleet."""

    server: Server
    redis: RedisServer
    proxies: dict[str, Proxy]
    fleet: Followers
    random: Random


@contextmanager
def arena(directory: Path, keys: list[str], *, notify: str | None = None) -> Iterator[Arena]:
    """Run a fleet with nothing wrong yet."""
    with ExitStack() as stack:
        server = stack.enter_context(private_server(fsync=True))
        redis = stack.enter_context(private_redis())
        proxies = {}
        for kind in ("writer", "follower"):
            proxies[f"{kind} redis"] = stack.enter_context(proxied(HOST, redis.port))
            proxies[f"{kind} postgres"] = stack.enter_context(proxied(HOST, server.port))
        direct = server.fresh_schema()

        def options(kind: str, _number: int) -> dict[str, Any]:
            through = proxies[f"{kind} redis"].url(redis.url)
            return {"notify": notify or through, "notify_keys": keys}

        def url(kind: str, _number: int) -> str:
            return proxies[f"{kind} postgres"].url(direct)

        fleet = stack.enter_context(followers(direct, directory, options, url))
        fleet.start()
        yield Arena(server, redis, proxies, fleet, Random(5))


def torment(place: Arena, title: str, fault: Callable[[Arena], None], pause: float) -> None:
    """Repeat a fault, healed when it returns, for a minute; then check everything."""
    place.fleet.catch_up()
    place.fleet.healed.clear()
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        fault(place)
        place.fleet.catch_up()
        time.sleep(pause)  # any moment will do
    place.fleet.finish()
    place.fleet.report(title)
    place.fleet.check()


def torment_connections(
    directory: Path, keys: list[str], title: str, fault: Callable[[Arena], None], pause: float
) -> None:
    """Do so with a fault that ends connections to Redis, and see that processes reconnect."""
    with arena(directory, keys) as place:
        torment(place, f"{title}, {len(keys)} keys", fault, pause)
        assert place.fleet.total("reconnects") >= PROCESSES * len(place.fleet.healed) // 2


@pytest.mark.promise("subscription")
@KEYS
def test_redis_is_killed_and_started_again(tmp_path: Path, keys: list[str]) -> None:
    def fault(place: Arena) -> None:
        place.redis.kill()
        time.sleep(place.random.uniform(0.1, 4.0))
        place.redis.start()

    torment_connections(tmp_path, keys, "Redis killed", fault, 3.0)


@pytest.mark.promise("subscription")
@KEYS
def test_redis_is_flushed(tmp_path: Path, keys: list[str]) -> None:
    def fault(place: Arena) -> None:
        with place.redis.client() as client:
            client.flushall()

    with arena(tmp_path, keys) as place:
        torment(place, f"Redis flushed, {len(keys)} keys", fault, 1.0)


@pytest.mark.promise("subscription")
@KEYS
def test_redis_is_frozen_for_ten_seconds(tmp_path: Path, keys: list[str]) -> None:
    def fault(place: Arena) -> None:
        place.redis.freeze()
        time.sleep(10.0)
        place.redis.thaw()

    torment_connections(tmp_path, keys, "Redis frozen", fault, 5.0)


@pytest.mark.promise("subscription")
@KEYS
def test_the_clients_of_redis_are_killed_every_second(tmp_path: Path, keys: list[str]) -> None:
    def fault(place: Arena) -> None:
        with place.redis.client() as client:
            for kind in ("pubsub", "normal"):
                client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    torment_connections(tmp_path, keys, "clients killed", fault, 0.9)


@pytest.mark.promise("subscription")
def test_slow_readers_of_redis_are_cut(tmp_path: Path) -> None:
    flood = b"x" * 64 * 1024

    def fault(place: Arena) -> None:
        """Stop a process for a while, and send more than anything on its way can hold."""
        process = place.fleet.followers[place.random.randrange(PROCESSES)].process
        with place.redis.client() as client:
            (name,) = client.pubsub_channels()
            process.send_signal(signal.SIGSTOP)
            try:
                for _ in range(600):
                    client.publish(name, flood)
                time.sleep(2.0)
            finally:
                process.send_signal(signal.SIGCONT)

    with arena(tmp_path, [KEY]) as place:
        with place.redis.client() as client:
            limit = f"pubsub {BUFFER} {BUFFER} 1"
            client.config_set("client-output-buffer-limit", limit)
        torment(place, "slow readers cut", fault, 1.0)
        assert place.fleet.total("reconnects") >= len(place.fleet.healed)


@pytest.mark.promise("subscription")
@KEYS
def test_postgresql_is_restarted(tmp_path: Path, keys: list[str]) -> None:
    def fault(place: Arena) -> None:
        place.server.stop("immediate")
        time.sleep(place.random.uniform(0.0, 3.0))
        place.server.start()

    with arena(tmp_path, keys) as place:
        torment(place, f"PostgreSQL restarted, {len(keys)} keys", fault, 4.0)


@pytest.mark.promise("subscription")
@KEYS
def test_the_network_is_cut_and_healed(tmp_path: Path, keys: list[str]) -> None:
    turns = iter(range(1000))

    def fault(place: Arena) -> None:
        names = list(place.proxies)
        turn = next(turns) % (len(names) + 1)
        chosen = [place.proxies[name] for name in (names[turn : turn + 1] or names)]
        for proxy in chosen:
            proxy.refuse()
            proxy.cut()
        time.sleep(place.random.uniform(0.5, 3.0))
        for proxy in chosen:
            proxy.accept()

    with arena(tmp_path, keys) as place:
        torment(place, f"network cut, {len(keys)} keys", fault, 2.0)


@pytest.mark.promise("subscription")
def test_without_a_notifier(tmp_path: Path) -> None:
    with arena(tmp_path, [], notify="none") as place:
        torment(place, "no notifier", lambda _: None, 2.0)


AHEAD: Final = 3
"""Processes that see what the replica has not; the others are cut off before."""
ROLES: Final = ("writer", "ahead", "behind")


@dataclass
class Pair:
    """A server and its replica, with proxies: for what streams between them, and by role."""

    primary: Server
    replica: Standby
    stream: Proxy
    logs: dict[str, Proxy]
    hints: dict[str, Proxy]
    fleet: Followers

    def fail_over(self) -> float:
        """Let the replica take over without what some have seen; return when it is there."""
        for proxy in (self.logs["behind"], self.hints["behind"]):
            proxy.refuse()
            proxy.cut()
        after = self.fleet.direct.replace(f":{self.primary.port}/", f":{self.replica.port}/")
        seen = self.fleet.head()
        until(lambda: position(after) >= seen, 30)
        self.stream.refuse()
        self.stream.cut()
        lacks = position(after)
        until(lambda: all(one.last() > lacks + 200 for one in self.ahead), 30)
        self.primary.stop("immediate")
        self.replica.promote()
        for proxy in self.logs.values():
            proxy.upstream = (HOST, self.replica.port)
            proxy.accept()
        self.hints["behind"].accept()
        self.fleet.direct = after
        return time.monotonic()

    @property
    def ahead(self) -> Sequence[Member]:
        """The processes whose history is lost."""
        return self.fleet.followers[:AHEAD]


@contextmanager
def replicated(directory: Path, keys: list[str]) -> Iterator[Pair]:
    """Run a fleet on a server that has a replica."""
    with ExitStack() as stack:
        settings = {"wal_keep_size": "512MB"}
        primary = stack.enter_context(private_server(fsync=True, settings=settings))
        stream = stack.enter_context(proxied(HOST, primary.port))
        replica = stack.enter_context(standby(primary, stream.port))
        redis = stack.enter_context(private_redis())
        logs = {role: stack.enter_context(proxied(HOST, primary.port)) for role in ROLES}
        hints = {role: stack.enter_context(proxied(HOST, redis.port)) for role in ROLES}
        direct = primary.fresh_schema()

        def role(kind: str, number: int) -> str:
            return kind if kind == "writer" else ROLES[1 + (number >= AHEAD)]

        def options(kind: str, number: int) -> dict[str, Any]:
            notifier = {"notify": hints[role(kind, number)].url(redis.url), "notify_keys": keys}
            # What was acknowledged is lost: versions are not what the writer thinks.
            return notifier | ({"checked": False} if kind == "writer" else {})

        def url(kind: str, number: int) -> str:
            return logs[role(kind, number)].url(direct)

        fleet = stack.enter_context(followers(direct, directory, options, url))
        fleet.start()
        yield Pair(primary, replica, stream, logs, hints, fleet)


@pytest.mark.promise("subscription")
@KEYS
def test_a_replica_takes_over_without_the_last_commits(tmp_path: Path, keys: list[str]) -> None:
    with replicated(tmp_path, keys) as pair:
        fleet, before = pair.fleet, pair.fleet.direct
        time.sleep(SECONDS / 2)
        fleet.catch_up()
        fleet.healed.clear()
        begin = pair.fail_over()
        fleet.catch_up()
        until(lambda: all(one.last() == NOTHING_LEFT for one in pair.ahead), 30)
        told = time.monotonic() - begin
        time.sleep(SECONDS / 2)
        fleet.finish()
        pair.primary.start()
        found = fleet.findings(before)
        fleet.report(f"replica promoted, {len(keys)} keys, {4 * AHEAD} told within {told:.2f} s")
        assert {name: found[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0), found
        assert found["diverged"] == 4 * AHEAD


def position(url: str) -> int:
    """Return the position of the head at a server, which may be a replica."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT position FROM head").fetchone()
    return int(row[0]) if row else -1
