"""nginx and Caddy as processes, with the configurations of ``config/`` in front of a server."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from support.commands import REPOSITORY
from support.network import HOST, free_port
from support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.served import Served

PROXIES: Final = ("nginx", "caddy")
IN_A_ROW: Final = "caddy before nginx"
EDGES: Final = (*PROXIES, IN_A_ROW)
"""One proxy, or one that encrypts before one that keeps pages."""


def find_program(name: str) -> str:
    """Return a proxy's path; skip the test where it is not installed (CI installs both)."""
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install nginx-light caddy")
    return found


class Edge:
    """One proxy in front of a server, on a port of its own that it keeps.

    With ``behind`` it hands on to that proxy.
    """

    def __init__(
        self, name: str, upstream: int, directory: Path, behind: Edge | None = None
    ) -> None:
        self.name = name
        self.behind = behind
        self.program = find_program(name)
        self.port = free_port()
        self.directory = directory
        self.process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "cache").mkdir()
        text = (REPOSITORY / "config" / self.file).read_text()
        self.config = directory / self.file
        self.config.write_text(self._adapted(text, upstream))

    @property
    def file(self) -> str:
        return {"nginx": "nginx.conf", "caddy": "Caddyfile"}[self.name]

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def _adapted(self, text: str, upstream: int) -> str:
        places = {
            "gateway:8080": f"{HOST}:{upstream}",
            "nginx:8080": f"{HOST}:{upstream}",
            "listen 8080;": f"listen {HOST}:{self.port};",
            "{$EDGE_ADDRESS::8080}": f"http://{HOST}:{self.port}",
            "/var/cache/nginx": f"{self.directory}/cache",
            "/run/nginx": f"{self.directory}/nginx",
            "/dev/stdout": f"{self.directory}/requests.log",
        }
        for place, here in places.items():
            text = text.replace(place, here)
        return text

    def start(self) -> None:
        """Start it; return once it takes connections."""
        words = [self.program, "run", "--config", str(self.config), "--adapter", "caddyfile"]
        if self.name == "nginx":
            # As root it would give its processes to a user who may not read the directory.
            user = "user root;" if os.geteuid() == 0 else ""
            options = f"daemon off; worker_shutdown_timeout 1s; {user}"
            words = [self.program, "-e", "stderr", "-c", str(self.config), "-g", options]
        with (self.directory / "output").open("ab") as output:
            self.process = subprocess.Popen(
                words,
                env={
                    "PATH": os.defpath,
                    "HOME": str(self.directory),
                    "EDGE_TO": "server" if self.behind is None else self.behind.name,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        wait_until(self._answers)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said()
        with suppress(OSError), socket.create_connection((HOST, self.port), 1):
            return True
        return False

    def said(self) -> str:
        """Return what it has written."""
        return (self.directory / "output").read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        """End it at once, with the connections that it has."""
        if self.process is not None and self.process.poll() is None:
            # SIGTERM lets nginx end its workers, and no request; Caddy would wait for those.
            self.process.send_signal(signal.SIGTERM if self.name == "nginx" else signal.SIGKILL)
            self.process.wait(60)

    def restart(self) -> None:
        """End it, and start it again."""
        self.stop()
        self.start()


def client(edge: Edge, served: Served, name: str, *scopes: str, streams: str = "") -> Any:
    """Return a client of the proxy with a new token."""
    url = served.new_url(name, *scopes, streams=(streams,) if streams else ())
    secret = url.removeprefix("http://").partition("@")[0]
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(
        base_url=edge.url,
        headers={"authorization": f"Bearer {secret}"},
        timeout=120.0,
        limits=limits,
        trust_env=False,
    )


@contextmanager
def at_edge(
    name: str, upstream: int, directory: Path, behind: Edge | None = None
) -> Iterator[Edge]:
    """Run one of EDGES in front of a server's port for the block."""
    if name == IN_A_ROW:
        with (
            at_edge("nginx", upstream, directory) as nginx,
            at_edge("caddy", nginx.port, directory, nginx) as caddy,
        ):
            yield caddy
        return
    edge = Edge(name, upstream, directory / name, behind)
    try:
        edge.start()
        yield edge
    finally:
        edge.stop()
