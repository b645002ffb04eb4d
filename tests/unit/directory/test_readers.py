"""What a reader beside a running projection sees: whole commits, or a typed error."""

import threading
from pathlib import Path

import pytest
from support.rule_log import Change, RuleLog, expected_files
from support.waiting import DEADLINE

from projections import DirectoryProjection
from projections.directory.manifest import UnsettledTreeError, read_tree


@pytest.mark.promise("projection")
def test_every_set_that_is_read_is_the_one_of_its_cursor(
    log: RuleLog, live: DirectoryProjection, root: Path
) -> None:
    for number in range(20):
        moved = [Change(f"R{n}", f"{(n + number) % 5}/{n}", b"%d" % number) for n in range(8)]
        log.commit(*moved)
    begun, written = threading.Semaphore(0), threading.Semaphore(0)

    def write() -> None:
        for _ in range(20):
            begun.acquire()
            log.feed(live, [1], rest=False)
            written.release()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    seen = set()
    for _ in range(20):
        begun.release()  # Each commit is written beside a read, however slow either is.
        cursor, files = read_tree(root, attempts=10_000, pause=0.0005)
        assert files == expected_files(log.commits[: cursor.position // 8])
        seen.add(cursor.position)
        assert written.acquire(timeout=DEADLINE)
    writer.join()
    assert len(seen) > 1
    assert read_tree(root)[0] == log.cursor()


def test_a_set_that_never_agrees_is_a_typed_error_that_names_a_file(
    log: RuleLog, live: DirectoryProjection, root: Path
) -> None:
    log.commit_into(live, Change("R1", "a.yml", b"1"))
    (root / "a.yml").write_bytes(b"2")
    with pytest.raises(UnsettledTreeError, match=r"'a\.yml' is not what the manifest says"):
        read_tree(root, attempts=3, pause=0)
