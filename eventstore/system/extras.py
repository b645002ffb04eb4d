"""Optional dependencies: one clear line where one is not installed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from eventstore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def needs_extra(extra: str, purpose: str) -> Iterator[None]:
    """Raise ConfigError that names ``extra`` where an import within the block fails."""
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"{purpose} needs the extra {extra!r}: pip install 'ruletide[{extra}]' ({error})"
        ) from error
