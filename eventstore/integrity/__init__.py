"""Verifying a log: its events, its hash chain and the tables beside them."""
