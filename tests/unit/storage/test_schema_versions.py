"""One number says which schema a program knows in each database."""

from eventstore.storage.migrations import known, newest_schema


def test_both_databases_have_the_same_newest_schema() -> None:
    assert len(known("sqlite")) == len(known("postgresql")) == newest_schema() > 0
