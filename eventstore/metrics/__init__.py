"""Metrics of a store for Prometheus: read when they are asked for, or counted cheaply."""
