"""The floor of the journal's benchmarks: the same tables without a log, by the driver alone."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psycopg

from projections.journal.columns import fold, meta_value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.measure import Setting

TABLES: Final = ("journal_project", "journal_entry", "journal_meta")
COLUMNS: Final = "entry_id, ts, emoji, agent, message, meta, raw_line"
MINE: Final = f"SELECT {COLUMNS} FROM journal_entry WHERE project_id = ?"
NEWEST: Final = "ORDER BY ts_us DESC, position DESC LIMIT"


class Plain:
    """The floor: the same tables without a log, by the driver alone."""

    def __init__(self, run: Callable[..., Any], *, postgres: bool) -> None:
        self._run = run
        self._mark = "%s" if postgres else "?"
        self.within = "strpos" if postgres else "instr"
        self._position = 10_000_000
        self.project = 0

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        found: list[tuple[Any, ...]] = self._run(sql.replace("?", self._mark), values).fetchall()
        return found

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """Return the newest entries, as a program works with them."""
        return self._entries(f"{MINE} {NEWEST} ?", self.project, limit)

    def by_message(self, text: str, limit: int) -> list[dict[str, Any]]:
        """Return the newest entries with part of a message."""
        sql = f"{MINE} AND {self.within}(folded, ?) > 0 {NEWEST} ?"
        return self._entries(sql, self.project, text, limit)

    def by_meta(self, key: str, value: str, limit: int) -> list[dict[str, Any]]:
        """Return the newest entries with a value of metadata."""
        return self._entries(
            f"SELECT {COLUMNS} FROM journal_meta m JOIN journal_entry e USING (position) "
            "WHERE m.project_id = ? AND key = ? AND value = ? "
            "ORDER BY m.ts_us DESC, position DESC LIMIT ?",
            self.project, key, value, limit,
        )  # fmt: skip

    def _entries(self, sql: str, *values: object) -> list[dict[str, Any]]:
        decode = msgspec.json.decode
        return [
            {"id": id_, "ts": ts, "emoji": emoji, "agent": agent, "message": message,
             "meta": decode(meta), "raw_line": line}
            for id_, ts, emoji, agent, message, meta, line in self.rows(sql, *values)
        ]  # fmt: skip

    def add_agents(self) -> None:
        """Make the tables of agents."""
        self._do(
            "CREATE TABLE assignment (agent_id TEXT PRIMARY KEY, project_name TEXT, "
            "version BIGINT, updated_us BIGINT, updated_by TEXT, session_id TEXT)"
        )
        self._do("CREATE TABLE session (session_id TEXT PRIMARY KEY, at_us BIGINT)")
        self._do("INSERT INTO session VALUES (?, ?)", "session", 0)

    def assign(self, agent: str, project: str, by: str, session: str) -> dict[str, Any]:
        """Assign an agent in one durable transaction."""
        now = time.time_ns() // 1000
        self._do("BEGIN")
        [(version,)] = self.rows(
            "INSERT INTO assignment VALUES (?,?,1,?,?,?) ON CONFLICT (agent_id) DO UPDATE SET "
            "project_name = excluded.project_name, version = assignment.version + 1, "
            "updated_us = excluded.updated_us, updated_by = excluded.updated_by, "
            "session_id = excluded.session_id RETURNING version",
            agent, project, now, by, session,
        )  # fmt: skip
        self._do("COMMIT")
        return {"agent_id": agent, "project_name": project, "version": version, "at": now}

    def heartbeat(self, session: str) -> None:
        """Store a heartbeat in one durable transaction."""
        now = time.time_ns() // 1000
        self._do("UPDATE session SET at_us = ? WHERE session_id = ?", now, session)

    def insert(self, one: dict[str, Any]) -> None:
        """Insert an entry in one durable transaction."""
        self._position += 1
        at, ts_us = self._position, 1_800_000_000_000_000 + self._position
        self._do("BEGIN")
        self._do(
            "INSERT INTO journal_entry (position, project_id, ts_us, agent, emoji, folded, "
            "message, entry_id, ts, meta, raw_line) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            at, self.project, ts_us, one["agent"], one["emoji"], fold(one["message"]),
            one["message"], one["entry_id"], one["ts"],
            msgspec.json.encode(one["meta"]).decode(), one["raw_line"],
        )  # fmt: skip
        for key, value in one["meta"].items():
            text, is_text = meta_value(value)
            self._do(
                "INSERT INTO journal_meta (project_id, key, value, ts_us, position, is_text) "
                "VALUES (?,?,?,?,?,?)", self.project, key, text, ts_us, at, is_text,
            )  # fmt: skip
        self._do("UPDATE journal_project SET total = total + 1 WHERE id = ?", self.project)
        self._do("COMMIT")

    def _do(self, sql: str, *values: object) -> None:
        self._run(sql.replace("?", self._mark), values or None if self._mark == "%s" else values)


def plain_sqlite(setting: Setting, source: str) -> Plain:
    """Copy the journal's tables into a file of their own."""
    raw = sqlite3.connect(setting.folder / "plain.db", isolation_level=None)
    raw.execute("PRAGMA journal_mode=WAL")
    raw.execute("PRAGMA synchronous=FULL")
    raw.execute("ATTACH ? AS other", (source,))
    for (sql,) in raw.execute(
        "SELECT sql FROM other.sqlite_master WHERE sql IS NOT NULL AND "
        f"tbl_name IN ({', '.join('?' * len(TABLES))}) ORDER BY type DESC",
        TABLES,
    ).fetchall():
        raw.execute(sql)
    for name in TABLES:
        raw.execute(f"INSERT INTO main.{name} SELECT * FROM other.{name}")
    raw.execute("DETACH other")
    return Plain(raw.execute, postgres=False)


def plain_postgres(url: str) -> Plain:
    """Copy the journal's tables into a schema of their own."""
    raw = psycopg.connect(url, autocommit=True)
    row = raw.execute("SELECT current_schema()").fetchone()
    home = row[0] if row else ""
    raw.execute("CREATE SCHEMA plain")
    for name in TABLES:
        like = f"CREATE TABLE plain.{name} (LIKE {home}.{name} INCLUDING ALL)"
        raw.execute(like.encode())
        raw.execute(f"INSERT INTO plain.{name} SELECT * FROM {home}.{name}".encode())
    raw.execute("SET search_path TO plain")
    for name in TABLES:
        raw.execute(f"VACUUM ANALYZE {name}".encode())

    def run(sql: str, values: Sequence[object] | None) -> Any:
        return raw.execute(sql.encode(), values)

    return Plain(run, postgres=True)
