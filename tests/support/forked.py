"""Python modules run as processes that a server forks, which saves each the time of its imports.

Such a process is as real as another: it has an id, a session, signals, descriptors and an exit
status of its own. With ``RULETIDE_TEST_START=exec`` each is a new interpreter instead; CI runs
the tests of the command line in that way too.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VARIABLE: Final = "RULETIDE_TEST_START"
ROOT: Final = Path(__file__).resolve().parents[2]
WORD: Final = 8
"""Bytes of each integer in which the server reports."""


class _Server:
    """The server of this process: started when first needed, gone with it."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = Lock()
        environment = {
            name: value for name, value in os.environ.items() if "EVENTSTORE" not in name
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "programs.fork_server", str(theirs.fileno())],
            cwd="/",
            env={**environment, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        atexit.register(self.close)

    def send(self, request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        with self._lock:
            socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)

    def close(self) -> None:
        self._control.close()
        self._process.wait()


@cache
def _server() -> _Server:
    return _Server()


class _Forked(subprocess.Popen[Any]):
    """A Popen of ``[python, "-m", MODULE, ...]`` whose process another one forks and waits for."""

    def _execute_child(self, args: Sequence[str], *rest: Any) -> None:
        """Start it; the parameters are those of the method of Popen that this one replaces."""
        _, _, _, _, cwd, env, *_ = rest
        pipes, session = rest[9:15], rest[20]
        theirs = (pipes[0], pipes[3], pipes[5])
        descriptors = [own if own != -1 else number for number, own in enumerate(theirs)]
        request = {
            "module": str(args[2]),
            "arguments": [os.fspath(word) for word in args[3:]],
            "cwd": str(Path(cwd or ".").resolve()),
            "environment": dict(os.environ if env is None else env),
            "session": bool(session),
        }
        self._outcome, outcome = os.pipe()
        try:
            _server().send(request, [*descriptors, outcome])
        finally:
            os.close(outcome)
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]
        self.pid = self._report()
        self._child_created = True

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        return self._look(0)

    def _wait(self, timeout: float | None) -> int:
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._outcome, select.POLLIN)
            if not poll.poll(None if timeout is None else max(0, timeout * 1000)):
                return None
            self.returncode = self._report()
            os.close(self._outcome)
        return self.returncode

    def _report(self) -> int:
        word = os.read(self._outcome, WORD)
        assert len(word) == WORD, "the server that forks has ended"
        return int.from_bytes(word, "little", signed=True)


def start(words: Sequence[str | Path], **settings: Any) -> subprocess.Popen[Any]:
    """Start ``[python, "-m", MODULE, ...]``; the settings are those of ``subprocess.Popen``."""
    assert tuple(words[:2]) == (sys.executable, "-m"), words
    if os.environ.get(VARIABLE) == "exec":
        return subprocess.Popen(words, **settings)
    return _Forked(words, **settings)


def run(
    words: Sequence[str | Path], *, said: Any = None, timeout: float = 60, **settings: Any
) -> subprocess.CompletedProcess[Any]:
    """Run it to its end with ``said`` as input; return its status and the output of its pipes."""
    if said is not None:
        settings["stdin"] = subprocess.PIPE
    with start(words, **settings) as process:
        try:
            output, errors = process.communicate(said, timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)
