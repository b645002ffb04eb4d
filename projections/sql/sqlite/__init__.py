"""SQL storage on SQLite: capture, guard, migrations and replay."""
