"""Ports for the servers that tests start."""

from __future__ import annotations

import socket
from pathlib import Path
from random import SystemRandom

HOST = "127.0.0.1"
RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """Return a port of this machine that nothing listens on, and that no client is given.

    A port out of the range that clients get theirs from is no good for a server that stops and
    starts again: meanwhile a client could be given it, or, trying to connect again and again,
    even be connected to itself.
    """
    lowest = int(RANGE.read_text().split()[0]) if RANGE.exists() else 32768
    for _ in range(1000):
        port = SystemRandom().randrange(min(10_000, lowest // 2), lowest)
        with socket.socket() as attempt:
            try:
                attempt.bind((HOST, port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"found no free port on {HOST} below {lowest}")
