"""SQL storage on PostgreSQL: capture, migrations, replay and copies."""
