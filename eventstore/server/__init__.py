"""The log over HTTP: pages, live events, appends and consumers, each within a token's scopes."""
