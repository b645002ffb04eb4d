"""Starting the processes that are measured, hearing from them, and ending them."""

from __future__ import annotations

import json
import queue
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

PATIENCE_SECONDS: Final = 30.0
"""How long to wait for a child before the benchmark fails; no measure of anything."""

QUIET_SECONDS: Final = 1.0
"""How long children rest after their start, until their watches stand."""

RULE: Final = """\
rule_id: R{number:04d}
rule_version: 1
name: An encoded command
description: Saved as number {edit}.
applies_to: [process_start]
match:
  all:
    - {{field: image, equals: powershell.exe}}
    - {{field: command_line, in: ["-enc", "-encodedcommand"]}}
emits:
  - {{tactic: execution, technique_id: T1059, sub_technique_id: T1059.001, confidence: 0.7}}
"""


class Child:
    """A child process of :mod:`benchmarks.children`, ready when entered."""

    def __init__(self, role: str, *arguments: object) -> None:
        self._command = [sys.executable, "-m", "benchmarks.children", role, *map(str, arguments)]
        self._said: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        threading.Thread(target=self._listen, daemon=True).start()
        if self.hear() != ["ready"]:
            raise ChildError(f"{self._command[3]} said something else than that it is ready")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE_SECONDS)

    def hear(self) -> list[Any]:
        """Return the next thing that the child says."""
        try:
            return self._said.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            raise ChildError(f"nothing came from the {self._command[3]}") from None

    def await_word(self, word: object) -> int:
        """Return when ``word`` arrived at the child, in monotonic nanoseconds."""
        while (said := self.hear())[1] != word:
            continue
        return int(said[0])

    @property
    def pid(self) -> int:
        """The process, while it runs."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Return the processor time that the child has used so far, all threads together."""
        # Linux names the processor clock of process N with the number (~N << 3) | 2.
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def private_bytes(self) -> int:
        """Return its share of memory (PSS): what it has alone, and its part of what is shared."""
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
        raise ChildError("the kernel does not say how much memory the process has")

    def resident_bytes(self) -> int:
        """Return how much memory the child has resident now."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(json.loads(line))


class ChildError(Exception):
    """A child process did not do its part."""


def write_rules(folder: Path, numbers: Sequence[int]) -> None:
    """Fill a new directory with rule files."""
    folder.mkdir()
    for number in numbers:
        rule_path(folder, number).write_text(RULE.format(number=number, edit=0))


def rule_path(folder: Path, number: int) -> Path:
    """Return the file of one rule."""
    return folder / f"r{number:04d}.yml"
