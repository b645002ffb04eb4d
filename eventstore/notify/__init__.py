"""Notifiers: they wake followers in other processes early. A hint, never truth."""
