"""Every backend passes the suite for those who write one, on every event loop and in threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.threaded import ThreadedStore

from eventstore import EventStore
from eventstore.testing.backends import BackendContract as Contract

if TYPE_CHECKING:
    from collections.abc import Callable


class TestEveryBackend(Contract):
    """The promises that its tests show are named here: the suite belongs to other programs too."""

    test_an_append_that_returned_is_seen_by_the_next_read = pytest.mark.promise("durable")(
        Contract.test_an_append_that_returned_is_seen_by_the_next_read
    )
    test_an_append_that_returned_is_there_after_reopening = pytest.mark.promise("durable")(
        Contract.test_an_append_that_returned_is_there_after_reopening
    )
    test_what_a_killed_process_has_appended_is_there = pytest.mark.slow(
        pytest.mark.promise("durable")(Contract.test_what_a_killed_process_has_appended_is_there)
    )
    test_positions_are_contiguous_whoever_appends = pytest.mark.promise("order")(
        Contract.test_positions_are_contiguous_whoever_appends
    )
    test_a_refused_append_leaves_no_hole = pytest.mark.promise("order")(
        Contract.test_a_refused_append_leaves_no_hole
    )
    test_a_wrong_version_says_expected_and_actual = pytest.mark.promise("expected")(
        Contract.test_a_wrong_version_says_expected_and_actual
    )
    test_of_many_racing_appends_one_wins_each_version = pytest.mark.promise("expected")(
        Contract.test_of_many_racing_appends_one_wins_each_version
    )
    test_stores_that_race_on_one_log_lose_nothing = pytest.mark.promise("expected")(
        Contract.test_stores_that_race_on_one_log_lose_nothing
    )
    test_a_retry_returns_the_first_result_and_stores_nothing = pytest.mark.promise("idempotent")(
        Contract.test_a_retry_returns_the_first_result_and_stores_nothing
    )
    test_ids_are_checked_before_the_expected_version = pytest.mark.promise("idempotent")(
        Contract.test_ids_are_checked_before_the_expected_version
    )
    test_racing_retries_store_the_events_once = pytest.mark.promise("idempotent")(
        Contract.test_racing_retries_store_the_events_once
    )
    test_known_and_new_events_together_are_refused = pytest.mark.promise("idempotent")(
        Contract.test_known_and_new_events_together_are_refused
    )
    test_a_known_id_with_other_content_is_refused = pytest.mark.promise("idempotent")(
        Contract.test_a_known_id_with_other_content_is_refused
    )
    test_a_consumer_resumes_at_the_event_it_did_not_finish = pytest.mark.promise("subscription")(
        Contract.test_a_consumer_resumes_at_the_event_it_did_not_finish
    )
    test_json_comes_back_exactly = pytest.mark.any_past(Contract.test_json_comes_back_exactly)
    test_bytes_come_back_as_the_same_bytes = pytest.mark.any_past(
        Contract.test_bytes_come_back_as_the_same_bytes
    )

    @pytest.fixture
    def event_store(self, store: EventStore) -> EventStore:
        """Give the store of the contracts, on a log that is new or was trimmed."""
        return store

    @pytest.fixture
    def open_event_store(self, runner: str) -> Callable[[str], EventStore]:
        """Open a store in the way that runs the test."""
        kind: Any = ThreadedStore if runner == "threads" else EventStore
        opened: Callable[[str], EventStore] = kind.open
        return opened

    @pytest.fixture
    def lasting_event_store_url(self, lasting_url: str) -> str:
        """Name a log in a file, or on PostgreSQL."""
        return lasting_url
