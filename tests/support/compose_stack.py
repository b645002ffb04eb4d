"""All services of the compose file, as processes beside a private PostgreSQL."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support import compose
from support.compose import Service
from support.network import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.postgres import Server

INIT = "/docker-entrypoint-initdb.d/"


class Stack:
    """All services, started in the order that they ask for."""

    def __init__(self, project: Path, told: dict[str, Any], server: Server) -> None:
        self.server = server
        self.started: set[str] = set()
        self.redis_port = free_port()
        ports = {
            "postgres": ("5432", server.port),
            "redis": ("6379", self.redis_port),
            "gateway": ("8080", free_port()),
        }
        # Nothing that arrives was looked for within an hour: it was woken by Redis.
        variables = compose.programs(project / "bin", EVENTSTORE_POLL_SECONDS="3600")
        self.services = {
            name: Service(
                name,
                each,
                compose.hosts(ports) | compose.mounts(each, project),
                variables,
                project / f"{name}.log",
            )
            for name, each in told["services"].items()
        }

    def adapt_files(self) -> None:
        """Bring the ports and directories of this host into the files that Redis reads."""
        service = self["redis"]
        for file in Path(service.places["/etc/redis"]).iterdir():
            file.write_text(service.adapt(file.read_text()))

    def __getitem__(self, name: str) -> Service:
        return self.services[name]

    def initialize(self) -> None:
        """Do what the image of PostgreSQL does with an empty volume."""
        service = self["postgres"]
        database = service.environment["POSTGRES_DB"]
        self.server.execute(f"CREATE DATABASE {database}")
        scripts = sorted(place for place in service.places if place.startswith(INIT))
        assert scripts, "roles.sql is mounted where the image looks"
        for script in scripts:
            words = f"psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc -U postgres -d {database}"
            place = {"PGHOST": HOST, "PGPORT": str(self.server.port)}
            subprocess.run(
                [*words.split(), "-f", service.places[script]],
                env={**service.environment, **place, "PGPASSWORD": self.server._secret},
                check=True,
                capture_output=True,
            )

    def start(self, name: str) -> None:
        """Start a service once what it depends on was started, and is as it asks."""
        for other, wanted in self[name].told.get("depends_on", {}).items():
            if other not in self.started:
                self.start(other)
                if wanted["condition"] == "service_healthy":
                    self.await_health(other)
        self.started.add(name)
        if name != "postgres":
            self[name].start()

    def await_health(self, name: str) -> None:
        """Return once a service is healthy; fail once it has ended."""
        self.until(lambda: self[name].check().returncode == 0, name)

    def until(self, condition: Callable[[], object], *names: str) -> None:
        """Return once the condition holds; fail once one of the services has ended."""
        compose.until(condition, *(self[name] for name in names))

    def describe(self) -> str:
        """Say of each service whether it runs, or its exit status, with the end of its output."""
        texts = [each.describe() for name, each in self.services.items() if name != "postgres"]
        return "\n".join([*texts, self.server.log()])

    def shown(self, name: str, text: str) -> bool:
        """Whether a service has written a text."""
        return text in self[name].output.read_text()

    def down(self, name: str) -> None:
        """End a service at once."""
        self.server.stop() if name == "postgres" else self[name].kill()

    def again(self, name: str) -> None:
        """Start a service that is down."""
        self.server.start() if name == "postgres" else self[name].start()
