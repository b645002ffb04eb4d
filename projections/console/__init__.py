"""The console: pages that ``eventstore serve`` shows to a browser."""
