"""Start the tests' database server, say where it is, and wait for the end of input."""

from __future__ import annotations

import sys

from support.postgres import shared_server

from programs.common import say

if __name__ == "__main__":
    server = shared_server()
    say(server.directory, server.pid)
    sys.stdin.read()
