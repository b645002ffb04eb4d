"""Helpers of the tests: waiting without sleeping, logs to test, processes to start."""
