"""Run README's first command as a new user does, on the base install alone, and edit a rule.

``python -m scripts.first_command DIRECTORY`` runs it in a copy of the project: it waits until
each sample rule is reported, edits one, waits until that is reported, presses Ctrl-C and expects
status 0. It has no time limit of its own.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

COMMAND: Final = re.compile(r"^```sh\n(.* up --rules (\S+) .*)\n```$", re.MULTILINE)
"""The command, and the directory of rules that it names."""


class FirstCommandError(Exception):
    """The command did not do what README says."""


def read_until(lines: Iterable[str], wanted: set[str]) -> None:
    """Return once each of some texts has been in a line that reports a rule."""
    left = set(wanted)
    for line in lines:
        print(line, end="", flush=True)
        left -= {text for text in left if text in line}
        if not left:
            return
    raise FirstCommandError(f"it ended without a line about {sorted(left)}")


def main(directory: Path) -> None:
    """Run the command in ``directory``, a copy of the project that nothing is installed in."""
    found = COMMAND.search((directory / "README.md").read_text())
    if found is None:
        raise FirstCommandError("README.md has no first command")
    rules = sorted((directory / found[2]).glob("*.yml"))
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", found[1]],
        cwd=directory,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        read_until(process.stdout, {f" {rule.name}" for rule in rules})
        edited = rules[0]
        edited.write_text(edited.read_text().replace("\n", "\n# edited\n", 1))
        read_until(process.stdout, {f" {edited.name}"})
        os.killpg(process.pid, signal.SIGINT)
        print(process.stdout.read(), end="")
        if status := process.wait():
            raise FirstCommandError(f"it ended with status {status} after Ctrl-C")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
