"""A compose file without an engine: its services as processes of this host.

Takes each service's command, environment and health check as they are written, with variables
filled in as compose does. What differs is where things are: a host's name and port become those
of a private server, and the places that volumes are mounted at become directories. A service that
ends is not started again: a test that awaits it fails with what it wrote.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

from support import fleet
from support.commands import REPOSITORY
from support.network import HOST
from support.postgres_programs import find_programs
from support.redis import find_program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

FILE: Final = "docker-compose.yml"
PATIENCE: Final = 10
"""How many times as long as in earnest a health check may take, on a machine that is busy."""

NAME: Final = "[_a-zA-Z][_a-zA-Z0-9]*"
VARIABLE: Final = re.compile(
    rf"\$(?:(?P<dollar>\$)|(?P<plain>{NAME})|"
    rf"\{{(?P<name>{NAME})(?:(?P<operator>:[-?])(?P<rest>[^{{}}$]*))?\}}|(?P<other>))"
)


class ComposeError(Exception):
    """A compose file says what compose would refuse, or what these tests do not know."""


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Fill in ``$NAME``, ``${NAME}``, ``${NAME:-default}`` and ``${NAME:?message}``.

    ``$$`` is a dollar. Stricter than compose: what is not set is an error, and so is all else
    that begins with a dollar.
    """

    def fill(found: re.Match[str]) -> str:
        if found["dollar"]:
            return "$"
        name = found["plain"] or found["name"]
        if name is None:
            raise ComposeError(f"{text!r}: a dollar that begins nothing; write $$")
        if variables.get(name) or (name in variables and not found["operator"]):
            return variables[name]
        if found["operator"] == ":-":
            return str(found["rest"])
        raise ComposeError(f"{name} is missing a value: {found['rest'] or 'it has no default'}")

    return VARIABLE.sub(fill, text)


def load(text: str, variables: Mapping[str, str]) -> dict[str, Any]:
    """Return what a compose file says, once its variables are filled in."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(one) for key, one in value.items()}
        if isinstance(value, list):
            return [walk(one) for one in value]
        return interpolate(value, variables) if isinstance(value, str) else value

    filled = walk(yaml.safe_load(text))
    assert isinstance(filled, dict)
    return filled


def read_env(path: Path) -> dict[str, str]:
    """Return the variables of an .env file of plain lines."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def docker_words(instruction: str) -> list[str]:
    """Return the words of the Dockerfile's instruction, which is written as a list."""
    text = (REPOSITORY / "Dockerfile").read_text()
    (found,) = re.findall(rf"^{instruction} (\[.*\])$", text, re.MULTILINE)
    return [str(word) for word in json.loads(found)]


@dataclass
class Service:
    """One service as a process: where it is told, how it starts, how it is asked for its health."""

    name: str
    told: dict[str, Any]
    places: dict[str, str]
    """What to write for a name or path that only containers have."""
    variables: dict[str, str]
    output: Path
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def adapt(self, text: str) -> str:
        """Replace what only containers have: longer ones first, and whole ones only."""
        for place in sorted(self.places, key=len, reverse=True):
            text = re.sub(
                rf"(?<![\w./-]){re.escape(place)}(?![\w.-])",
                lambda _, place=place: self.places[place],  # type: ignore[misc]
                text,
            )
        return text

    @property
    def environment(self) -> dict[str, str]:
        """What the container would be given, and the programs that its image would have."""
        told = self.told.get("environment", {})
        return {**self.variables, **{name: self.adapt(str(told[name])) for name in told}}

    def start(self) -> None:
        """Run the image's entrypoint, where it is ours, with the service's command."""
        entrypoint = docker_words("ENTRYPOINT") if "build" in self.told else []
        words = [self.adapt(word) for word in [*entrypoint, *self.told["command"]]]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                words,
                cwd=self.output.parent,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def describe(self) -> str:
        """Say whether it runs, or its exit status, and the end of what it wrote."""
        code = None if self.process is None else self.process.poll()
        text = self.output.read_text(errors="replace") if self.output.exists() else ""
        state = "was not started" if self.process is None else "runs"
        return f"{self.name} {state if code is None else f'ended with {code}'}:\n{text[-2000:]}"

    def check_runs(self) -> None:
        """Fail where its process has ended, and show why."""
        assert self.process is None or self.process.poll() is None, self.describe()

    def check(self) -> subprocess.CompletedProcess[str]:
        """Run the health check; one that takes far longer than it may ends with status -9."""
        health = self.told["healthcheck"]
        kind, *words = (self.adapt(word) for word in health["test"])
        assert kind in {"CMD", "CMD-SHELL"}
        words = words if kind == "CMD" else ["/bin/sh", "-c", *words]
        try:
            return subprocess.run(
                words,
                cwd=self.output.parent,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE * int(health["timeout"].removesuffix("s")),
                check=False,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(words, -signal.SIGKILL, "", "too late")


def until(condition: Callable[[], object], *services: Service) -> None:
    """Return once the condition holds; fail at once where a service has ended.

    While they run there is no limit but that of the test: a busy machine may take long.
    """

    def holds() -> bool:
        if condition():
            return True
        for service in services:
            service.check_runs()
        return False

    fleet.until(holds)


def mounts(told: Mapping[str, Any], project: Path) -> dict[str, str]:
    """Return which directory or file of this host is where in a service."""
    places = {}
    for volume in told.get("volumes", ()):
        source, target = volume.split(":")[:2]
        here = project / source if source.startswith("./") else project / "volumes" / source
        if not source.startswith("./"):
            here.mkdir(parents=True, exist_ok=True)
        elif not here.exists():
            raise ComposeError(f"{source} is mounted at {target}, but is not there")
        places[target] = str(here)
    for target in told.get("tmpfs", ()):
        here = project / "tmpfs" / target.strip("/")
        here.mkdir(parents=True)
        places[target] = str(here)
    return places


def programs(directory: Path, **extra: str) -> dict[str, str]:
    """Lay out what the images have on their PATH; return an environment with nothing else."""
    directory.mkdir()
    redis = os.path.dirname(find_program())  # noqa: PTH120 - a link is to stay one
    postgres = str(find_programs().folder)
    path = os.pathsep.join([redis, postgres, os.environ.get("PATH", os.defpath)])
    for name in ("redis-server", "redis-cli", "pg_isready", "psql"):
        found = shutil.which(name, path=path)
        assert found, f"{name} is needed to run the compose file's commands"
        (directory / name).symlink_to(found)
    for name, module in {"eventstore": "-m eventstore.cli", "python": ""}.items():
        command = directory / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        command.chmod(0o755)
    return {
        "PATH": f"{directory}{os.pathsep}{os.defpath}",
        "PYTHONPATH": str(REPOSITORY),
        "NO_COLOR": "1",
        **extra,
    }


def hosts(ports: Mapping[str, tuple[str, int]]) -> dict[str, str]:
    """Say where the services are: ``ports`` gives each one's own port and its port here."""
    return {f"{name}:{own}": f"{HOST}:{here}" for name, (own, here) in ports.items()} | {
        own: str(here) for own, here in ports.values()
    }
