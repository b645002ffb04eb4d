"""The log's values and decisions, without any I/O."""
