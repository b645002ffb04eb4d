"""Commands on a database that holds no log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.postgres import shared_server

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Run


pytestmark = pytest.mark.slow


@pytest.mark.promise("creates-nothing")
@pytest.mark.parametrize("words", [["tail"], ["status"], ["rules"], ["verify"], ["export", "f"]])
def test_a_database_without_the_log_s_tables_gets_none(
    run: Run, tmp_path: Path, words: list[str]
) -> None:
    url = shared_server().fresh_schema()
    done = run(*words, EVENTSTORE_URL=url)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no log at postgresql://127.0.0.1:")
    assert "tester" not in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert run(*words, EVENTSTORE_URL=url).stderr == done.stderr
