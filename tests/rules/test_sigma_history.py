"""The Sigma format against years of other people's real edits."""

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from eventstore.log.events import NewEvent
from projections.rules.formats import RuleFormatError, get_format, is_rule_file
from projections.rules.model import decode_rule, encode_rule


def every_change(history: Path) -> Iterator[tuple[str, bytes | None]]:
    """Yield path and content of each change, oldest first; None for a deletion."""
    with gzip.open(history, "rt", encoding="utf-8") as lines:
        for line in lines:
            for change in json.loads(line)["changes"]:
                if change["op"] == "delete":
                    yield change["path"], None
                elif "content" in change:
                    yield change["path"], change["content"].encode()
                else:
                    yield change["path"], base64.b64decode(change["base64"])


def test_every_content_ever_committed_is_a_rule_or_a_refusal(history: Path) -> None:
    sigma = get_format("sigma")
    refusals: list[RuleFormatError] = []
    accepted = 0
    for path, content in every_change(history):
        assert is_rule_file(path.rpartition("/")[2], sigma.filename)
        if content is None:
            continue
        try:
            compiled = sigma.read(path, content).compiled
        except RuleFormatError as error:
            refusals.append(error)
        else:
            assert decode_rule(NewEvent("Test", encode_rule(compiled)).data) == compiled
            assert not compiled.removed
            accepted += 1
    assert accepted > 4_000
    assert len(refusals) < accepted / 50, "what real authors committed is nearly always valid"
    assert all(refusal.line for refusal in refusals), "each is blamed on a line"


def test_the_tree_at_the_end_is_taken_as_a_whole(history: Path) -> None:
    tree: dict[str, bytes] = {}
    for path, content in every_change(history):
        if content is None:
            del tree[path]
        else:
            tree[path] = content
    sigma = get_format("sigma")
    assert len([sigma.read(path, content) for path, content in tree.items()]) == 700
