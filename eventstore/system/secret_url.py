"""URLs that may hold a password: parsed once, printed without it.

A mistyped URL is printed as well, in messages that say so. Its password may then stand where no
parser expects it: an ``@``, ``/``, ``?`` or ``#`` that is not percent-encoded moves the rest of
it into the host, the path or the query. What is printed is therefore built from the parts that
are certain to hold none of it, and everything else is left out.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qs, unquote

ALIASES: Final = {"postgres": "postgresql", "postgresql+psycopg": "postgresql"}
"""Other spellings of a scheme."""

FILES: Final = frozenset({"sqlite", "memory", "unix", "file"})
"""Schemes whose URLs name a file, after three slashes."""

HIDDEN: Final = "…"
"""Stands for what is left out."""

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_HOSTS: Final = re.compile(r"(?:(?:\[[0-9A-Za-z:.%]*\]|[^\s:@/?#\[\],]*)(?::\d*)?(?:,|$))*")


class SecretUrl:
    """A URL; ``str`` and ``repr`` show it without user name, password and parameters.

    ``given`` is the URL with its password, for the driver that connects. ``scheme`` is what it
    begins with, an alias replaced; empty where it does not look like a URL. ``authority`` (users,
    hosts, ports), ``path`` and ``query`` are its parts as given: they may hold the password.
    """

    __slots__ = ("_shown", "authority", "given", "path", "query", "scheme")

    def __init__(self, url: str) -> None:
        self.given = str(url)
        found = _SCHEME.match(self.given)
        written = found[1] if found else ""
        self.scheme = ALIASES.get(written, written)
        rest = self.given[len(written) + 1 :] if found else ""
        with_place = rest.startswith("//")
        # A file's name may contain a '#'.
        parted = re.match(r"([^/?#]*)([^?#]*)(.*)", rest[2:] if with_place else "", re.DOTALL)
        if _kind(self.scheme) in FILES:
            parted = re.match(r"([^/?]*)([^?]*)(.*)", rest[2:] if with_place else "", re.DOTALL)
        assert parted is not None  # noqa: S101 - every part may be empty
        self.authority, self.path, self.query = parted[1], parted[2], parted[3]
        self._shown = self._show(with_place=with_place)

    @classmethod
    def of(cls, url: str | SecretUrl) -> SecretUrl:
        """Return ``url`` itself if it is parsed already."""
        return url if isinstance(url, SecretUrl) else cls(url)

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return repr(self._shown)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretUrl) and self.given == other.given

    def __hash__(self) -> int:
        return hash(self.given)

    def _show(self, *, with_place: bool) -> str:
        if not self.scheme:
            return HIDDEN
        if not with_place:
            return f"{self.scheme}:{HIDDEN}"
        shown = self._show_file() if _kind(self.scheme) in FILES else self._show_server()
        return f"{self.scheme}://{HIDDEN if shown is None else shown}"

    def _show_file(self) -> str | None:
        """Return the file's name, or ``None`` where a user or password may precede it."""
        if self.authority and ("@" in self.given or not _HOSTS.fullmatch(self.authority)):
            return None
        return self.authority + self.path + (f"?{HIDDEN}" if self.query else "")

    def _show_server(self) -> str | None:
        """Return hosts, ports and database, or ``None`` where it is not certain which they are."""
        if "@" in self.query:
            return None
        hosts, slash, path = (self.authority + self.path).rpartition("@")[2].partition("/")
        if not _HOSTS.fullmatch(hosts):
            return None
        if self.scheme == "postgresql":
            return self._show_postgres(hosts, unquote(path))
        return hosts + slash + path

    def _show_postgres(self, hosts: str, database: str) -> str:
        """Return the place in libpq's sense: parameters may name hosts, ports and database."""
        given = {name: values[-1] for name, values in parse_qs(self.query[1:]).items()}
        if "host" in given:
            names, ports = given["host"].split(","), given.get("port", "").split(",")
            ports = ports * len(names) if len(ports) == 1 else ports
            pairs = zip(names, ports, strict=False)
            hosts = ",".join(f"{name}:{port}" if port else name for name, port in pairs)
        elif "port" in given and ":" not in hosts:
            hosts = f"{hosts}:{given['port']}"
        return f"{hosts}/{given.get('dbname', database)}"


def show_place(place: str) -> str:
    """Return a place for a message: a URL without its password, or a path as it is."""
    return str(SecretUrl(place)) if "://" in place else place


def _kind(scheme: str) -> str:
    return scheme.partition("+")[0].lower()
