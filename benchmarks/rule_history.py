"""A long history of rules, made in bulk: 3,780 rules, seven definitions to three states."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psycopg

from benchmarks.log_maker import COLUMNS, MOVE_HEAD, head_of, insert_log
from eventstore.log.hash_chain import SALT_BYTES, content_digest, link
from eventstore.storage.sqlite.paths import log_file
from eventstore.sync import EventStore

if TYPE_CHECKING:
    from collections.abc import Iterator

RULES: Final = 3_780
COMMIT: Final = 500
"""Events of a commit."""

STATE_SET: Final = {
    "state": "disabled",
    "confidence_max": None,
    "expires_at": None,
    "reason": "noise",
    "set_by": "op",
    "set_at": "2026-01-01T00:00:00+00:00",
}
_STATE: Final = msgspec.json.encode({"state": STATE_SET})
_BEGAN_US: Final = 1_700_000_000_000_000
_MARK: Final = 987_654_321
"""Stands for the version in the JSON of a definition that is made once for each rule."""


def make_history(url: str, events: int) -> None:
    """Make a log of so many events, or go on with one of fewer that an earlier call has made.

    Its streams are those of rules and of their states in turn. On PostgreSQL it has to be empty.
    """
    with EventStore.open(url, notify="none") as store:
        head = store.head()
    if head.position == events:
        return
    if head.position > events:
        raise ValueError(f"{url} has {head.position} events, not {events}: name another file")
    history = History(head.hash, head.position)
    rows = history.rows(events)
    if (path := log_file(url)) is not None:
        insert_log(path, rows, history.streams())
        return
    with psycopg.connect(url) as database, database.cursor() as cursor:
        with cursor.copy(f"COPY event ({COLUMNS}) FROM STDIN".encode()) as copy:
            for row in rows:
                copy.write_row((*row, 0))
        with cursor.copy(b"COPY stream (id, name, version) FROM STDIN") as copy:
            for stream in history.streams():
                copy.write_row(stream)
        cursor.execute(MOVE_HEAD.replace("?", "%s").encode(), head_of(row))
        cursor.execute("ANALYZE")


class History:
    """The rows of a history whose chain goes on from ``start`` with ``previous``."""

    def __init__(self, previous: bytes, start: int) -> None:
        self._previous = previous
        self._start = start
        self._versions = [0] * (2 * RULES)

    def rows(self, events: int) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of events, the same rules in the same order each time."""
        chance = random.Random(1)
        names = [name.encode() for name in _names()]
        parts = [_definition_parts(f"R{number:05d}") for number in range(RULES)]
        for position in range(1, events + 1):
            rule = chance.randrange(RULES)
            if chance.random() < 0.7:
                stream, type_ = 2 * rule, "RuleDefined"
                data = str(position).encode().join(parts[rule])
            else:
                stream, type_, data = 2 * rule + 1, "RuleStateSet", _STATE
            self._versions[stream] += 1
            if position <= self._start:
                continue
            version = self._versions[stream]
            commit = min((position - 1) // COMMIT * COMMIT + COMMIT, events)
            at, salt = _BEGAN_US + commit, os.urandom(SALT_BYTES)
            raw_id = b"\x01\x8b" + position.to_bytes(6, "big") + salt[:8]
            digest = content_digest(salt, 0, data, b"")
            name = names[stream]
            self._previous = link(
                self._previous, position, version, commit, at, name, type_.encode(), raw_id, digest
            )
            where = (position, stream + 1, version, raw_id, type_, commit)
            yield (*where, data, b"", at, salt, digest, self._previous)

    def streams(self) -> Iterator[tuple[int, str, int]]:
        """Yield the rows of the streams that have events, once these were made."""
        for number, (name, version) in enumerate(zip(_names(), self._versions, strict=True), 1):
            if version:
                yield number, name, version


def _names() -> list[str]:
    keys = (f"R{number:05d}" for number in range(RULES))
    return [name for key in keys for name in (f"rule/{key}", f"rule-state/{key}")]


def _definition_parts(rule: str) -> list[bytes]:
    """Return the JSON of a definition, in the parts around its version."""
    return msgspec.json.encode(definition(rule, _MARK)).split(str(_MARK).encode())


def definition(rule: str, version: int) -> dict[str, Any]:
    """Return the data of a definition, about 500 bytes."""
    return {
        "path": f"{rule}.yml",
        "source": "rules",
        "format": "ttp",
        "sha256": "0" * 64,
        "content": f"id: {rule}\nversion: {version}\n",
        "rule": {
            "rule_id": rule,
            "rule_version": version,
            "name": f"rule {rule}",
            "applies_to": ["process"],
            "match_spec": {"field": "image", "equals": "x.exe"},
            "emits": [
                {
                    "technique_id": "T1059",
                    "sub_technique_id": None,
                    "tactic": "execution",
                    "confidence": 0.5,
                }
            ],
            "evidence_fields": ["image"],
            "description": "",
        },
    }
