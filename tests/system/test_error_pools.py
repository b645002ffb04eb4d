"""Errors that a worker process raises arrive in its parent as what they were."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from eventstore.errors import ConflictError, NotAppliedError, StorageError

ERRORS = (
    ConflictError("order/17", "STREAM_EXISTS", 0),
    NotAppliedError(3, {"worker": None}, 1.5),
    StorageError("postgresql://me:***@127.0.0.1/db", "gone", transient=True),
)


def _raise_one(number: int) -> None:
    raise ERRORS[number]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_errors_cross_process_pools(method: str) -> None:
    context = multiprocessing.get_context(method)
    # A result that cannot be unpickled breaks an executor, and blocks a pool without an end.
    with ProcessPoolExecutor(1, mp_context=context) as executor, context.Pool(1) as pool:
        for number, error in enumerate(ERRORS):
            for wait in (
                executor.submit(_raise_one, number).result,
                pool.apply_async(_raise_one, (number,)).get,
            ):
                with pytest.raises(type(error)) as caught:
                    wait(timeout=60)
                assert (str(caught.value), vars(caught.value)) == (str(error), vars(error))
                assert "RemoteTraceback" in type(caught.value.__cause__).__name__
        pool.close()
        pool.join()
