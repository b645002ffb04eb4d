"""What is fuzzed: each target takes any bytes, and raises where a promise about them is broken.

A target's own errors, the typed ones that it documents, are its answers. Anything else that it
raises, an AssertionError included, is a finding.
"""

from __future__ import annotations

import hmac
import io
import tempfile
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import typer
from support.strange import bound, joined, taken_apart
from typer.main import get_command

from eventstore.archive.export import export_log
from eventstore.archive.log_import import import_log
from eventstore.archive.progress import no_progress
from eventstore.cli.app import PROGRAM, app
from eventstore.cli.options import USAGE_ERROR
from eventstore.config import load_settings
from eventstore.errors import ArchiveError, ConfigError, EventStoreError, StorageError
from eventstore.integrity.checks import Checker
from eventstore.log.clock import system_clock
from eventstore.log.events import NewEvent, StreamWrite
from eventstore.log.operations import OpenConsumer
from eventstore.log.validation import check_append
from eventstore.notify._signed_messages import RefusedMessageError, Signer
from eventstore.storage.sqlite.backend import SqliteBackend
from projections.directory import manifest
from projections.rules.formats.base import RuleFormatError, get_format, read_rules
from projections.rules.model import encode_rule
from projections.rules.replica_file import REPLICA_FORMAT, ReplicaFileError

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG: Final = Path(__file__).resolve().parents[2] / "config"


class Target(NamedTuple):
    """A reader of bytes, and examples of what it takes."""

    read: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


def _open() -> SqliteBackend:
    backend = SqliteBackend("memory://", system_clock)
    backend.open()
    return backend


@cache
def _exported() -> bytes:
    """Return an export with several streams, kinds of content and a consumer."""
    backend = _open()
    for number in range(4):
        writes = [
            StreamWrite("order/17", [NewEvent("Placed", {"n": number, "ü": [1.5, None]})]),
            StreamWrite(f"blob/{number % 2}", [NewEvent("Stored", b"\0\xff", id=f"b:{number}")]),
        ]
        backend.write([check_append(writes)])
    backend.write([OpenConsumer("worker", "host:1", backend.head().cursor)])
    file = io.BytesIO()
    export_log(backend, file, no_progress)
    backend.close()
    return file.getvalue()


def read_export(content: bytes) -> None:
    """Import: refused and nothing there, or a log in order that exports the same records."""
    backend = _open()
    try:
        before = backend.head()
        try:
            import_log(backend, io.BytesIO(content), "fuzz", no_progress)
        except (ArchiveError, StorageError):
            assert backend.head() == before
            assert not backend.stream_states("", "", 1)
            assert not backend.consumers()
            return
        page = backend.integrity_page(-1, 4096)
        checker = Checker(page.head)
        checker.check_rows(page.rows)
        report = checker.finish(page.head, page.side_tables)
        assert report.ok, report.findings
        again = io.BytesIO()
        export_log(backend, again, no_progress)
        assert taken_apart(again.getvalue()) == taken_apart(content)
    finally:
        backend.close()


def read_records(content: bytes) -> None:
    """Import records in a sound frame, as they are or, where they have the shape, bound."""
    with suppress(Exception):
        records = msgspec.msgpack.decode(content[1:], type=list[list[Any]])
        if content[0] % 2:
            bound(records)
        content = joined(records)
    read_export(content)


def _record_seeds() -> list[bytes]:
    packed = msgspec.msgpack.encode(taken_apart(_exported()))
    return [b"\0" + packed, b"\1" + packed]


def read_manifest(content: bytes) -> None:
    """Read a directory's manifest: refused, or the same once it is written again."""
    with suppress(manifest.ManifestError):
        found = manifest.decode(content, "fuzz")
        assert manifest.decode(manifest.encode(found), "fuzz") == found


def read_replica(content: bytes) -> None:
    """Read a directory's file of rules, as it is and with the checksum that it says."""
    for raw in (content, b"%s\n%s" % (sha256(content).hexdigest().encode(), content)):
        with suppress(ReplicaFileError):
            found = REPLICA_FORMAT.decode(raw, "fuzz")
            assert REPLICA_FORMAT.decode(found.encode(), "fuzz") == found


KEY: Final = b"0123456789abcdef"


def read_message(content: bytes) -> None:
    """Read a message as it is, without and with a key, and one that is signed rightly."""
    signed = b"\x01" + hmac.digest(KEY, content, "sha256") + content
    for keys, message in (((), content), ((KEY,), content), ((KEY,), signed)):
        with suppress(RefusedMessageError):
            Signer(keys, clock=lambda: 1_700_000_000_000_000).decode("log", message)


def _message_seeds() -> list[bytes]:
    message = Signer([KEY], clock=lambda: 1_700_000_000_000_000).encode("log", 17, None)
    return [b"17", message, message[33:]]


def read_settings(content: bytes) -> None:
    """Read a file of settings."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "eventstore.toml"
        file.write_bytes(content)
        with suppress(ConfigError):
            load_settings(file, {})


def read_rule_file(content: bytes) -> None:
    """Read a file of rules in each format."""
    for name, path in (("ttp", "a/b.yaml"), ("sigma", "a/b.yml"), ("raw", "a/b")):
        with suppress(RuleFormatError):
            for rule in read_rules(get_format(name), path, content):
                assert rule.rule_id
                NewEvent("RuleDefined", encode_rule(rule.compiled))


_SIGMA: Final = b"""title: A
id: 01234567-89ab-cdef-0123-456789abcdef
status: test
logsource: {product: linux, category: process_creation}
detection:
  one: {Image|endswith: [/a, /b]}
  condition: one and not 1 of filter*
tags: [attack.t1059]
---
correlation: {type: event_count, rules: [A], group-by: [x], timespan: 5m, condition: {gte: 3}}
"""


def _rule_seeds() -> list[bytes]:
    files = [file for file in sorted(CONFIG.rglob("*.y*ml")) if file.is_file()]
    return [_SIGMA, *(file.read_bytes() for file in files[:10])]


def read_arguments(content: bytes) -> None:
    """Parse words, divided by NUL, as a command line, without running the command."""
    words = [word.decode(errors="surrogateescape") for word in content.split(b"\0")]
    command: Any = get_command(app)
    with suppress(USAGE_ERROR, *_ENDS):
        context = command.make_context(PROGRAM, words)
        rest = [*context._protected_args, *context.args]  # click has no other way
        if not rest:
            return  # Options without a command: the usage is shown.
        name, found, rest = command.resolve_command(context, rest)
        found.make_context(name, rest, parent=context)


_ENDS: Final = (typer.Exit, typer.Abort, EventStoreError)
"""What ends the parsing of a command line on purpose: help, for example."""


def _argument_seeds() -> list[bytes]:
    lines = (
        "tail --after 5 --consumer w --streams rule/ --no-follow --kept",
        "append order/1 Placed {\"a\":1} --expected no-stream --id x",
        "wait 5 --consumer w --timeout 3 --json", "trim --before 90d --yes --dry-run",
        "consumers rewind w --to 5", "export /x --replace", "init", "--url sqlite:///x status",
    )  # fmt: skip
    return [line.replace(" ", "\0").encode() for line in lines]


TARGETS: Final[dict[str, Target]] = {
    "export": Target(read_export, lambda: [_exported()]),
    "records": Target(read_records, _record_seeds),
    "manifest": Target(
        read_manifest,
        lambda: [
            b'{"format":1,"projection":"rules","log_id":"l","position":3,"hash":"00","files":{}}'
        ],
    ),
    "replica": Target(
        read_replica, lambda: [REPLICA_FORMAT.empty("log").encode().partition(b"\n")[2]]
    ),
    "message": Target(read_message, _message_seeds),
    "settings": Target(
        read_settings, lambda: [file.read_bytes() for file in sorted(CONFIG.rglob("*.toml"))]
    ),
    "rules": Target(read_rule_file, _rule_seeds),
    "arguments": Target(read_arguments, _argument_seeds),
}
