"""Decisions of the server, without a connection."""
