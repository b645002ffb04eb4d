"""What tests of projections need, beside :mod:`eventstore.testing`: one line from events to rows.

``given(events).then(Totals(), rows)`` checks a projection; :func:`check_replays` demands the same
rows in each order of deliveries and interruptions.
"""

from projections.testing.replays import check_replays
from projections.testing.scenarios import Given, History, given

__all__ = ["Given", "History", "check_replays", "given"]
