"""SQL statements that a log refuses in every database."""

from __future__ import annotations

from typing import Final

COLUMNS: Final = (
    "type, commit_position, content, data, metadata, recorded_us, salt, digest, hash FROM event"
)
"""What a copied row of ``event`` has besides its position, stream, version and id."""

REFUSED: Final = [
    "UPDATE event SET type = 'other' WHERE position = 1",
    "UPDATE event SET position = position + 10",
    "UPDATE event SET commit_position = 9",
    "UPDATE event SET data = NULL, metadata = NULL, salt = NULL, type = 'other'",
    "UPDATE event SET data = NULL",
    "UPDATE event SET salt = NULL",
    "UPDATE event SET recorded_us = 0",
    "DELETE FROM event",
    "DELETE FROM event WHERE position = 3",
    "DELETE FROM head",
    "UPDATE head SET position = 1",
    "UPDATE head SET log_id = 'other'",
    "UPDATE head SET first_position = 0",
    "UPDATE stream SET name = 'x' || name",
    "UPDATE stream SET version = 0",
    "DELETE FROM stream",
]
