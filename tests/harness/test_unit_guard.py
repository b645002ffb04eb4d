"""Unit tests start no process and use no server: the check of it can fail."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from support.network import HOST, free_port
from support.unit_guard import ForbiddenInUnitTestError, no_process_and_no_server

if TYPE_CHECKING:
    from collections.abc import Callable


def connect() -> None:
    with socket.socket() as client:
        client.connect((HOST, free_port()))


def listen() -> None:
    with socket.socket() as server:
        server.bind((HOST, 0))


ATTEMPTS: dict[str, Callable[[], object]] = {
    "run": lambda: subprocess.run([sys.executable, "--version"], check=True),
    "system": lambda: os.system("true"),
    "connect": connect,
    "listen": listen,
}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_an_attempt_is_refused(name: str) -> None:
    with pytest.raises(ForbiddenInUnitTestError), no_process_and_no_server():
        ATTEMPTS[name]()


def test_an_attempt_that_the_code_hides_fails_the_test_all_the_same() -> None:
    refused = pytest.raises(ForbiddenInUnitTestError, match=r"tried os\.system")
    with refused, no_process_and_no_server(), suppress(Exception):
        os.system("true")


def test_nothing_is_refused_afterwards() -> None:
    with no_process_and_no_server():
        pass
    assert os.system("true") == 0
