"""The log in one SQLite file, or in memory."""
