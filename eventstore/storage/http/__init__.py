"""A log that a server has, reached over HTTP."""
