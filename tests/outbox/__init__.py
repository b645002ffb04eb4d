"""Outboxes: deliveries, retries, dead letters."""
