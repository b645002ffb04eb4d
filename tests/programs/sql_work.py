"""Three programs' work on one storage, by eight threads, until the process is killed.

``python -m programs.sql_work URL`` prints the table and id of each transaction once it is
committed.
"""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import threading
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from projections.sql import SqlStorage

MIGRATIONS = Path(__file__).resolve().parents[1] / "data" / "sql" / "migrations"
THREADS = 8


def note_fact(storage: SqlStorage, uid: str) -> None:
    """Append a fact with two tags."""
    with storage.connection() as c:
        body = " ".join(random.choices(["rain", "snow", "sun", "wind"], k=5))
        c.execute(
            "INSERT INTO fact (uid, body, weight) VALUES (?, ?, ?)", (uid, body, random.random())
        )
        (number,) = c.execute("SELECT id FROM fact WHERE uid = ?", (uid,)).fetchone()
        c.executemany("INSERT INTO fact_tag VALUES (?, ?)", [(number, "a"), (number, uid[:4])])
        with suppress(sqlite3.IntegrityError):
            c.execute("UPDATE fact SET body = 'changed' WHERE id = ?", (number,))


def run_task(storage: SqlStorage, uid: str) -> None:
    """Add a task, claim another one, and finish or drop it."""
    with storage.connection() as c:
        c.execute("INSERT INTO task (uid, payload) VALUES (?, ?)", (uid, random.randbytes(40)))
    with storage.connection() as c:
        found = c.execute("SELECT id FROM task WHERE state = 'ready' LIMIT 5").fetchall()
        number = random.choice(found)[0] if found else -1
        claim = "UPDATE task SET state = 'running', worker = ?, attempts = attempts + 1 "
        claimed = c.execute(claim + "WHERE id = ? AND state = 'ready'", (uid, number))
        if not claimed.rowcount:
            return
    with storage.connection() as c:
        if random.random() < 0.3:
            # The test looks for printed ids: the task that this call has printed must stay.
            c.execute("UPDATE task SET state = 'ready' WHERE id = ?", (number,))
        else:
            c.execute("UPDATE task SET state = 'done', payload = NULL WHERE id = ?", (number,))


def move_money(storage: SqlStorage, uid: str) -> None:
    """Move some money; in one of ten transactions also replace an owner."""
    source, target = sorted(random.sample(range(1, 5), 2))
    cents = random.randint(-500, 500)
    with storage.connection() as c:
        c.execute("UPDATE account SET cents = cents - ? WHERE id = ?", (cents, source))
        c.execute("UPDATE account SET cents = cents + ? WHERE id = ?", (cents, target))
        c.execute("INSERT INTO move VALUES (?, ?, ?, ?)", (uid, source, target, cents))
        if random.random() < 0.1:
            c.execute("INSERT INTO owner VALUES (?, ?)", (99, uid))
            c.execute("INSERT INTO account (id, owner_id, cents) VALUES (99, 99, 5)")
            c.execute("UPDATE owner SET id = 98 WHERE id = 99")
            c.execute("DELETE FROM owner WHERE id = 98")


def work(storage: SqlStorage) -> None:
    """Do one job after another without an end."""
    jobs = [("fact", note_fact), ("task", run_task), ("move", move_money)]
    while True:
        table, job = random.choice(jobs)
        uid = str(uuid4())
        try:
            job(storage, uid)
        except sqlite3.OperationalError as error:
            if "deadlock" not in str(error):
                raise
            continue
        # One system call per line: eight threads print.
        os.write(1, f"{table} {uid}\n".encode())


def main() -> None:
    """Work until killed."""
    storage = SqlStorage(sys.argv[1])
    storage.apply_migrations(MIGRATIONS)
    threads = [threading.Thread(target=work, args=(storage,)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
