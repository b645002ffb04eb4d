"""What the server costs: appends, events on their way to a client, pages, many clients, waiting."""

from __future__ import annotations

import json
import random
import statistics
import time
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

import anyio

from benchmarks.data import STREAMS, new_events, payload
from benchmarks.http_client import Client, LiveClients, body_of
from benchmarks.measure import FSYNC, Contestant, Row, Setting, latency_rows, measure, rate_rows
from benchmarks.processes import Child
from eventstore import EventStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

APPENDS: Final = 500
SAMPLES: Final = 300
PAGES: Final = 200
PAGE_EVENTS: Final = 1_024
CLIENTS: Final = 10_000
COMMITS: Final = 10
FOLLOWERS: Final = 1_000
IDLE_SECONDS: Final = 600.0
QUICK_SECONDS: Final = 20.0

_PATH: Final = f"/v1/streams/{quote(STREAMS[0], safe='')}"


class Served(NamedTuple):
    """A running server, with a bare application and bare streams in the same process."""

    child: Child
    port: int
    bare: int
    streams: int
    token: str
    url: str

    @property
    def remote(self) -> str:
        """The URL of the server, for a store."""
        return f"http://{self.token}@127.0.0.1:{self.port}"


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """Run both in a process of their own."""
    url = f"sqlite:///{folder / 'served.db'}"
    with Child("server", url) as child:
        port, bare, streams, token = child.hear()
        yield Served(child, port, bare, streams, token, url)


async def served_appends(setting: Setting) -> list[Row]:
    """Append one event per call, each awaited, over one connection that stays open: events/s.

    By HTTP, and by a store by URL; in process on a log of its own; and to a route of bare Starlette
    that decodes the same body and stores nothing, in the server's process.
    """
    count = setting.scaled(APPENDS)
    bodies = [body_of(payload(number)) for number in range(count)]
    with ExitStack() as stack:
        served = stack.enter_context(serving(setting.folder))
        ours = stack.enter_context(Client(served.port, served.token))
        bare = stack.enter_context(Client(served.bare))
        async with (
            EventStore.open(served.remote) as remote,
            EventStore.open(f"sqlite:///{setting.folder / 'own.db'}") as own,
        ):
            contestants = [
                Contestant("ours, by HTTP", count, _posts(ours, _PATH, bodies), FSYNC),
                Contestant("ours, a store by URL", count, _appends(remote, count), FSYNC),
                Contestant("ours, in process", count, _appends(own, count), FSYNC),
                Contestant("floor: bare Starlette", count, _posts(bare, "/append", bodies)),
            ]
            rates = await measure(contestants, setting.rounds)
    return rate_rows("appends by HTTP", rates, contestants=contestants)


def _posts(
    client: Client, path: str, bodies: list[bytes]
) -> Callable[[], Callable[[], Awaitable[None]]]:
    async def run() -> None:
        for body in bodies:
            client.post(path, body)

    return lambda: run


def _appends(store: EventStore, count: int) -> Callable[[], Callable[[], Awaitable[None]]]:
    def prepare() -> Callable[[], Awaitable[None]]:
        events = new_events(count)

        async def run() -> None:
            for event in events:
                await store.append(STREAMS[0], [event])

        return run

    return prepare


async def served_waking(setting: Setting) -> list[Row]:
    """Append one event by HTTP; time until a client of Server-Sent Events has it: ms.

    The clock starts before the request is sent. The client is subscribed to one category. The
    second row is the append alone, the third the same with a bare route in place of the log.
    """
    samples: dict[str, list[float]] = {
        "ours": [],
        "ours, until append returns": [],
        "floor: bare Starlette, until it returns": [],
    }
    with ExitStack() as stack:
        served = stack.enter_context(serving(setting.folder))
        live = LiveClients(served.port, served.token, 1)
        stack.callback(live.close)
        ours = stack.enter_context(Client(served.port, served.token))
        bare = stack.enter_context(Client(served.bare))
        for number in range(setting.scaled(SAMPLES)):
            body = body_of(payload(number))
            for name, client, path in (
                ("ours, until append returns", ours, _PATH),
                ("floor: bare Starlette, until it returns", bare, "/append"),
            ):
                began = time.monotonic_ns()
                client.post(path, body)
                samples[name].append((time.monotonic_ns() - began) / 1e6)
                if client is ours:
                    samples["ours"].append((live.receive()[0] - began) / 1e6)
            await anyio.sleep(random.uniform(0.005, 0.02))
    return latency_rows("append → client of Server-Sent Events", samples)


async def served_pages(setting: Setting) -> list[Row]:
    """Read pages of 1,024 events of about 250 bytes over one connection: pages/s.

    Pages behind a cursor; complete pages for caches; and a bare route that answers as many bytes.
    """
    count = setting.scaled(PAGES)
    async with EventStore.open(f"sqlite:///{setting.folder / 'served.db'}") as store:
        await store.append(STREAMS[0], new_events(2 * PAGE_EVENTS))
    with ExitStack() as stack:
        served = stack.enter_context(serving(setting.folder))
        ours = stack.enter_context(Client(served.port, served.token))
        size = len(ours.get("/v1/events"))
        bare = stack.enter_context(Client(served.bare))
        generation = json.loads(ours.get("/v1/log"))["generation"]
        contestants = [
            Contestant("ours, behind a cursor", count, _gets(ours, "/v1/events", count)),
            Contestant(
                "ours, for caches", count, _gets(ours, f"/v1/pages/{generation}/1-1024", count)
            ),
            Contestant("floor: bare Starlette", count, _gets(bare, f"/page/{size}", count)),
        ]
        rates = await measure(contestants, setting.rounds)
    return rate_rows("pages of 1,024 events by HTTP", rates, "pages/s")


def _gets(client: Client, path: str, count: int) -> Callable[[], Callable[[], Awaitable[None]]]:
    async def run() -> None:
        for _ in range(count):
            client.get(path)

    return lambda: run


async def served_many(setting: Setting) -> list[Row]:
    """10,000 clients of Server-Sent Events on one process: its memory, and one commit to all.

    Memory is what the process has grown by, divided by the clients. The clock starts before the
    append; one thread reads all clients, and each has its event at the time of that row. It needs
    as many open files (``ulimit -n``). The floor is a bare asyncio server of the same process: it
    writes as many bytes to as many sockets, one after another.
    """
    count = setting.scaled(CLIENTS)
    title = f"{count:,} clients of Server-Sent Events"
    times: dict[str, list[float]] = {}
    with ExitStack() as stack:
        served = stack.enter_context(serving(setting.folder))
        ours = stack.enter_context(Client(served.port, served.token))
        ours.post(_PATH, body_of(payload(0)))
        before = served.child.private_bytes()
        bare = stack.enter_context(Client(served.streams))
        each = 0.0
        for name, poster, path, port in (
            ("ours", ours, _PATH, served.port),
            ("floor: bare asyncio", bare, "/", served.streams),
        ):
            live = LiveClients(port, served.token, count)
            with closing(live):
                await anyio.sleep(1)
                each = each or (served.child.private_bytes() - before) / count / 1e3
                for number in range(COMMITS):
                    body = body_of(payload(number))
                    began = time.monotonic_ns()
                    poster.post(path, body if poster is ours else b"data: %b\n\n" % body)
                    arrived = live.receive()
                    for share, at in (("half", count // 2), ("all", -1)):
                        taken = (arrived[at] - began) / 1e6
                        times.setdefault(f"{name}, {share} of them", []).append(taken)
    rows = [
        Row(title, name, "ms", statistics.median(values), max(values))
        for name, values in times.items()
    ]
    return [*rows, Row(title, "ours, memory of one", "kB", each, each)]


async def served_idle(setting: Setting) -> list[Row]:
    """1,000 clients that follow a log in which nothing happens: processor time, memory.

    Ten windows, in all ten minutes (quick: 20 s): % of one core, and the memory at the end of each
    window above that after the first.
    """
    window = (QUICK_SECONDS if setting.quick else IDLE_SECONDS) / 10
    used: list[float] = []
    grown: list[float] = []
    with ExitStack() as stack:
        served = stack.enter_context(serving(setting.folder))
        live = LiveClients(served.port, served.token, FOLLOWERS)
        stack.callback(live.close)
        await anyio.sleep(window)
        first = served.child.private_bytes()
        for _ in range(9):
            began, before = time.monotonic(), served.child.cpu_seconds()
            await anyio.sleep(window)
            seconds = time.monotonic() - began
            used.append(100 * (served.child.cpu_seconds() - before) / seconds)
            grown.append((served.child.private_bytes() - first) / 1e6)
    title = f"serving {FOLLOWERS:,} quiet followers"
    return [
        Row(title, "ours", "% of a core", statistics.median(used), max(used)),
        Row(title, "ours, memory above the first window", "MB", grown[-1], max(grown)),
    ]
