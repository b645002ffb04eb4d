"""Names of the events that give moments a name; see :mod:`eventstore.moments.tags`."""

from __future__ import annotations

from typing import Final

TAGS: Final = "tag/"
"""The category of tags. Trims keep it whole."""

MOMENT_TAGGED: Final = "MomentTagged"
