"""A PostgreSQL server of the tests' own: private, temporary, and gone when they end.

Tests connect as an ordinary role that owns the database, through a password that must be quoted
in a URL. A test takes a schema of its own, which costs less than a millisecond; tests that stop the
server, or need other settings, take a server of their own.
"""

from __future__ import annotations

import atexit
import secrets
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

import psycopg
from psycopg import sql

from support import postgres_programs as programs
from support.network import HOST, free_port
from support.postgres_programs import PostgresError
from support.server_guard import start_guard

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Mode = Literal["fast", "immediate"]

DATABASE: Final = "tests"
USER: Final = "tester"
SUPERUSER: Final = "postgres"
SIGNALS: Final = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
DEADLINE: Final = 60.0
"""Seconds until a start or a stop is a failure; both take well under one."""
AT_ONCE: Final = 20
"""Schemas made together, since connecting takes longer than making them."""
SETTINGS: Final[Mapping[str, object]] = {
    "listen_addresses": HOST,
    "max_connections": 200,
    "shared_buffers": "32MB",
    "log_line_prefix": "%m [%p] %u ",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
GUARD: Final = """
cat >/dev/null
if [ -s "$1/data/postmaster.pid" ]; then
    kill -QUIT "$(head -n 1 "$1/data/postmaster.pid")"
    for _ in $(seq 100); do [ -e "$1/data/postmaster.pid" ] || break; sleep 0.1; done
fi
rm -rf "$1"
"""
"""Removes a server once the process that started it closes the guard's input, or is killed."""


class Server:
    """One server: its directory, and its process while it runs.

    ``port`` stays the same over restarts. ``directory`` holds data, log and unix socket.
    """

    def __init__(
        self, *, fsync: bool = False, settings: Mapping[str, object] | None = None
    ) -> None:
        self.port = free_port()
        self._secret = secrets.token_hex(8) + "@:/?#%41 "
        self._schemas: list[str] = []
        self._made = count(1)
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = {
            **SETTINGS,
            "fsync": "on" if fsync else "off",
            **(settings or {}),
        }
        self._programs = programs.find_programs()
        base = programs.temporary_base()
        self.directory = Path(tempfile.mkdtemp(prefix="ruletide-postgres-", dir=base))
        self._guard = start_guard(GUARD, self.directory, env=programs.ENVIRONMENT)

    def create(self) -> None:
        """Lay the server out, start it, and give it the database and the ordinary role."""
        folder, data = self._programs.folder, self.directory / "data"
        if self._programs.copied:
            folder = programs.copy_programs(folder, self.directory / "programs")
        self._postgres = folder / "postgres"
        password = self.directory / "password"
        password.write_text(self._secret)
        programs.give_away(self.directory)
        words = f"--no-sync --encoding=UTF8 --locale=C --auth=scram-sha-256 -U {SUPERUSER}"
        programs.run(
            folder / "initdb",
            *words.split(),
            f"--pwfile={password}",
            "-D",
            data,
            cwd=self.directory,
        )
        password.unlink()
        values = {**self._settings, "unix_socket_directories": self.directory, "port": self.port}
        with (data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in values.items())
        self.start()
        with self._connect("template1") as connection:
            for statement in (
                sql.SQL("CREATE ROLE {user} LOGIN PASSWORD {secret}"),
                sql.SQL("ALTER DATABASE postgres RENAME TO {database}"),
                sql.SQL("ALTER DATABASE {database} OWNER TO {user}"),
            ):
                names = {"user": sql.Identifier(USER), "database": sql.Identifier(DATABASE)}
                connection.execute(statement.format(secret=sql.Literal(self._secret), **names))

    @property
    def pid(self) -> int:
        """The process that listens, of a server that runs."""
        if self._process is None:
            raise PostgresError("the server does not run")
        return self._process.pid

    def url(self, schema: str | None = None, *, superuser: bool = False) -> str:
        """Name the database for a client: all of it, or one schema that it finds tables in."""
        user = SUPERUSER if superuser else USER
        place = f"{user}:{quote(self._secret, safe='')}@{HOST}:{self.port}/{DATABASE}"
        options = "" if schema is None else f"?options=-csearch_path%3D{schema}"
        return f"postgresql://{place}{options}"

    def fresh_schema(self) -> str:
        """Create an empty schema that belongs to the ordinary role; return its URL."""
        with self._lock:
            if not self._schemas:
                names = [f"test_{next(self._made)}" for _ in range(AT_ONCE)]
                make = (f"CREATE SCHEMA {name} AUTHORIZATION {USER}" for name in names)
                self.execute("; ".join(make))
                self._schemas = names[::-1]
            return self.url(self._schemas.pop())

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement as superuser, committed at once; return its rows, if it gives any."""
        with self._connect(DATABASE) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Start it and return once it takes connections, after recovery from a crash too."""
        if self._process is not None:
            raise PostgresError("the server runs already")
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._postgres, "-D", self.directory / "data"],
                cwd=self.directory,
                env=programs.ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the tests; they stop the server once they no longer need it.
                start_new_session=True,
                **programs.account(),
            )
        deadline = time.monotonic() + DEADLINE
        while not self._ready():
            code = self._process.poll()
            if code is not None or time.monotonic() > deadline:
                self._kill()
                state = "did not get ready" if code is None else f"ended with {code}"
                raise PostgresError(f"PostgreSQL {self._programs} {state}\n{self.log()}")
            time.sleep(0.005)

    def stop(self, mode: Mode = "fast") -> None:
        """Stop it and return once it is gone.

        "fast" ends transactions and writes everything out; "immediate" ends like a crash.
        """
        if self._process is not None:
            self._process.send_signal(SIGNALS[mode])
            try:
                self._process.wait(DEADLINE)
            except subprocess.TimeoutExpired as error:
                raise PostgresError(f"PostgreSQL did not stop\n{self.log()}") from error
            finally:
                self._kill()

    def restart(self, mode: Mode = "fast") -> None:
        """Stop it and start it again on the same port, with all that was committed."""
        self.stop(mode)
        self.start()

    def remove(self) -> None:
        """Stop it in any state, and remove all its files."""
        try:
            self.stop("immediate")
        finally:
            self._guard.communicate()
            if self.directory.exists():
                raise PostgresError(f"could not remove {self.directory}")

    def log(self, most: int = 4000) -> str:
        """Return the end of what the server wrote about itself, at most so many bytes of it."""
        path = self.directory / "log"
        text = path.read_bytes()[-most:].decode(errors="replace") if path.exists() else ""
        return f"log of PostgreSQL {self._programs}:\n{text}"

    def _connect(self, database: str) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(
            host=str(self.directory),
            port=self.port,
            user=SUPERUSER,
            password=self._secret,
            dbname=database,
            autocommit=True,
        )

    def _ready(self) -> bool:
        """Read what the server notes for its own tools: first its process, last its state."""
        try:
            lines = (self.directory / "data" / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        state = lines[7].strip() if len(lines) == 8 and lines[0] == str(self.pid) else ""
        return state in {"ready", "standby"}

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def private_server(
    *, fsync: bool = False, settings: Mapping[str, object] | None = None
) -> Iterator[Server]:
    """Run a server that a test may stop, crash and set up as it likes; remove it at the end.

    A failure inside shows the end of the server's log.
    """
    server = Server(fsync=fsync, settings=settings)
    try:
        server.create()
        yield server
    except BaseException as error:
        error.add_note(server.log())
        raise
    finally:
        server.remove()


@cache
def _shared() -> Server | PostgresError:
    try:
        server = Server()
        atexit.register(server.remove)
        server.create()
    except PostgresError as error:
        return error
    return server


def shared_server() -> Server:
    """Return the server that the tests of this process share, started when first asked for.

    Only the end of the process stops it. Raise PostgresError where none can be started:
    the same each time, for trying again takes time and does not help.
    """
    server = _shared()
    if isinstance(server, PostgresError):
        raise PostgresError(str(server))
    return server


def shared_log() -> str | None:
    """Return the end of the shared server's log if there is one already."""
    if not _shared.cache_info().currsize or isinstance(server := _shared(), PostgresError):
        return None
    return server.log()
