"""Requests at the server for each commit, while many followers wait through a caching nginx.

``python -m benchmarks.edge [--clients N …] [--commits K]``: followers are connections of one
process, which ask again behind each answer, as workers do. What reaches the server is what its
``/metrics`` count. nginx runs with ``config/nginx.conf``.
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
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from eventstore import EventStore, NewEvent
from eventstore.server.tokens import create_token

HOST: Final = "127.0.0.1"
CONFIG: Final = Path(__file__).parents[1] / "config" / "nginx.conf"
COUNTED: Final = re.compile(rb'eventstore_requests_total\{.*route="([^"]+)".*\} ([0-9.e+]+)')


def free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


class Follower:
    """A connection that waits, and asks again behind what it got."""

    def __init__(self, port: int, token: str, cursor: str) -> None:
        self.port, self.token, self.cursor = port, token, cursor
        self.received: list[tuple[int, float]] = []

    async def run(self, waiting: asyncio.Semaphore) -> None:
        async with waiting:  # Not all connect at once.
            reader, writer = await asyncio.open_connection(HOST, self.port)
        while True:
            target = f"/v1/events?after={self.cursor}&streams=a/&wait=60"
            request = (
                f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}\r\n\r\n"
            )
            writer.write(request.encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.partition(b"\r\n")[0]:
                raise RuntimeError(head.decode())
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            page = json.loads(await reader.readexactly(length))
            now = time.monotonic()
            self.received += [(event["data"], now) for event in page["events"]]
            self.cursor = page["cursor"]


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


def start(folder: Path, stack: ExitStack) -> tuple[int, int]:
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
    text = text.replace("listen 8080;", f"listen {HOST}:{edge} backlog=4096;")
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
    return port, edge


async def measure(clients: int, commits: int) -> None:
    """Print one line for a number of followers."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        async with EventStore.open(f"sqlite:///{folder}/eventstore.db") as store:
            token = await create_token(store, "all", ["read"])
            port, edge = await asyncio.to_thread(start, Path(folder), stack)
            await store.append("a/1", [NewEvent("T", -1)])
            first = json.loads(await get(port, "/v1/events?streams=a/", token))["cursor"]
            followers = [Follower(edge, token, first) for _ in range(clients)]
            waiting = asyncio.Semaphore(200)
            tasks = [asyncio.create_task(each.run(waiting)) for each in followers]
            per_commit, auth, times = [], [], list[float]()
            for number in range(commits + 1):  # The first one shows that all are there.
                await asyncio.sleep(1.0)  # They wait again.
                before = await counts(port, token)
                begun = time.monotonic()
                await store.append("a/1", [NewEvent("T", number)])
                while any(not each.received or each.received[-1][0] < number for each in followers):
                    await asyncio.sleep(0.02)
                    for task in tasks:
                        if task.done():
                            task.result()
                after = await counts(port, token)
                if number:
                    per_commit.append(after["/v1/events"] - before["/v1/events"])
                    auth.append(after.get("/v1/auth", 0) - before.get("/v1/auth", 0))
                    times += [each.received[-1][1] - begun for each in followers]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for each in followers:
                assert [data for data, _ in each.received] == list(range(commits + 1))
    times.sort()
    print(
        f"{clients} followers, {commits} commits: requests at the server for each commit: median "
        f"{statistics.median(per_commit):g}, worst {max(per_commit):g}; for tokens: median "
        f"{statistics.median(auth):g}, worst {max(auth):g}; ms from the append to a follower: p50 "
        f"{1e3 * statistics.median(times):.0f}, p99 {1e3 * times[int(len(times) * 0.99)]:.0f}, "
        f"worst {1e3 * times[-1]:.0f}"
    )


def main() -> None:
    """Measure each number of followers in turn."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edge", description=__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[100, 1_000, 4_000])
    parser.add_argument("--commits", type=int, default=10)
    asked = parser.parse_args()
    for clients in asked.clients:
        asyncio.run(measure(clients, asked.commits))


if __name__ == "__main__":
    main()
