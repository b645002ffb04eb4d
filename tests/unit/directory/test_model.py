"""However a log is cut into batches and restarts, the directory is a function of it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.journalled import journal_small_ones
from support.rule_commits import COMMITS
from support.rule_log import LOG_ID, Change, RuleLog, expected_files, files_below

from projections import DirectoryProjection
from projections.directory.manifest import MANIFEST, read_tree


@pytest.fixture(autouse=True, scope="module")
def _journalled() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        journal_small_ones(monkeypatch)
        yield


def opened(root: Path) -> DirectoryProjection:
    projection = DirectoryProjection(root, fsync=False)
    projection.open(LOG_ID)
    return projection


@pytest.mark.promise("projection")
@settings(max_examples=examples(150), deadline=None)
@given(commits=COMMITS, restarts=st.lists(st.lists(st.integers(1, 4), max_size=3), max_size=4))
def test_any_batches_and_restarts_end_in_what_the_model_says(
    commits: list[list[Change]], restarts: list[list[int]]
) -> None:
    log = RuleLog()
    with tempfile.TemporaryDirectory() as directory:
        root, fresh = Path(directory, "one"), Path(directory, "two")
        for number, sizes in enumerate([*restarts, []]):
            share = len(commits) * (number + 1) // (len(restarts) + 1)
            for changes in commits[len(log.commits) : share]:
                log.commit(*changes)
            live = opened(root)
            log.feed(live, sizes)
            assert files_below(root) == expected_files(log.commits)
            assert read_tree(root) == (log.cursor(), expected_files(log.commits))
            live.close()
        once = opened(fresh)
        log.feed(once)
        once.close()
        assert (root / MANIFEST).read_bytes() == (fresh / MANIFEST).read_bytes()
        assert read_tree(root) == (log.cursor(), files_below(fresh))


@settings(max_examples=examples(60), deadline=None)
@given(before=COMMITS, commits=COMMITS, sizes=st.lists(st.integers(1, 4), max_size=3))
def test_a_rebuild_in_place_equals_one_from_nothing(
    before: list[list[Change]], commits: list[list[Change]], sizes: list[int]
) -> None:
    log = RuleLog(commits)
    with tempfile.TemporaryDirectory() as directory:
        root, fresh = Path(directory, "one"), Path(directory, "two")
        live, once = opened(root), opened(fresh)
        RuleLog(before).feed(live)
        live.begin_rebuild()
        live.apply(log.events, log.cursor())
        live.finish_rebuild()
        log.feed(once, sizes)
        live.close()
        once.close()
        assert files_below(root) == expected_files(commits)
        assert (root / MANIFEST).read_bytes() == (fresh / MANIFEST).read_bytes()
