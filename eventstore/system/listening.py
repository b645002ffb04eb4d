"""Listening at ``HOST:PORT``: one home for what may be reached from where."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

from eventstore.errors import ConfigError

BACKLOG: Final = 2_048
"""Connections that wait to be taken, at the most."""


def listen(option: str, address: str, *, refuse_others: str = "") -> socket.socket:
    """Return a socket that listens at ``HOST:PORT``; port 0 is any.

    Raises ConfigError, which names ``option``, for an address that cannot be used; and where
    ``refuse_others`` says why, for one that other hosts reach.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise ConfigError(f"{option} {address!r:.60}: give HOST:PORT, such as 127.0.0.1:8080")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM
        )[0]
    except OSError as error:
        raise ConfigError(f"{option} {address}: {error.strerror}") from error
    if refuse_others and not is_this_host(place[0]):
        raise ConfigError(f"{option} {address}: other hosts reach it, {refuse_others}")
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(place)
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        raise ConfigError(f"{option} {address}: {error.strerror}") from error
    return opened


def is_this_host(address: str | int) -> bool:
    """Whether an address, of a socket or of a client, is reached from this host alone."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def place_of(opened: socket.socket) -> str:
    """Return where a socket listens, as ``HOST:PORT`` of a URL."""
    host, port = opened.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
