"""SQL storage on PostgreSQL: capture, migrations and replay."""
