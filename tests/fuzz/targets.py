"""What is fuzzed: each target takes any bytes, and raises where a promise about them is broken.

A target's own errors, the typed ones that it documents, are its answers. Anything else that it
raises, an AssertionError included, is a finding.
"""

from __future__ import annotations

import hmac
import io
import sqlite3
import tempfile
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import pgparse
import typer
from support.exports import joined, taken_apart
from support.strange import bound
from typer.main import get_command

from eventstore.archive.export import export_log
from eventstore.archive.log_import import import_log
from eventstore.archive.progress import no_progress
from eventstore.cli.app import PROGRAM, app
from eventstore.cli.options import USAGE_ERROR
from eventstore.config import load_settings
from eventstore.errors import ArchiveError, ConfigError, EventStoreError
from eventstore.integrity.checks import Checker
from eventstore.log.events import NewEvent
from eventstore.notify._signed_messages import RefusedMessageError, Signer
from fuzz import seeds
from projections.directory import commit_journal, manifest
from projections.rules.formats.base import RuleFormatError, get_format, read_rules
from projections.rules.model import encode_rule
from projections.rules.replica_file import REPLICA_FORMAT, ReplicaFileError
from projections.rules.sources.git_history import find_repository
from projections.rules.sources.git_lock import find_git_locks
from projections.sql import SqlRefusedError
from projections.sql.postgres._guard import judge
from projections.sql.postgres._lexer import number_parameters, tokens
from projections.sql.postgres.definitions import judge_definition

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore.storage.sqlite.backend import SqliteBackend


class Target(NamedTuple):
    """A reader of bytes, and examples of what it takes."""

    read: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


_EMPTY: Final[list[SqliteBackend]] = []
"""A log in memory that nothing was imported into: making one takes longer than most imports."""


def read_export(content: bytes) -> None:
    """Import: refused and nothing there, or a log in order that exports the same records."""
    backend = _EMPTY.pop() if _EMPTY else seeds.open_empty()
    before = backend.head()
    try:
        import_log(backend, io.BytesIO(content), "fuzz", no_progress)
    except ArchiveError:
        assert backend.head() == before
        assert not backend.stream_states("", "", 1)
        assert not backend.consumers()
        _EMPTY.append(backend)
        return
    try:
        _check_imported(backend, content)
    finally:
        backend.close()


def _check_imported(backend: SqliteBackend, content: bytes) -> None:
    page = backend.integrity_page(-1, 4096)
    checker = Checker(page.head)
    checker.check_rows(page.rows)
    report = checker.finish(page.head, page.side_tables)
    assert report.ok, report.findings
    again = io.BytesIO()
    export_log(backend, again, no_progress)
    assert taken_apart(again.getvalue()) == taken_apart(content)


def read_records(content: bytes) -> None:
    """Import records in a sound frame, as they are or, where they have the shape, bound."""
    with suppress(Exception):
        records = msgspec.msgpack.decode(content[1:], type=list[list[Any]])
        if content[0] % 2:
            bound(records)
        content = joined(records)
    read_export(content)


def read_manifest(content: bytes) -> None:
    """Read a directory's manifest: refused, or the same once it is written again."""
    with suppress(manifest.ManifestError):
        found = manifest.decode(content, "fuzz")
        assert manifest.decode(manifest.encode(found), "fuzz") == found
    manifest.is_of(content, "rules")


def read_replica(content: bytes) -> None:
    """Read a directory's file of rules, as it is and with the checksum that it says."""
    for raw in (content, b"%s\n%s" % (sha256(content).hexdigest().encode(), content)):
        with suppress(ReplicaFileError):
            found = REPLICA_FORMAT.decode(raw, "fuzz")
            assert REPLICA_FORMAT.decode(found.encode(), "fuzz") == found
            assert found.cursor.position == found.position
            found.since(0)


def read_journal(content: bytes) -> None:
    """Read a directory's journal as it is, and its lines with the checksums that they say."""
    before, signed = b"", b""
    for body in content.split(b"\n"):
        before = sha256(before + body).hexdigest().encode()
        signed += b"%s %s\n" % (before, body)
    for raw in (content, signed):
        journal = commit_journal.decode(raw)
        if journal is None or not journal.lines:
            continue
        assert len(journal.lines) < raw.count(b"\n")
        with suppress(ReplicaFileError):
            found = REPLICA_FORMAT.continued(REPLICA_FORMAT.empty("log"), journal.lines)
            assert REPLICA_FORMAT.decode(found.encode(), "fuzz") == found


def read_message(content: bytes) -> None:
    """Read a message as it is, without and with a key, and one that is signed rightly."""
    signed = b"\x01" + hmac.digest(seeds.KEY, content, "sha256") + content
    for keys, message in (((), content), ((seeds.KEY,), content), ((seeds.KEY,), signed)):
        with suppress(RefusedMessageError):
            Signer(keys, clock=lambda: 1_700_000_000_000_000).decode("log", message)


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


def read_arguments(content: bytes) -> None:
    """Parse words, divided by NUL, as a command line, without running the command."""
    words = [word.decode(errors="surrogateescape") for word in content.split(b"\0")]
    command = _command()
    with suppress(USAGE_ERROR, *_ENDS):
        context = command.make_context(PROGRAM, words)
        rest = [*context._protected_args, *context.args]  # click has no other way
        if not rest:
            return  # Options without a command: the usage is shown.
        name, found, rest = command.resolve_command(context, rest)
        found.make_context(name, rest, parent=context)


@cache
def _command() -> Any:
    return get_command(app)


_ENDS: Final = (typer.Exit, typer.Abort, EventStoreError)
"""What ends the parsing of a command line on purpose: help, for example."""


_ALLOWED: Final = {
    "SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "ExplainStmt",
    "VariableShowStmt", "LockStmt", "VacuumStmt", "TransactionStmt", "CreateStmt",
    "CreateTableAsStmt",
}  # fmt: skip
"""Statements that a caller's connection lets through, as its documentation says."""


def read_sql(content: bytes) -> None:
    """Judge SQL: refused, or one statement of a kind that is allowed."""
    sql = content.decode(errors="surrogateescape")
    assert "".join(token.text for token in tokens(sql)) == sql
    numbered, count = number_parameters(sql)
    assert count or numbered == sql
    with suppress(SqlRefusedError, sqlite3.OperationalError):
        verdict = judge(sql)
        kinds = [next(iter(one["stmt"])) for one in pgparse.parse(sql)]
        assert len(kinds) == (verdict.kind != "empty"), kinds
        assert set(kinds) <= _ALLOWED
    with suppress(SqlRefusedError):
        assert judge_definition(sql) in {"rows", "definition"}
        assert len(pgparse.parse(sql)) == 1


_WORK_TREE: Final = tempfile.TemporaryDirectory(prefix="fuzz-git-")


def read_git(content: bytes) -> None:
    """Read a git directory: none that is supported, or one with a commit."""
    top = Path(_WORK_TREE.name)
    parts = content.split(seeds.GIT_DIVIDER)
    for name in seeds.GIT_FILES:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).unlink(missing_ok=True)
    for name, part in zip(seeds.GIT_FILES, parts, strict=False):
        (top / name).write_bytes(part)
    for folder in (top, top / "sub"):
        find_git_locks(folder, ["sub"])
        if (found := find_repository(folder)) is not None:
            assert len(found.head) in {40, 64}
            assert int(found.head, 16) >= 0


TARGETS: Final[dict[str, Target]] = {
    "export": Target(read_export, seeds.exports),
    "records": Target(read_records, seeds.records),
    "manifest": Target(read_manifest, seeds.manifests),
    "replica": Target(read_replica, seeds.replicas),
    "journal": Target(read_journal, seeds.commit_journals),
    "message": Target(read_message, seeds.messages),
    "settings": Target(read_settings, seeds.settings),
    "rules": Target(read_rule_file, seeds.rules),
    "arguments": Target(read_arguments, seeds.arguments),
    "sql": Target(read_sql, seeds.statements),
    "git": Target(read_git, seeds.git_directories),
}
