"""Examples of what each reader takes, from which a search begins: the more kinds, the better."""

from __future__ import annotations

import io
from functools import cache
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec
from support.exports import taken_apart
from support.sql_definitions import ORDINARY_POSTGRES, POSTGRES
from support.sql_statements import ORDINARY, REFUSED

from eventstore.archive.export import export_log
from eventstore.archive.progress import no_progress
from eventstore.log.clock import system_clock
from eventstore.log.events import NewEvent, StreamWrite
from eventstore.log.operations import OpenConsumer
from eventstore.log.validation import check_append
from eventstore.notify._signed_messages import Signer
from eventstore.storage.sqlite.backend import SqliteBackend
from projections.directory import commit_journal, manifest
from projections.directory.content import Line
from projections.directory.path_claims import Entry, Waiting
from projections.rules._replica_fold import Change, Standing
from projections.rules.replica_file import REPLICA_FORMAT, ReplicaFile

CONFIG: Final = Path(__file__).resolve().parents[2] / "config"
KEY: Final = b"0123456789abcdef"


def open_empty() -> SqliteBackend:
    """Return an open, empty log in memory."""
    backend = SqliteBackend("memory://", system_clock)
    backend.open()
    return backend


@cache
def exported() -> bytes:
    """Return an export with several streams, kinds of content and a consumer."""
    backend = open_empty()
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


def exports() -> list[bytes]:
    """Return whole exports."""
    return [exported()]


def records() -> list[bytes]:
    """Return the records of an export, to be joined as they are (0) or bound (1)."""
    packed = msgspec.msgpack.encode(taken_apart(exported()))
    return [b"\0" + packed, b"\1" + packed]


def manifests() -> list[bytes]:
    """Return manifests: without files, and with each kind of entry."""
    digest = sha256(b"one").hexdigest()
    empty = manifest.Manifest(manifest.FORMAT, "rules", "log", 0, "", {})
    full = manifest.Manifest(
        manifest.FORMAT,
        "rules",
        "0123456789abcdef",
        17,
        digest,
        {"a/b.yml": Entry("R1", 3, digest, 3), "ü/c d.yml": Entry("R2", 5, digest, 0)},
        [manifest.SetAside(7, "its path is absolute")],
        {"R3": Waiting("a/b.yml", 9, 8, digest, 3)},
        {"a": Entry("R4", 11, digest, 3)},
    )
    return [manifest.encode(empty), manifest.encode(full)]


def replicas() -> list[bytes]:
    """Return replica files without their checksum: an empty one, and one with each part."""
    rule = msgspec.Raw(b'{"rule_id":"R1","enabled":true,"body":["x",1.5,null]}')
    state = msgspec.Raw(b'{"enabled":false}')
    digest = sha256(b"one").hexdigest()
    full = ReplicaFile(
        1,
        "0123456789abcdef",
        9,
        digest,
        3,
        {"R1": Standing(5, "RuleDefined", rule), "R2": Standing(2, "RuleRemoved", rule)},
        {"R1": Standing(7, "RuleStateSet", state)},
        [
            Change(5, 6, digest, "definition", "R1", rule),
            Change(7, 7, digest, "state", "R1", state),
        ],
    )
    files = [REPLICA_FORMAT.empty("log"), full]
    return [file.encode().partition(b"\n")[2] for file in files]


def commit_journals() -> list[bytes]:
    """Return the lines of a journal without their checksums."""
    digest = sha256(b"one").hexdigest()
    steps = b'[["RuleDefined",[5,6,"%s","definition","R1",{"rule_id":"R1"}]]]' % digest.encode()
    start = commit_journal.first_line(b"manifest", digest)
    raw = start + commit_journal.next_line(start, Line(5, digest, {}))
    entry = Entry("R1", 6, digest, 3)
    raw += commit_journal.next_line(raw, Line(6, digest, {"a.yml": entry}, msgspec.Raw(steps)))
    return [b"\n".join(line[65:] for line in raw.splitlines())]


def messages() -> list[bytes]:
    """Return messages of notifications: plain, signed, and the part that is signed."""
    signed = Signer([KEY], clock=lambda: 1_700_000_000_000_000).encode("log", 17, None)
    return [b"17", signed, signed[33:]]


def settings() -> list[bytes]:
    """Return files of settings."""
    return [file.read_bytes() for file in sorted(CONFIG.rglob("*.toml"))]


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


def rules() -> list[bytes]:
    """Return files of rules."""
    files = [file for file in sorted(CONFIG.rglob("*.y*ml")) if file.is_file()]
    return [_SIGMA, *(file.read_bytes() for file in files[:10])]


def arguments() -> list[bytes]:
    """Return command lines, their words divided by NUL."""
    lines = (
        "tail --after 5 --consumer w --streams rule/ --no-follow --kept",
        "append order/1 Placed {\"a\":1} --expected no-stream --id x",
        "wait 5 --consumer w --timeout 3 --json", "trim --before 90d --yes --dry-run",
        "consumers rewind w --to 5", "export /x --replace", "init", "--url sqlite:///x status",
    )  # fmt: skip
    return [line.replace(" ", "\0").encode() for line in lines]


def statements() -> list[bytes]:
    """Return SQL: what programs and migrations may have, and what they may not."""
    found = [*ORDINARY, *chain(*REFUSED.values()), *POSTGRES, ORDINARY_POSTGRES]
    return [sql.encode() for sql in found]


GIT_FILES: Final = (
    ".git/HEAD",
    ".git/config",
    ".git/packed-refs",
    ".git/refs/heads/main",
    ".git/shallow",
    ".git/commondir",
    "sub/.git",
)
"""What the reader of git's directory opens, in the order in which an example gives them."""

GIT_DIVIDER: Final = b"\xff\xff"


def git_directories() -> list[bytes]:
    """Return the contents of GIT_FILES, divided."""
    one = b"0123456789abcdef0123456789abcdef01234567\n"
    config = b"[core]\n\trepositoryformatversion = 0\n\tbare = false\n"
    packed = b"# pack-refs with: peeled fully-peeled sorted\n" + one[:-1] + b" refs/heads/main\n"
    other = b'[core]\nworktree = /x\n[extensions]\nrefStorage = "reftable"\n'
    return [
        GIT_DIVIDER.join(parts)
        for parts in (
            (b"ref: refs/heads/main\n", config, packed, one, one, b".\n", b"gitdir: ../.git\n"),
            (b"ref: refs/heads/main\n", config, packed, b"", b"", b"", b"gitdir: /nowhere\n"),
            (one, other, b"", b"ref: refs/heads/other\n", b"", b"../.git\n", b"gitdir: .\n"),
        )
    ]
