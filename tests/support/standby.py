"""A replica of a test's server, which follows it over the network until it is promoted."""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from psycopg.conninfo import make_conninfo

from support import postgres_programs as programs
from support.network import HOST
from support.postgres import DEADLINE, SUPERUSER, Server

if TYPE_CHECKING:
    from collections.abc import Iterator


class Standby(Server):
    """A server that began as a copy of another one; roles and passwords are the same."""

    def __init__(self, primary: Server, port: int) -> None:
        super().__init__()
        self._primary = primary
        self._secret = primary._secret
        self._from = port

    def create(self) -> None:
        """Copy the primary's files while it is stopped, then start both."""
        data = self.directory / "data"
        self._primary.stop()
        shutil.copytree(self._primary.directory / "data", data)
        self._primary.start()
        self._postgres = self._primary._postgres
        source = make_conninfo(
            host=HOST, port=self._from, user=SUPERUSER, password=self._secret, dbname="replication"
        )
        values = {
            "unix_socket_directories": self.directory,
            "port": self.port,
            "primary_conninfo": source.replace("'", "''"),
        }
        with (data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in values.items())
        (data / "standby.signal").touch()
        programs.give_away(self.directory)
        self.start()

    def promote(self) -> None:
        """Let it write, with all that it has received until now."""
        self.execute("SELECT pg_promote()")
        deadline = time.monotonic() + DEADLINE
        while self.execute("SELECT pg_is_in_recovery()") != [(False,)]:
            assert time.monotonic() < deadline, "the replica was not promoted"
            time.sleep(0.01)


@contextmanager
def standby(primary: Server, port: int) -> Iterator[Standby]:
    """Run a replica that reaches its primary at ``port``; remove it at the end."""
    server = Standby(primary, port)
    try:
        server.create()
        yield server
    finally:
        server.remove()
