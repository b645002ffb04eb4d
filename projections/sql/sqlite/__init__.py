"""SQL storage on SQLite: capture, authorizer, migrations, replay and copies."""
