"""Moments of a log: a position, a time, a tag, or a commit of git that was synced."""
