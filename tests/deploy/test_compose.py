"""The compose file: what it says is run, service by service, against private servers."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import redis
import yaml
from redis.backoff import NoBackoff
from redis.retry import Retry
from support import compose
from support.commands import REPOSITORY
from support.compose import ComposeError, Service
from support.compose_stack import Stack
from support.network import HOST
from support.postgres import private_server
from support.processes import stop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

WORKERS = ["worker-1", "worker-2", "worker-3"]
EDGE = ["gateway", "nginx", "caddy"]
SERVICES = ["postgres", "redis", "master", *WORKERS, *EDGE]
TEXT = (REPOSITORY / compose.FILE).read_text()
EDITED = "encoded_powershell.yml"


def make_env(directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(directory / "config" / "make-env.sh")],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what the compose file needs, and make its .env by the documented command."""
    project = tmp_path_factory.mktemp("project")
    shutil.copytree(REPOSITORY / "config", project / "config")
    shutil.copy(REPOSITORY / ".env.example", project)
    done = make_env(project)
    assert done.returncode == 0, done.stderr
    return project


@pytest.fixture(scope="module")
def told(project: Path) -> dict[str, Any]:
    """Say what compose would make of the file and that .env."""
    return compose.load(TEXT, compose.read_env(project / ".env"))


@pytest.fixture(scope="module")
def stack(project: Path, told: dict[str, Any]) -> Iterator[Stack]:
    """Run everything."""
    with private_server() as server:
        stack = Stack(project, told, server)
        stack.adapt_files()
        stack.initialize()
        try:
            for name in WORKERS:
                stack.start(name)
            stack.await_health("redis")  # Workers do not wait for it; tests that speak to it do.
            yield stack
        except BaseException as error:
            error.add_note(stack.describe())
            raise
        finally:
            for service in stack.services.values():
                service.kill()


def edit(project: Path, version: int) -> None:
    file = project / "config" / "rules" / "ttp" / EDITED
    file.write_text(re.sub(r"rule_version: \d+", f"rule_version: {version}", file.read_text()))


def test_an_edited_rule_is_seen_by_all_workers(stack: Stack, project: Path) -> None:
    for name in WORKERS:
        # Up to here they have looked for themselves; what follows has to be told them.
        stack.until(lambda name=name: stack.shown(name, "mailbox_rule_hides_mail.yml"), name)  # type: ignore[misc]
    before = {name: stack[name].output.stat().st_size for name in WORKERS}
    edit(project, 7)
    for name in WORKERS:
        stack.until(
            lambda name=name: (  # type: ignore[misc]
                b"changed   R1001  encoded_powershell.yml"
                in stack[name].output.read_bytes()[before[name] :]
            ),
            name,
        )
    live = project / "volumes" / "live" / EDITED
    stack.until(lambda: live.exists() and "rule_version: 7" in live.read_text(), "master")


@pytest.mark.parametrize(
    "names", [["postgres"], ["redis"], ["master"], WORKERS], ids=lambda names: names[0]
)
def test_a_health_check_succeeds_and_fails_while_its_service_is_down(
    stack: Stack, names: list[str]
) -> None:
    for name in names:
        stack.await_health(name)
    for name in names:
        stack.down(name)
        assert stack[name].check().returncode in {1, 2}
    for name in names:
        stack.again(name)
    for name in names:
        stack.await_health(name)


def test_a_worker_that_stands_still_is_unwell(stack: Stack, project: Path) -> None:
    worker = stack["worker-1"]
    worker.told["healthcheck"]["test"][-1] = "0"
    assert worker.process is not None
    stop(worker.process)
    try:
        edit(project, 8)
        stack.until(lambda: worker.check().returncode == 1, "worker-1")
        assert re.search(r"error: consumer 'worker-1' is \d+ behind, by", worker.check().stderr)
    finally:
        worker.process.send_signal(signal.SIGCONT)
    stack.await_health("worker-1")


@pytest.mark.promise("redis")
def test_a_worker_s_role_reads_and_keeps_its_place_and_no_more(stack: Stack) -> None:
    worker = stack["worker-2"].environment["EVENTSTORE_URL"]
    for statement in (
        "INSERT INTO stream (id, name, version) VALUES (0, 'rule/R1', 1)",
        "INSERT INTO event SELECT * FROM event",
        "UPDATE head SET position = 0",
        "DELETE FROM consumer",
        "CREATE TABLE mine ()",
    ):
        with psycopg.connect(worker) as connection:
            assert connection.execute("SELECT 1 FROM event").fetchone()
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_what_a_worker_may_not_do_is_one_line(stack: Stack, project: Path) -> None:
    done = subprocess.run(
        ["eventstore", "state", "R1001", "disabled"],
        cwd=project,
        env=stack["worker-2"].environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch("error: .*permission denied for table .*\n", done.stderr)


def test_a_worker_holds_two_sessions_of_the_database(stack: Stack) -> None:
    count = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'worker'"
    stack.until(lambda: stack.server.execute(count) == [(2 * len(WORKERS),)], *WORKERS)


def test_the_gateway_serves_the_log_with_the_rights_of_the_master(stack: Stack) -> None:
    stack.start("gateway")
    stack.await_health("gateway")
    stack.down("gateway")
    assert stack["gateway"].check().returncode != 0


def test_only_what_is_asked_for_by_a_profile_listens_beyond_the_containers(
    told: dict[str, Any],
) -> None:
    for name, service in told["services"].items():
        assert bool(service.get("profiles")) == (name in EDGE)
        published = [port for port in service.get("ports", ()) if "127.0.0.1:" not in port]
        assert not published
        assert ("ports" in service) == (name in {"nginx", "caddy"})


def test_a_wait_for_a_service_that_has_ended_fails_at_once_and_says_why(tmp_path: Path) -> None:
    told = {"command": ["sh", "-c", "echo the disk is full; exit 3"]}
    service = Service("store", told, {}, {"PATH": os.defpath}, tmp_path / "store.log")
    service.start()
    with pytest.raises(AssertionError, match=r"store ended with 3:\nthe disk is full"):
        compose.until(lambda: False, service)


@pytest.mark.promise("redis")
def test_only_the_master_may_publish_and_nobody_comes_in_unnamed(stack: Stack) -> None:
    words = stack["redis"].environment
    port = stack.redis_port

    def client(user: str) -> redis.Redis:
        password = words[f"{user.upper()}_PASSWORD"]
        return redis.Redis(
            host=HOST, port=port, username=user, password=password, retry=Retry(NoBackoff(), 0)
        )

    with client("master") as master, client("worker") as worker:
        assert master.publish("eventstore:nobody's", "1") == 0
        with pytest.raises(redis.exceptions.NoPermissionError):
            worker.publish("eventstore:nobody's", "1")
        for each in (master, worker):
            with pytest.raises(redis.exceptions.NoPermissionError):
                each.set("eventstore:nobody's", "1")
    with client("worker") as stranger, pytest.raises(redis.AuthenticationError):
        stranger.execute_command("AUTH", "default", "")
    stranger = redis.Redis(host=HOST, port=port, retry=Retry(NoBackoff(), 0))
    with stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def validate(document: dict[str, Any], directory: Path) -> subprocess.CompletedProcess[str]:
    file = directory / "compose.yml"
    file.write_text(yaml.safe_dump(document))
    return subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", file],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_file_is_one_of_the_compose_specification(told: dict[str, Any], tmp_path: Path) -> None:
    done = validate(told, tmp_path)
    assert done.returncode == 0, done.stdout
    wrong = {**told, "services": {"redis": {**told["services"]["redis"], "comand": ["x"]}}}
    assert "comand" in validate(wrong, tmp_path).stdout


def test_each_service_has_a_health_check_and_comes_back(told: dict[str, Any]) -> None:
    assert list(told["services"]) == SERVICES
    for service in told["services"].values():
        assert service["healthcheck"]["test"]
        assert service["restart"] == "unless-stopped"
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in told["volumes"] or (REPOSITORY / source).exists()


def test_each_service_has_limits_and_logs_that_rotate(told: dict[str, Any]) -> None:
    for service in told["services"].values():
        assert re.fullmatch(r"[1-9]\d*[mg]", service["mem_limit"])
        assert float(service["cpus"]) > 0
        assert 0 < service["pids_limit"] <= 1000
        assert re.fullmatch(r"[1-9]\d*m", service["logging"]["options"]["max-size"])
        assert int(service["logging"]["options"]["max-file"]) >= 2


@pytest.mark.promise("redis")
def test_every_secret_comes_from_outside_and_a_missing_one_is_asked_for(project: Path) -> None:
    examples = compose.read_env(REPOSITORY / ".env.example")
    assert set(examples) == set(re.findall(r"\$\{(\w+):\?", TEXT))
    assert set(examples.values()) == {""}
    given = compose.read_env(project / ".env")
    for name in examples:
        missing = {**given, name: ""}
        with pytest.raises(ComposeError, match=f"{name} .*run 'sh config/make-env.sh' once"):
            compose.load(TEXT, missing)
    for file in (".gitignore", ".dockerignore"):
        lines = (REPOSITORY / file).read_text().splitlines()
        assert "/.env" in lines or "*" in lines
    assert "!.env" not in (REPOSITORY / ".dockerignore").read_text()


def test_the_secrets_that_are_made_are_new_private_and_kept(project: Path) -> None:
    made = compose.read_env(project / ".env")
    assert all(re.fullmatch("[0-9a-f]{48}", value) for value in made.values())
    assert len(set(made.values())) == len(made)
    assert (project / ".env").stat().st_mode & 0o777 == 0o600
    again = make_env(project)
    assert again.returncode == 1
    assert ".env is there already" in again.stderr
    assert compose.read_env(project / ".env") == made
    assert not (project / ".env.new").exists()


@pytest.mark.parametrize("text", ["$", "${", "${A", "${A:+b}", "${A-b}", "a$1", "${A:?${B}}"])
def test_what_looks_like_a_variable_and_is_none_is_refused(text: str) -> None:
    with pytest.raises(ComposeError):
        compose.interpolate(text, {"A": "1", "B": "2"})


def test_variables_are_filled_in_as_compose_does() -> None:
    variables = {"A": "1", "EMPTY": ""}
    filled = compose.interpolate("$$A $A ${A} [${EMPTY}] ${EMPTY:-d} ${NO:-}", variables)
    assert filled == "$A 1 1 [] d "
    with pytest.raises(ComposeError, match="NO is missing a value: say it"):
        compose.interpolate("${NO:?say it}", variables)


def test_the_image_is_built_of_what_is_there() -> None:
    text = (REPOSITORY / "Dockerfile").read_text()
    sources = [
        word for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE) for word in line.split()
    ]
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert {"pyproject.toml", "eventstore", "projections"} <= set(sources)
    for source in sources:
        assert (REPOSITORY / source).exists()
        assert f"!{source}" in ignored
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    (extras,) = re.findall(r"pip install .*\[([\w,]+)\]", text)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert set(compose.docker_words("ENTRYPOINT")) <= set(project["scripts"])
    user = re.search(r"^USER (\S+)$", text, re.MULTILINE)
    assert user is not None
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user[1])
