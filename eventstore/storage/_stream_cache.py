"""What a writer knows of streams and ids, valid for as long as the head is the one it wrote.

Another process may have appended since: then the head row, which each group reads first, is
another one. Its hash covers all events before it, so an equal head means equal streams.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from eventstore.log.operations import Head
    from eventstore.storage.driver import Driver

MAX_STREAMS: Final = 4_096
"""Streams that are remembered between two groups."""
BUSY_GROUPS: Final = 4
"""How many groups in a row have to find the head unmoved until other writers count as idle."""

_STREAMS: Final = "SELECT name, id, version FROM stream WHERE name IN ({})"
_LARGEST: Final = "SELECT id FROM event WHERE id < ? ORDER BY id DESC LIMIT 1"


class StreamCache:
    """Ids and versions of streams, and the largest UUID, as of one head. One thread at a time.

    ``begin``, ``store`` and ``end`` belong to one transaction, in this order. A transaction that
    fails after ``end`` leaves a head that no log has, and so nothing that is used again.
    """

    def __init__(self) -> None:
        self.largest = b""
        """No UUID that is stored is larger. It may itself be gone, by a trim."""
        self.busy = 0
        """How many groups have yet to find the head unmoved, since another writer moved it."""
        self._head: Head | None = None
        self._ids: dict[str, int] = {}
        self._versions: dict[str, int] = {}
        self._last_id: int | None = None

    def ask(self, driver: Driver, names: Collection[str]) -> None:
        """Ask for what :meth:`begin` reads if the head is unmoved, together with the head."""
        if self._head is None:
            return
        missing = sorted([name for name in names if self.full or name not in self._ids])
        driver.ahead(*driver.listed(_STREAMS, missing))

    def begin(self, driver: Driver, head: Head, names: Collection[str]) -> dict[str, int]:
        """Return the versions of these streams at ``head``, without those that are not there."""
        known = self._head == head
        if known:
            self.busy = max(0, self.busy - 1)
        elif self._head is not None:
            self.busy = BUSY_GROUPS
        self._head = None
        if not known or self.full:
            self._ids, self._versions, self._last_id = {}, {}, None
        missing = sorted([name for name in names if name not in self._ids])
        if missing or not known:
            self._read(driver, missing, with_largest=not known)
        versions = self._versions
        return {name: versions[name] for name in names if name in versions}

    def _read(self, driver: Driver, names: Sequence[str], *, with_largest: bool) -> None:
        queries = driver.listed(_STREAMS, names)
        if with_largest:
            queries.append((_LARGEST, (b"\xff",)))
        found = driver.together(*queries)
        if with_largest:
            largest = found.pop()
            self.largest = bytes(largest[0][0]) if largest else b""
        for rows in found:
            for name, id_, version in rows:
                self._ids[name], self._versions[name] = id_, version

    @property
    def head(self) -> Head | None:
        """The head for which all this is valid, if any."""
        return self._head

    @property
    def full(self) -> bool:
        """Whether so many streams are known that :meth:`begin` has to forget them."""
        return len(self._ids) > MAX_STREAMS

    def find(self, driver: Driver, names: Collection[str]) -> dict[str, int]:
        """Return the versions of these streams, without those that are not there.

        Streams that are not known are read without a lock. What is returned is true at :attr:`head`
        if the log still has that head later, when what is planned with it is committed.
        """
        missing = sorted([name for name in names if name not in self._ids])
        if missing:
            self._read(driver, missing, with_largest=False)
            if not all(name in self._ids for name in missing):
                self._read_last_id(driver)
        versions = self._versions
        return {name: versions[name] for name in names if name in versions}

    def number(self, changed: Collection[str]) -> dict[str, int]:
        """Return the ids of streams; those that :meth:`find` has not found get the next ones."""
        ids, next_id = self._ids, (self._last_id or 0) + 1
        new = [name for name in changed if name not in ids]
        numbers = dict(zip(new, range(next_id, next_id + len(new)), strict=True))
        return {name: numbers[name] if name in numbers else ids[name] for name in changed}

    def keep(
        self, ids: Mapping[str, int], changed: Mapping[str, int], head: Head, largest: bytes
    ) -> None:
        """Take over ids of :meth:`number` and new versions, which were committed with ``head``."""
        self._ids.update(ids)
        self._versions.update(changed)
        if self._last_id is not None:
            self._last_id = max(self._last_id, *ids.values())
        self.end(head, largest)

    def store(self, driver: Driver, changed: Mapping[str, int]) -> Mapping[str, int]:
        """Store new versions, new streams among them; return the ids of streams by name."""
        ids = self._ids
        old = [(version, ids[name]) for name, version in changed.items() if name in ids]
        driver.many("UPDATE stream SET version = ? WHERE id = ?", old)
        if len(old) < len(changed):
            new = [name for name in changed if name not in ids]
            first = self._read_last_id(driver) + 1
            ids.update(zip(new, range(first, first + len(new)), strict=True))
            self._last_id = first + len(new) - 1
            driver.insert(
                "INSERT INTO stream (id, name, version) VALUES",
                [(ids[name], name, changed[name]) for name in new],
            )
        self._versions.update(changed)
        return ids

    def end(self, head: Head, largest: bytes) -> None:
        """Keep all this for ``head``, which the transaction is about to commit.

        ``largest`` is the largest UUID that it stores.
        """
        self.largest = max(self.largest, largest)
        self._head = head

    def _read_last_id(self, driver: Driver) -> int:
        if self._last_id is None:
            row = driver.row("SELECT max(id) FROM stream")
            self._last_id = int(row[0]) if row and row[0] else 0
        return self._last_id
