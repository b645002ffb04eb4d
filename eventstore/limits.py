"""Every size limit of the log, in one place and the same on every backend.

A limit that is passed raises :class:`~eventstore.errors.LimitExceededError` before
anything is queued, so an oversize append never takes part in a transaction.
"""

from typing import Final

MAX_SECONDS: Final = 31_536_000
"""Longest interval, in seconds: a year. Timers of operating systems overflow far beyond it."""

QUERY_SECONDS: Final = 30.0
"""How long a query of a store may take by default, in seconds; then it is ended."""

QUERY_THREADS: Final = 4
"""Queries of one store at once; more of them wait, and hold up no other reading or writing."""

MAX_STREAM_BYTES: Final = 1024
"""Longest stream name, in bytes of UTF-8."""

MAX_TYPE_BYTES: Final = 255
"""Longest event type, in bytes of UTF-8."""

MAX_ID_BYTES: Final = 255
"""Longest event id, in bytes of UTF-8."""

MAX_CONSUMER_BYTES: Final = 255
"""Longest consumer or projection name, in bytes of UTF-8."""

MAX_REPORT_BYTES: Final = 16 * 1024
"""Largest record of what a worker tells of itself, in bytes of UTF-8."""

MAX_REPORTS: Final = 20_000
"""Most workers of which there is such a record; those that are silent for an hour make room."""

MAX_METADATA_BYTES: Final = 64 * 1024
"""Largest metadata of one event, in bytes of encoded JSON."""

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
"""Largest data of one event, in bytes as stored."""

MAX_TIME_US: Final = 253_402_300_799_999_999
"""Latest recorded time, in microseconds since the epoch: the end of the year 9999."""

MAX_EXCLUDED: Final = 500
"""Most streams and categories that one reading leaves out: a database limits its conditions."""

MAX_NESTING: Final = 128
"""Deepest nesting of data and metadata: readable wherever a program's own stack stands."""

MAX_COMMIT_EVENTS: Final = 50_000
"""Most events that one append call may commit together."""

MAX_COMMIT_BYTES: Final = 256 * 1024 * 1024
"""Largest sum of data and metadata that one append call may commit together."""

MAX_IDENTIFIER_BYTES: Final = 63
"""How many bytes of a table's name PostgreSQL tells apart: of a longer one it takes the first."""
