"""What ``status`` says of the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.storage.postgres._head import old_transaction

if TYPE_CHECKING:
    from eventstore.storage.driver import Driver


def read_facts(driver: Driver) -> dict[str, str | int]:
    """Return the kind, the server's version, and the size of the log's tables in bytes."""
    row = driver.row(
        "SELECT current_setting('server_version'), current_schema(), "
        "(pg_total_relation_size('event') + pg_total_relation_size('stream'))::bigint"
    )
    version, schema, size = row or ("", "", 0)
    facts = {"backend": "postgresql", "server": version, "schema": schema, "bytes": size}
    return facts | old_transaction(driver)
