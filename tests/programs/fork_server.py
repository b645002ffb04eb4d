"""Starts Python modules as processes in milliseconds: by forking, with the imports already done.

``python -m programs.fork_server FD`` reads requests from a socket. Each brings the module, its
arguments, directory and environment, and four descriptors: standard input, output and error, and
a pipe for what becomes of the process: first its id, then how it ended, as two integers.
:mod:`support.forked` is the other end.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Final

PRELOADED: Final = ("eventstore", "projections")
"""Packages that are imported with all their modules, and so with what those need."""
LARGEST: Final = 1 << 20
"""Bytes of a request at the most."""


def serve(control: socket.socket) -> dict[str, Any]:
    """Fork for each request; return it in the child that is to run it."""
    # The kernel reaps supervisors, so that none stays as a zombie.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, LARGEST, 4)
        if not message:
            sys.exit()
        if os.fork() == 0:
            control.close()
            *standard, outcome = descriptors
            supervise(standard, outcome)
            os.close(outcome)
            return take_over(json.loads(message), standard)
        for descriptor in descriptors:
            os.close(descriptor)


def supervise(standard: list[int], outcome: int) -> None:
    """Fork once more: return in the child, and report it from the parent, which waits for it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        return
    # A reader of the child's output sees its end once no other process has it open.
    for descriptor in standard:
        os.close(descriptor)
    os.write(outcome, child.to_bytes(8, "little"))
    _, status = os.waitpid(child, 0)
    os.write(outcome, os.waitstatus_to_exitcode(status).to_bytes(8, "little", signed=True))
    os._exit(0)


def take_over(request: dict[str, Any], standard: list[int]) -> dict[str, Any]:
    """Make this process what the request asks for, short of running the module."""
    for target, descriptor in enumerate(standard):
        os.dup2(descriptor, target)
        os.close(descriptor)
    if request["session"]:
        os.setsid()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["", *request["arguments"]]
    added = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    sys.path[:0] = [str(Path.cwd()), *added]
    importlib.invalidate_caches()
    open_standard_streams()
    return request


def open_standard_streams() -> None:
    """Open them as the interpreter does when it starts."""
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, "utf-8", "backslashreplace", closefd=False)


def preload() -> None:
    """Import every module of the packages, except those that run when they are imported."""
    for package in PRELOADED:
        paths = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(paths, f"{package}."):
            if not module.name.endswith(".__main__"):
                importlib.import_module(module.name)
    gc.freeze()


if __name__ == "__main__":
    preload()
    wanted = serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module(wanted["module"], run_name="__main__", alter_sys=True)
