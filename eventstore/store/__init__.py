"""The store that callers hold: it appends, reads, follows and maintains one log."""
