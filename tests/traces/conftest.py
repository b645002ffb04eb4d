"""What tests of traces between processes share."""

from support.recorded_spans import spans

__all__ = ["spans"]
