"""A forked child can neither use nor harm what its parent has open."""

from __future__ import annotations

from subprocess import PIPE

import pytest
from support.audit import audit_url
from support.processes import run

SLOW = pytest.mark.slow
OTHERS = ("idle", "process", "preload")


@pytest.mark.parametrize("way", ["writing", *(pytest.param(one, marks=SLOW) for one in OTHERS)])
def test_a_forked_child_is_refused_and_harms_nothing(lasting_url: str, way: str) -> None:
    ended = run("forked_uses", lasting_url, way, stdout=PIPE, stderr=PIPE, text=True)
    child, status, parent, *rest = ended.stdout.splitlines() or [ended.stderr]
    assert child.startswith("child: ")
    assert child.endswith(" uses, not refused: []")
    assert (status, parent, rest) == ("status 0", "parent 6 6", [])
    assert (ended.returncode, ended.stderr) == (0, "")
    assert audit_url(lasting_url) == 6
