"""``serve`` and ``tokens`` as they are typed: those of the documentation, and their ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from support.commands import command, environment, runner
from support.network import free_port

PAGES = Path(__file__).parents[2] / "docs"
SAID = {
    "server.md": ("ready", '"version":1', '"data":{"total": 12}', ": connected", "is revoked"),
    "console.md": ("<!doctype html>",),
}


@pytest.mark.slow
@pytest.mark.parametrize("page", SAID)
def test_the_session_of_the_documentation_works(tmp_path: Path, page: str) -> None:
    text = (PAGES / page).read_text()
    block = re.search(r"<!-- server session -->\n```bash\n(.*?)```", text, re.DOTALL)
    assert block is not None
    script = block[1].replace("8080", str(free_port()))
    program = tmp_path / "bin" / "eventstore"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {" ".join(command())} "$@"\n')
    program.chmod(0o755)
    variables = environment(PATH=f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{script}wait || true\n"],
        check=False,
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done
    for said in SAID[page]:
        assert said in done.stdout.replace('{"total":12}', '{"total": 12}'), done


@pytest.mark.slow
def test_tokens_are_listed_without_their_secrets_and_revoked(tmp_path: Path) -> None:
    run = runner(tmp_path)
    run("init")
    made = run("tokens", "create", "a b", "--scope", "read", "--expires", "90d", "--json")
    values = json.loads(made.stdout)
    assert (made.returncode, values["name"], len(values["token"])) == (0, "a b", 43)
    listed = run("tokens", "list", "--json")
    assert json.loads(listed.stdout)["scopes"] == ["read"]
    assert values["token"] not in listed.stdout + run("tokens").stdout
    assert run("tokens", "revoke", "a b").returncode == 0
    gone = run("tokens", "revoke", "a b")
    assert (gone.returncode, "no token 'a b' is in force" in gone.stderr) == (1, True)
    wrong = run("tokens", "create", "x", "--scope", "root")
    assert (wrong.returncode, "use some of read, append" in wrong.stderr) == (1, True)
    past = run("tokens", "create", "x", "--scope", "read", "--expires", "2020-01-01T00:00Z")
    assert (past.returncode, "a time to come" in past.stderr) == (1, True)


@pytest.mark.slow
def test_a_server_ends_with_0_by_a_signal(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("serve", "--listen", "127.0.0.1:0", "--json"),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["url"].startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out, err) == (0, "", "")


def test_an_address_that_others_reach_is_one_clear_line(tmp_path: Path) -> None:
    done = runner(tmp_path)("serve", "--listen", "0.0.0.0:0")
    assert (done.returncode, done.stdout) == (1, "")
    assert "tokens would travel in clear" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
