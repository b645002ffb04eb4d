"""Stores by URL, on servers over real sockets."""
