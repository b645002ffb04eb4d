"""The tests in docs/testing.md pass, with the plugin as it is installed."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.commands import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def run_tests(directory: Path, *options: str) -> str:
    """Run the tests of the page as another project would, and return what pytest prints."""
    text = (REPOSITORY / "docs" / "testing.md").read_text()
    blocks = re.findall(r"<!-- (test_\w+\.py) -->\n```python\n(.*?)```", text, re.DOTALL)
    settings = re.search(r"```ini\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == text.count("```python") == 3
    assert settings is not None
    for name, block in blocks:
        (directory / name).write_text(block)
    (directory / "pytest.ini").write_text(settings[1])
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-v", "-p", "no:cacheprovider", *options],
        cwd=directory,
        env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_the_tests_of_the_page_pass_on_each_database_that_is_named(tmp_path: Path) -> None:
    printed = run_tests(tmp_path)
    assert "test_each_day_has_its_total[memory] PASSED" in printed
    assert "test_each_day_has_its_total[sqlite] PASSED" in printed
    assert "4 passed" in run_tests(tmp_path, "test_totals.py")
    assert "TestMyFormat::test_any_content_is_a_live_rule_or_a_typed_refusal PASSED" in printed
    assert "TestTotals::test_its_rows_depend_on_the_log_alone PASSED" in printed
    assert "failed" not in printed
    assert "test_each_day_has_its_total[sqlite]" not in run_tests(
        tmp_path, "--event-store=memory", "-k", "each_day"
    )
