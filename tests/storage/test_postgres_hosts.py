"""Which server a URL with several hosts means, and TLS: libpq's own, passed through."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest
from support.audit import audit_postgres
from support.logs import positions, some
from support.network import HOST, free_port
from support.postgres import USER, private_server
from support.postgres_programs import give_away
from support.waiting import take

from eventstore import EventStore, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.postgres import Server

pytestmark = pytest.mark.anyio


@pytest.fixture
def url(postgres: Server) -> str:
    """Name a schema with nothing in it."""
    return postgres.fresh_schema()


async def test_the_second_host_answers_where_the_first_refuses(postgres: Server, url: str) -> None:
    place = f"{HOST}:{postgres.port}"
    both = url.replace(place, f"{HOST}:{free_port()},{place}")
    both += "&target_session_attrs=read-write"
    async with EventStore.open(both) as store, EventStore.open(both) as other:
        subscription = store.subscribe_changes()
        await other.append("a/1", some(1))
        assert positions(await take(subscription, 1)) == [1]
        assert f"{HOST}:{postgres.port}" in store.url


@pytest.mark.slow
async def test_the_first_host_that_writes_is_chosen(postgres: Server, url: str) -> None:
    secret = psycopg.conninfo.conninfo_to_dict(url)["password"]
    with private_server() as reads:
        reads.execute(f"ALTER ROLE {USER} PASSWORD '{secret}'")
        reads.execute(f"ALTER ROLE {USER} SET default_transaction_read_only = on")
        place = f"{HOST}:{postgres.port}"
        both = url.replace(place, f"{HOST}:{reads.port},{place}")
        async with EventStore.open(f"{both}&target_session_attrs=read-write") as store:
            assert (await store.append("a/1", some(1))).position == 1
    assert audit_postgres(url) == 1


def certificate(directory: Path, name: str) -> Path:
    """Make a certificate that signs itself, for this machine; return its file."""
    file = directory / f"{name}.crt"
    words = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=x "
        f"-addext subjectAltName=IP:{HOST},DNS:localhost -keyout {name}.key -out {name}.crt"
    )
    subprocess.run(
        ["openssl", *words.split()],
        check=True,
        capture_output=True,
        cwd=directory,
    )
    return file


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path, Path]]:
    """Run a server that only takes TLS; give it, its certificate, and another one."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the program openssl to make a certificate")
    directory = tmp_path_factory.mktemp("certificates")
    right, wrong = certificate(directory, "right"), certificate(directory, "wrong")
    with private_server() as server:
        folder = server.directory / "data"
        for suffix in (".crt", ".key"):
            shutil.copy(right.with_suffix(suffix), folder / f"server{suffix}")
        (folder / "server.key").chmod(0o600)
        with (folder / "postgresql.conf").open("a") as file:
            file.write("ssl = on\n")
        rules = folder / "pg_hba.conf"
        rules.write_text(rules.read_text().replace("host  ", "hostssl"))
        give_away(folder)
        server.restart()
        yield server, right, wrong


@pytest.mark.slow
async def test_tls_with_the_right_root_works(encrypted: tuple[Server, Path, Path]) -> None:
    server, right, _ = encrypted
    url = f"{server.fresh_schema()}&sslmode=verify-full&sslrootcert={right}"
    async with EventStore.open(url) as store, EventStore.open(url) as other:
        subscription = store.subscribe_changes()
        await other.append("a/1", some(100))
        assert len(await take(subscription, 100)) == 100
        found = server.execute(
            "SELECT bool_and(ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
            "WHERE usename = %s",
            USER,
        )
        assert found[0][0]
        assert found[0][1] >= 4


async def test_tls_with_another_root_is_refused(encrypted: tuple[Server, Path, Path]) -> None:
    server, _, wrong = encrypted
    url = f"{server.fresh_schema()}&sslmode=verify-full&sslrootcert={wrong}"
    with pytest.raises(StorageError, match="certificate verify failed"):
        async with EventStore.open(url):
            pass


async def test_a_name_that_is_not_the_certificate_s_is_refused(
    encrypted: tuple[Server, Path, Path],
) -> None:
    server, right, _ = encrypted
    url = f"{server.fresh_schema()}&sslmode=verify-full&sslrootcert={right}"
    with pytest.raises(StorageError, match="does not match host name"):
        async with EventStore.open(url.replace(HOST, "127.0.0.2") + f"&hostaddr={HOST}"):
            pass


async def test_plain_text_is_refused_where_the_server_wants_tls(
    encrypted: tuple[Server, Path, Path],
) -> None:
    server, _, _ = encrypted
    with pytest.raises(StorageError, match="no encryption"):
        async with EventStore.open(f"{server.fresh_schema()}&sslmode=disable"):
            pass
