"""No command prints the password of a URL that it was given, however that is spelled."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.commands import REPOSITORY

if TYPE_CHECKING:
    from support.commands import Run

pytestmark = pytest.mark.slow

SPELLINGS = [
    "postgresql://u:TOPSECRET@127.0.0.1:1/db?connect_timeout=1",
    "POSTGRESQL://u:TOPSECRET@127.0.0.1:1/db",
    "postgresql://127.0.0.1:1/db?password=TOPSECRET&connect_timeout=1",
    "sqlite://u:TOPSECRET@h",
    "postgresql://u:TOPSECRET/@127.0.0.1:1/db",
]


@pytest.mark.parametrize("url", SPELLINGS)
@pytest.mark.parametrize(
    "command",
    [
        ["status", "--url"],
        ["verify", "--view"],
        ["rebuild", "rules", "--database"],
        ["restore", "backup.db", "--url"],
    ],
    ids=lambda command: command[0],
)
def test_a_password_appears_in_no_output(run: Run, command: list[str], url: str) -> None:
    assert run("sync", str(REPOSITORY / "config" / "rules" / "ttp"), "--once").returncode == 0
    if command[0] == "restore":
        assert run("backup", "backup.db").returncode == 0
    done = run(*command, url)
    assert done.returncode == 1, done.stdout
    assert "TOPSECRET" not in done.stdout + done.stderr


def test_a_place_that_is_restored_is_named(run: Run) -> None:
    assert run("sync", str(REPOSITORY / "config" / "rules" / "ttp"), "--once").returncode == 0
    assert run("backup", "backup.db").returncode == 0
    done = run("restore", "backup.db", "--url", "sqlite:///again.db", "--json")
    assert json.loads(done.stdout)["url"] == "sqlite:///again.db"
