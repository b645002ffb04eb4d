"""Answers that are no success become the errors that the same call raises on a local log."""

from __future__ import annotations

import pickle

import pytest

from eventstore import errors
from eventstore.remote.problems import error_of_answer
from eventstore.server._problems import HttpError, answer

WHERE = "https://rules.example"

ERRORS = [
    errors.ConflictError("a/1", "STREAM_EXISTS", 0),
    errors.DuplicateEventError(["a", "b"], [1, 2], "in part"),
    errors.HistoryDivergedError(3, 2, "another hash"),
    errors.HistoryGoneError(3, 7),
    errors.LimitExceededError("type", 300, 255),
    errors.LogReplacedError("the server", "a", "", "b", "1"),
    errors.NotAppliedError(3, {"w1": None, "w2": 2}, 1.5),
    errors.StorageError("the server", "is full"),
    errors.TakenOverError("w1", "host:1"),
    errors.UnknownConsumerError("w1", "w2"),
]


def restored(error: Exception) -> errors.EventStoreError:
    sent = answer(error)
    return error_of_answer(WHERE, sent.status_code, sent.headers["content-type"], bytes(sent.body))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_arrives_with_its_class_its_message_and_its_fields(error: Exception) -> None:
    found = restored(error)
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert vars(found) == vars(error)
    again = pickle.loads(pickle.dumps(found))
    assert (str(again), vars(again)) == (str(error), vars(error))


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_refused_is_an_error_of_its_own(status: int) -> None:
    found = restored(HttpError(status, "this token has not the scope 'append'"))
    assert isinstance(found, errors.AccessDeniedError)
    assert (found.where, found.status) == (WHERE, status)


def test_a_server_that_stops_is_no_store_of_the_caller_that_is_closed() -> None:
    found = restored(errors.StoreClosedError("the store sqlite:///x is closed"))
    assert isinstance(found, errors.StorageError)
    assert found.transient


@pytest.mark.parametrize("status", [502, 503, 504, 429])
def test_a_proxy_without_its_server_is_asked_again(status: int) -> None:
    found = error_of_answer(WHERE, status, "text/html", b"<html>Bad Gateway</html>")
    assert isinstance(found, errors.StorageError)
    assert found.transient
    assert "html" in str(found)
    assert "<" not in str(found)


@pytest.mark.parametrize("status", [200, 301, 404])
def test_what_is_no_event_store_is_not_asked_again(status: int) -> None:
    found = error_of_answer(WHERE, status, "text/html; charset=utf-8", b"<html>Welcome</html>")
    assert isinstance(found, errors.StorageError)
    assert not found.transient


@pytest.mark.parametrize("body", [b"", b"{", b'{"title": 3}', b'{"fields": []}'])
def test_a_problem_that_is_none_is_an_error_of_storage(body: bytes) -> None:
    found = error_of_answer(WHERE, 409, "application/problem+json", body)
    assert isinstance(found, errors.StorageError)


@pytest.mark.parametrize("title", ["EventStoreError", "object", "__name__", "values", "KeyError"])
def test_a_title_names_a_class_of_errors_or_nothing(title: str) -> None:
    body = b'{"title": "%s", "detail": "said"}' % title.encode()
    found = error_of_answer(WHERE, 409, "application/problem+json", body)
    assert type(found) in vars(errors).values()
