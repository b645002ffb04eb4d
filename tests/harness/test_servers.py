"""The servers and the misbehaving network that other tests rely on do what they say."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from support import postgres_programs
from support.network import HOST, free_port
from support.postgres import Server, private_server
from support.postgres_programs import PostgresError
from support.processes import environment, lines, words
from support.proxy import Proxy, proxied
from support.waiting import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.proxy import Side

pytestmark = pytest.mark.slow


def test_answers_an_ordinary_role_that_gave_its_password(postgres: Server) -> None:
    with psycopg.connect(postgres.url()) as connection:
        found = connection.execute(
            "SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert found == ("tester", False)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url(), password="wrong")


def test_fresh_schemas_are_separate(postgres: Server) -> None:
    first, second = postgres.fresh_schema(), postgres.fresh_schema()
    for url, value in ((first, 1), (second, 2)):
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE thing (value int)")
            connection.execute("INSERT INTO thing VALUES (%s)", [value])
    with psycopg.connect(first) as connection:
        assert connection.execute("SELECT value FROM thing").fetchall() == [(1,)]


def test_keeps_what_was_committed_over_stop_and_crash() -> None:
    with private_server(fsync=True, settings={"max_connections": 20}) as server:
        (folder, port, url) = (server.directory, server.port, server.fresh_schema())
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE thing (value int)")
            connection.execute("INSERT INTO thing VALUES (1)")
            connection.execute("BEGIN")
            connection.execute("INSERT INTO thing VALUES (2)")
            old = server.pid
            server.restart("immediate")
            with pytest.raises(psycopg.OperationalError):
                connection.execute("COMMIT")
        assert (server.port, server.pid != old) == (port, True)
        assert "was not properly shut down" in server.log()
        server.restart()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT value FROM thing").fetchall() == [(1,)]
        settings = "SELECT current_setting('fsync'), current_setting('max_connections')"
        assert server.execute(settings) == [("on", "20")]
        server.stop()
        with pytest.raises(psycopg.OperationalError, match="refused"):
            psycopg.connect(url)
    assert not folder.exists()


def test_says_why_a_server_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(PostgresError, match="no_such_setting"),
        private_server(settings={"no_such_setting": 1}),
    ):
        pass
    monkeypatch.setenv(postgres_programs.CHOICE, "/nowhere")
    with pytest.raises(PostgresError, match=r"(?s)found no PostgreSQL.*\[test\].*/nowhere"):
        postgres_programs.find_programs.__wrapped__()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, None])
def test_leaves_nothing_behind_however_its_process_ends(end: signal.Signals | None) -> None:
    with subprocess.Popen(
        words("postgres_holder"),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        folder, pid = next(lines(process)).split()
        os.kill(int(pid), 0)
        if end is not None:
            process.send_signal(end)
        process.communicate()
    deadline = time.monotonic() + DEADLINE
    while Path(folder).exists() or Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, f"{folder} or process {pid} is still there"
        time.sleep(0.01)


@contextmanager
def echo() -> Iterator[tuple[Proxy, Callable[[], socket.socket]]]:
    """Run a server that answers each piece with the same in brackets, behind a proxy."""

    def serve(connection: socket.socket) -> None:
        with connection, suppressed():
            while data := connection.recv(1024):
                connection.sendall(b"[" + data + b"]")

    def listen() -> None:
        with suppressed():
            while True:
                threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()

    with socket.create_server((HOST, 0)) as listener:
        threading.Thread(target=listen, daemon=True).start()
        with proxied(HOST, listener.getsockname()[1]) as proxy:
            yield proxy, lambda: socket.create_connection((HOST, proxy.port), DEADLINE)
        listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def suppressed() -> Iterator[None]:
    """Let a connection that breaks end quietly."""
    try:
        yield
    except OSError:
        return


def ask(client: socket.socket, question: bytes) -> bytes:
    """Send something and return the answer; fail if there is none."""
    client.sendall(question)
    return client.recv(1024)


def test_a_cut_breaks_connections_and_lets_new_ones_be() -> None:
    with echo() as (proxy, connect), connect() as client:
        assert ask(client, b"a") == b"[a]"
        assert proxy.connections == 1
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert proxy.connections == 0
        with connect() as another:
            assert ask(another, b"b") == b"[b]"
        assert proxy.accepted == 2


def test_an_ordinary_end_arrives_at_the_other_side() -> None:
    with echo() as (proxy, connect), connect() as client:
        assert ask(client, b"a") == b"[a]"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        deadline = time.monotonic() + DEADLINE
        while proxy.connections:
            assert time.monotonic() < deadline


def test_frozen_it_takes_bytes_and_delivers_them_when_it_thaws() -> None:
    with echo() as (proxy, connect), connect() as client:
        assert ask(client, b"a") == b"[a]"
        proxy.freeze()
        client.sendall(b"b")
        with connect() as late:
            late.sendall(b"c")
            for silent in (client, late):
                silent.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    silent.recv(1024)
                silent.settimeout(DEADLINE)
            proxy.thaw()
            assert (client.recv(1024), late.recv(1024)) == (b"[b]", b"[c]")


def test_a_delay_is_met_in_both_directions_and_ends() -> None:
    with echo() as (proxy, connect), connect() as client:
        proxy.delay(0.1)
        began = time.monotonic()
        assert ask(client, b"a") == b"[a]"
        assert time.monotonic() - began >= 0.2
        proxy.delay(2 * DEADLINE)
        proxy.delay(0.0)
        assert ask(client, b"b") == b"[b]", "or the client gives up"


def test_refuses_connections_until_it_accepts_again() -> None:
    with echo() as (proxy, connect), connect() as client:
        assert ask(client, b"a") == b"[a]"
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect()
        assert ask(client, b"a") == b"[a]"
        proxy.accept()
        with connect() as another:
            assert ask(another, b"b") == b"[b]"


def test_a_server_that_is_gone_breaks_the_connection() -> None:
    with (
        proxied(HOST, free_port()) as proxy,
        pytest.raises(ConnectionResetError),  # perhaps before the client knows it is connected
        socket.create_connection((HOST, proxy.port), DEADLINE) as client,
    ):
        client.recv(1)


def test_bytes_in_pieces_trigger_once() -> None:
    with echo() as (proxy, connect), connect() as client:
        calls: list[int] = []
        assert ask(client, b"COM") == b"[COM]"
        fired = proxy.when(b"COMMIT", lambda: calls.append(1))
        assert ask(client, b"X") == b"[X]"
        assert ask(client, b"COM") == b"[COM]"
        assert not fired.is_set()
        assert ask(client, b"MIT") == b"[MIT]"
        assert fired.is_set()
        assert ask(client, b"COMMIT") == b"[COMMIT]"
        assert calls == [1]


def test_frozen_by_bytes_it_delivers_them_later() -> None:
    with echo() as (proxy, connect), connect() as client:
        fired = proxy.when(b"stop", proxy.freeze, sender="server")
        client.sendall(b"stop")
        assert fired.wait(DEADLINE)
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(1024)
        client.settimeout(DEADLINE)
        proxy.thaw()
        assert client.recv(1024) == b"[stop]"


@pytest.mark.parametrize(
    ("sender", "after", "kept"),
    [("client", False, {0}), ("client", True, {0, 1}), ("server", False, {1})],
)
def test_a_cut_around_a_commit_leaves_the_client_in_doubt(
    postgres: Server, sender: Side, after: bool, kept: set[int]
) -> None:
    url = postgres.fresh_schema()
    with closing(psycopg.connect(url, autocommit=True)) as plain:
        plain.execute("CREATE TABLE thing (value int)")
        with proxied(HOST, postgres.port) as proxy:
            with psycopg.connect(proxy.url(url), autocommit=True) as connection:
                connection.execute("BEGIN")
                connection.execute("INSERT INTO thing VALUES (1)")
                pid = connection.info.backend_pid
                fired = proxy.when(b"COMMIT", proxy.cut, sender=sender, after=after)
                with pytest.raises(psycopg.OperationalError):
                    connection.execute("COMMIT")
                assert fired.is_set()
            gone = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
            deadline = time.monotonic() + DEADLINE
            while postgres.execute(gone, pid) != [(0,)]:
                assert time.monotonic() < deadline
        rows = plain.execute("SELECT count(*) FROM thing").fetchone()
    assert rows is not None
    assert rows[0] in kept
