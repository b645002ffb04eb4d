"""Requests at the server for each commit, while many followers wait through a caching nginx.

``python -m benchmarks.edge [--clients N …] [--commits K]``: followers are connections of a few
processes, each from an address of its own, which ask again behind each answer, as workers do. What
reaches the server is what its ``/metrics`` count. nginx runs with ``config/nginx.conf``, with as
many workers as the connections need. Each process needs 20,000 open files (``ulimit -n``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Final

from eventstore import EventStore, NewEvent
from eventstore.server.tokens import create_token

HOST: Final = "127.0.0.1"
CROWD: Final = 10_000
"""Followers of one process."""
WORKER: Final = 8_000
"""Followers for each worker of nginx, which may have twice as many connections."""
CONNECT_SECONDS: Final = 0.0005
CONFIG: Final = Path(__file__).parents[1] / "config" / "nginx.conf"
COUNTED: Final = re.compile(rb'eventstore_requests_total\{.*route="([^"]+)".*\} ([0-9.e+]+)')


def free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


class Crowd:
    """Followers of one process: connections that wait, and ask again behind what they got.

    Of each event it says the times at which they had it, once all have.
    """

    def __init__(self, port: int, token: str, cursor: str, clients: int, address: str) -> None:
        self.port, self.token, self.cursor = port, token, cursor
        self.clients, self.address = clients, address
        self.times: dict[int, list[float]] = {}

    async def run(self) -> None:
        waiting = asyncio.Semaphore(200)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self.clients):
                tasks.create_task(self.follow(waiting))

    async def follow(self, waiting: asyncio.Semaphore) -> None:
        async with waiting:  # Not all connect at once.
            opened = asyncio.open_connection(HOST, self.port, local_addr=(self.address, 0))
            reader, writer = await opened
        cursor, expected = self.cursor, 0
        while True:
            target = f"/v1/events?after={cursor}&streams=a/&wait=60"
            request = (
                f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}\r\n\r\n"
            )
            writer.write(request.encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.partition(b"\r\n")[0]:
                raise RuntimeError(head.decode())
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            page = json.loads(await reader.readexactly(length))
            cursor = page["cursor"]
            for event in page["events"]:
                if event["data"] != expected:
                    raise RuntimeError(f"{event['data']} came in place of {expected}")
                self.note(expected)
                expected += 1

    def note(self, number: int) -> None:
        times = self.times.setdefault(number, [])
        times.append(time.monotonic())
        if len(times) == self.clients:
            print(json.dumps(self.times.pop(number)), flush=True)


async def get(port: int, path: str, token: str) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    lines = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}"
    writer.write(f"{lines}\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2]


async def counts(port: int, token: str) -> dict[str, float]:
    """Return how many requests the server has answered, by route."""
    found: dict[str, float] = {}
    for route, number in COUNTED.findall(await get(port, "/metrics", token)):
        found[route.decode()] = found.get(route.decode(), 0) + float(number)
    return found


def start(folder: Path, stack: ExitStack, clients: int) -> tuple[int, int]:
    """Start a server, and nginx in front of it; return their ports."""
    port, edge = free_port(), free_port()
    limits = ("--token-requests", "--token-streams", "--rate")
    many = [word for limit in limits for word in (limit, "1000000")]
    words = ["serve", "--listen", f"{HOST}:{port}", "--behind-proxy", "--shared-pages", *many]
    serve = subprocess.Popen(
        [sys.executable, "-m", "eventstore.cli", *words], cwd=folder, stdout=subprocess.PIPE
    )
    stack.callback(serve.wait)
    stack.callback(serve.kill)
    assert serve.stdout is not None
    serve.stdout.readline()
    text = CONFIG.read_text().replace("gateway:8080", f"{HOST}:{port}")
    text = text.replace("listen 8080;", f"listen {HOST}:{edge} reuseport backlog=4096;")
    text = text.replace(
        "worker_processes auto;", f"worker_processes {max(2, -(-clients // WORKER))};"
    )
    text = text.replace("/var/cache/nginx", f"{folder}/cache").replace(
        "/run/nginx", f"{folder}/run"
    )
    text = text.replace("access_log /dev/stdout request;", "access_log off;")
    (folder / "cache").mkdir()
    (folder / "nginx.conf").write_text(text)
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise SystemExit("nginx is not installed")
    options = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    nginx = subprocess.Popen(
        [program, "-e", "stderr", "-c", str(folder / "nginx.conf"), "-g", options]
    )
    stack.callback(nginx.wait)
    stack.callback(nginx.terminate)
    while nginx.poll() is None:
        with suppress(ConnectionRefusedError), socket.create_connection((HOST, edge)):
            break
        time.sleep(0.05)
    return port, edge


async def measure(clients: int, commits: int) -> None:
    """Print one line for a number of followers."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        async with EventStore.open(f"sqlite:///{folder}/eventstore.db") as store:
            token = await create_token(store, "all", ["read"])
            port, edge = await asyncio.to_thread(start, Path(folder), stack, clients)
            await store.append("a/1", [NewEvent("T", -1)])
            first = json.loads(await get(port, "/v1/events?streams=a/", token))["cursor"]
            crowds = begin(clients, edge, token, first, stack)
            per_commit, auth, times = [], [], list[float]()
            for number in range(commits + 1):  # The first one shows that all are there.
                await asyncio.sleep(1.0 if number else CONNECT_SECONDS * clients)  # They wait.
                before = await counts(port, token)
                begun = time.monotonic()
                await store.append("a/1", [NewEvent("T", number)])
                had = [json.loads(await asyncio.to_thread(one.readline)) for one in crowds]
                after = await counts(port, token)
                if number:
                    per_commit.append(after["/v1/events"] - before["/v1/events"])
                    auth.append(after.get("/v1/auth", 0) - before.get("/v1/auth", 0))
                    times += [at - begun for each in had for at in each]
    times.sort()
    print(
        f"{clients} followers, {commits} commits: requests at the server for each commit: median "
        f"{statistics.median(per_commit):g}, worst {max(per_commit):g}; for tokens: median "
        f"{statistics.median(auth):g}, worst {max(auth):g}; ms from the append to a follower: p50 "
        f"{1e3 * statistics.median(times):.0f}, p99 {1e3 * times[int(len(times) * 0.99)]:.0f}, "
        f"worst {1e3 * times[-1]:.0f}"
    )


def begin(clients: int, edge: int, token: str, cursor: str, stack: ExitStack) -> list[IO[bytes]]:
    """Start processes of followers, each with an address of its own; return what they say."""
    crowds = []
    for number, done in enumerate(range(0, clients, CROWD)):
        count = min(CROWD, clients - done)
        words = ["--crowd", edge, token, cursor, count, f"127.0.1.{number + 1}"]
        crowd = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.edge", *map(str, words)], stdout=subprocess.PIPE
        )
        stack.callback(crowd.wait)
        stack.callback(crowd.kill)
        assert crowd.stdout is not None
        crowds.append(crowd.stdout)
    return crowds


def main() -> None:
    """Measure each number of followers in turn."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edge", description=__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[100, 1_000, 4_000])
    parser.add_argument("--commits", type=int, default=10)
    parser.add_argument("--crowd", nargs=5, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.crowd:
        port, token, cursor, clients, address = asked.crowd
        asyncio.run(Crowd(int(port), token, cursor, int(clients), address).run())
    for clients in () if asked.crowd else asked.clients:
        asyncio.run(measure(clients, asked.commits))


if __name__ == "__main__":
    main()
