"""Stores by URL, without a server."""
