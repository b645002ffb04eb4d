"""pyeventsourcing's projection runner over rules: the same rows, on PostgreSQL.

Its runner subscribes to the application's recorder, which the one of SQLite does not allow.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import psycopg
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL

from benchmarks.postgres import peer_settings
from benchmarks.rebuilding_child import NUMBERS, RULE, STATE, rule_row, state_row
from benchmarks.rule_history import COMMIT, RULES, STATE_SET, definition

if TYPE_CHECKING:
    from eventsourcing.persistence import Tracking

PATIENCE_SECONDS: Final = 3_600.0


class Rule(Aggregate):
    """A rule whose definition and state are events."""

    def __init__(self, key: str) -> None:
        self.key = key

    @event("Defined")
    def define(self, data: dict[str, Any]) -> None:
        """Trigger a definition."""

    @event("StateSet")
    def set_state(self, data: dict[str, Any]) -> None:
        """Trigger a state."""


class Rules(Application[UUID]):
    """The application whose events are projected."""


class RuleView(PostgresTrackingRecorder):
    """The tables, with the position that they are at."""

    def __init__(self, datastore: PostgresDatastore, **given: Any) -> None:
        super().__init__(datastore, **given)
        for name, columns in (("rule", RULE), ("rule_state", STATE)):
            types = ", ".join(f"{c} {'bigint' if c in NUMBERS else 'text'}" for c in columns[1:])
            table = f"peer.peer_{name} (rule_id text PRIMARY KEY, {types})"
            self.sql_create_statements.append(SQL(f"CREATE TABLE IF NOT EXISTS {table}").format())

    def store(self, sql: str, row: tuple[Any, ...], tracking: Tracking) -> None:
        """Store a row and the position, in one transaction, as the library's documents do."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(sql.encode(), row, prepare=True)


def upsert(name: str, columns: tuple[str, ...]) -> str:
    """Return the statement for a row."""
    news = ", ".join(f"{c} = excluded.{c}" for c in columns[1:])
    marks = ", ".join(["%s"] * len(columns))
    return (
        f"INSERT INTO peer.peer_{name} ({', '.join(columns)}) VALUES ({marks}) "
        f"ON CONFLICT (rule_id) DO UPDATE SET {news}"
    )


UPSERT_RULE: Final = upsert("rule", RULE)
UPSERT_STATE: Final = upsert("rule_state", STATE)


class RuleProjection(Projection[RuleView]):
    """What each event does to the tables."""

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Store the row of one event."""
        at = tracking.notification_id
        if isinstance(domain_event, Rule.Defined):  # type: ignore[attr-defined]
            row = rule_row(domain_event.data, at, 0)
            self.view.store(UPSERT_RULE, row, tracking)
        elif isinstance(domain_event, Rule.StateSet):  # type: ignore[attr-defined]
            row = state_row(f"rule-state/{domain_event.originator_id}", domain_event.data, at)
            self.view.store(UPSERT_STATE, row, tracking)


def fill(base: str, events: int) -> None:
    """Make the history, as many events as ours has, in a schema ``peer`` of its own."""
    with psycopg.connect(base, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS peer")
    chance, app = random.Random(1), Rules(env=peer_settings(base))
    rules = [Rule(f"R{number:05d}") for number in range(RULES)]
    app.save(*rules)
    for start in range(RULES, events, COMMIT):
        touched = {}
        for version in range(start, min(start + COMMIT, events)):
            rule = rules[chance.randrange(RULES)]
            if chance.random() < 0.7:
                rule.define(definition(rule.key, version))
            else:
                rule.set_state(STATE_SET)
            touched[rule.id] = rule
        app.save(*touched.values())
    app.close()


def project(base: str) -> int:
    """Project all of the log; return its events."""
    with ProjectionRunner(
        application_class=Rules,
        projection_class=RuleProjection,
        view_class=RuleView,
        env=peer_settings(base),
    ) as runner:
        last = runner.app.recorder.max_notification_id()
        runner.wait(last, PATIENCE_SECONDS)
    return last or 0
