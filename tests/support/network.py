"""Ports for the servers that tests start."""

from __future__ import annotations

import socket
from pathlib import Path
from random import SystemRandom

HOST = "127.0.0.1"
RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")

_taken: list[socket.socket] = []
"""What tells other processes of tests which ports are this one's, until it ends."""


def free_port() -> int:
    """Return a port of this machine that nothing listens on, and that no one else is given.

    It is this process's until that ends, also while nothing listens there: no other process that
    asks this function is given it.

    A port out of the range that clients get theirs from is no good for a server that stops and
    starts again: meanwhile a client could be given it, or, trying to connect again and again,
    even be connected to itself.
    """
    lowest = int(RANGE.read_text().split()[0]) if RANGE.exists() else 32768
    for _ in range(1000):
        port = SystemRandom().randrange(min(10_000, lowest // 2), lowest)
        if _is_free(port) and _take(port):
            return port
    raise RuntimeError(f"found no free port on {HOST} below {lowest}")


def _is_free(port: int) -> bool:
    with socket.socket() as attempt:
        try:
            attempt.bind((HOST, port))
        except OSError:
            return False
    return True


def _take(port: int) -> bool:
    """Take a name that one process of this machine can have, and that ends with it."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0ruletide-test-port-{port}")
    except OSError:
        name.close()
        return False
    _taken.append(name)
    return True
