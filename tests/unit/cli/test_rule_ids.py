"""A rule that is named by its UUID is found however that is spelled."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.master import fill, ttp

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Run

CANONICAL = "0e2a3c4d-1111-4222-8333-444455556666"
SPELLINGS = [
    CANONICAL.upper(),
    f"{{{CANONICAL}}}",
    f"urn:uuid:{CANONICAL}",
    CANONICAL.replace("-", ""),
]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("stored", [CANONICAL, CANONICAL.upper()])
def test_another_spelling_finds_its_rule(
    run: Run, tmp_path: Path, stored: str, spelling: str
) -> None:
    fill(tmp_path / "rules", {"a.yml": ttp(stored)})
    assert run("sync", "rules", "--once").returncode == 0
    done = run("state", spelling, "disabled", "--json")
    assert json.loads(done.stdout)["stream"] == f"rule-state/{stored}"
    (rule,) = run("rules", "--json").stdout.splitlines()
    assert json.loads(rule)["state"]["state"] == "disabled"
    for words in (["history", spelling], ["show", spelling], ["history", f"rule/{spelling}"]):
        done = run(*words, "--json")
        found = {json.loads(line)["stream"] for line in done.stdout.splitlines()}
        assert f"rule/{stored}" in found
        assert len(found) == (1 if "/" in words[1] else 2)


def test_a_uuid_that_no_rule_has_yet_is_stored_as_formats_spell_it(run: Run) -> None:
    done = run("state", CANONICAL.upper(), "disabled", "--json")
    assert json.loads(done.stdout)["stream"] == f"rule-state/{CANONICAL}"


def test_an_id_that_is_no_uuid_is_taken_as_it_is(run: Run) -> None:
    assert run("state", "R1", "disabled").returncode == 0
    done = run("history", "r1")
    assert done.returncode == 1
    assert done.stderr.startswith("error: stream 'r1': has no events")
