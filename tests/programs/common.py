"""What the programs share: their arguments, and lines to and from the test that started them."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def run(main: Callable[..., Coroutine[Any, Any, None]]) -> None:
    """Run ``main`` with the arguments of the command line, as texts."""
    asyncio.run(main(*sys.argv[1:]))


def say(*words: object) -> None:
    """Print a line that is there at once."""
    print(*words, flush=True)


def await_line() -> None:
    """Return once the test has sent a line, or closed its end."""
    sys.stdin.readline()
