"""``hold`` and ``release``, and what ``status`` says of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from support.commands import refused
from support.master import fill, ttp

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Run


def test_rules_are_held_until_they_are_released(run: Run, tmp_path: Path) -> None:
    root = fill(tmp_path / "rules", {"1.yml": ttp("R1")})
    run("sync", "rules", "--once")
    assert "rules are held at now (position 1)" in run("hold", "--reason", "odd\x1b[m").stdout
    fill(root, {"1.yml": ttp("R1", "second")})
    run("sync", "rules", "--once")
    assert json.loads(run("rules", "--json").stdout)["name"] == "first"
    assert "rules are held at position 1 since" in run("status").stdout
    (held,) = json.loads(run("status", "--json").stdout)["holds"]
    assert (held["position"], held["reason"]) == (1, "odd\x1b[m")
    assert "held      rules at position 1" in run("history", "rule-hold/all").stdout
    assert run("release").returncode == 0
    assert json.loads(run("rules", "--json").stdout)["name"] == "second"
    assert "rules are held" not in run("status").stdout
    assert "are not held" in refused(run, "release")


def test_rules_are_held_at_none_only_where_that_is_said(run: Run, tmp_path: Path) -> None:
    run("init")
    fill(tmp_path / "rules", {"1.yml": ttp("R1")})
    run("sync", "rules", "--once")
    assert "moment 0: no rule stood then" in refused(run, "hold", "0")
    assert "rules are held at 0" in run("hold", "0", "--allow-empty").stdout
