"""What docs/attacks.md says that attacks are answered: its tables are what the tests expect."""

from __future__ import annotations

import re
from typing import Final

from support.commands import REPOSITORY

DOCUMENT: Final = REPOSITORY / "docs" / "attacks.md"


def answers(section: str) -> dict[str, list[set[str]]]:
    """Return the answers of each attack in a table, a set for each column.

    An answer is a status, or ``end`` where the connection ends without one.
    """
    table = DOCUMENT.read_text().partition(f"<!-- {section} -->")[2].partition("<!-- end -->")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return {
        name: [set(re.findall(r"\b\d{3}\b|\bend\b", one.partition(":")[0])) for one in said]
        for name, *said in rows[2:]
    }
