"""Search for findings, guided by coverage: ``python -m fuzz.search TARGET SECONDS [CORPUS]``.

Run it with ``PYTHONPATH=.:tests`` in an environment with the dependency group ``fuzz``. It ends
with status 0 after so many seconds, and otherwise at the first finding: the input is then in
the file that it names. A CORPUS is a directory that it reads and adds to.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["eventstore", "projections", "fuzz.targets"]):
    from fuzz.targets import TARGETS


def main(name: str, seconds: str, corpus: str | None = None) -> None:
    """Search one target for so many seconds; does not return."""
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(corpus or temporary)
        place.mkdir(parents=True, exist_ok=True)
        for seed in target.seeds():
            (place / hashlib.sha256(seed).hexdigest()).write_bytes(seed)
        options = [
            f"-max_total_time={seconds}",
            "-timeout=30",
            "-rss_limit_mb=2048",
            "-max_len=65536",
        ]
        findings = f"-artifact_prefix={place.parent}/{name}-"
        atheris.Setup([sys.argv[0], *options, findings, str(place)], target.read)
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
